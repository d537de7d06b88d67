"""What figures were measured on, in one line."""

from __future__ import annotations

import os
import platform
from pathlib import Path

__all__ = ["machine"]


def machine() -> str:
    """Return the cores, the processor, the system and the Python of this process."""
    return f"{os.cpu_count()} cores, {_processor()}, {platform.system()}, Python {platform.python_version()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    virtual = ", virtual" if any(line.startswith("flags") and " hypervisor" in line for line in lines) else ""
    return (models[0] if models else platform.machine()) + virtual
