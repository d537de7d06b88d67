"""memvid's own files, unpacked, and what memvid says is in them."""

from __future__ import annotations

import functools
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from blake3 import blake3

from replaykit.model import ReplayAction, ReplayManifest, ReplaySession

__all__ = [
    "ALL",
    "READABLE",
    "SIDE_FILE",
    "expected",
    "manifest_of",
    "sample",
    "segment_of",
    "session_fields",
    "stamped",
    "toc_of",
    "unpack",
    "with_segment",
]

_ARCHIVE = Path(__file__).parent.parent / "data" / "memvid" / "samples.zip"
SIDE_FILE = "18_cli_active.mv2.session"


@functools.cache
def _archive() -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(_ARCHIVE.read_bytes()))


ALL: Sequence[str] = sorted(name for name in zipfile.ZipFile(_ARCHIVE).namelist() if not name.endswith(".json"))
READABLE = [name for name in ALL if not name.startswith(("14", "15"))]


def sample(start: str) -> bytes:
    """Return the bytes of the sample whose name begins so."""
    return _archive().read(next(name for name in ALL if name.startswith(start)))


def unpack(folder: Path, *starts: str) -> list[Path]:
    """Write samples into *folder*, in the order of *starts*, or all of them; return where they are."""
    names = [name for start in starts or ("",) for name in ALL if name.startswith(start)]
    for name in names:
        (folder / name).write_bytes(_archive().read(name))
    return [folder / name for name in names]


@functools.cache
def decoded() -> Mapping[str, Any]:
    """Return memvid's own dump, by file name."""
    files: Mapping[str, Any] = json.loads(_archive().read("decoded.json"))["files"]
    return files


def expected(name: str) -> list[dict[str, Any]]:
    """Return the sessions of the file *name* as memvid shows them."""
    facts = decoded()[name]
    return [facts["active"]["session"]] if name == SIDE_FILE else facts.get("sessions") or []


# -- what memvid's dump shows ---------------------------------------------------------


def action_fields(action: ReplayAction) -> dict[str, Any]:
    """Return an action as memvid's dump shows one."""
    kind = action.action_type
    fields = {
        {"tool": "name"}.get(name, name): value.hex() if isinstance(value, bytes) else value
        for name, value in attrs.asdict(kind, recurse=False).items()
    }
    name = {"Checkpointed": "Checkpoint"}.get(type(kind).__name__, type(kind).__name__)
    fields = {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()}
    return {
        "sequence": action.sequence,
        "timestamp_secs": action.timestamp_secs,
        "action_type": {name: fields},
        "input_hash": action.input_hash.hex(),
        "output_hash": action.output_hash.hex(),
        "input_preview": action.input_preview,
        "output_preview": action.output_preview,
        "affected_frames": list(action.affected_frames),
        "duration_ms": action.duration_ms,
    }


def session_fields(session: ReplaySession) -> dict[str, Any]:
    """Return a session, but for its id, as memvid's dump shows one."""
    return {
        "name": session.name,
        "created_secs": session.created_secs,
        "ended_secs": session.ended_secs,
        "checkpoints": [
            {
                "id": each.id,
                "at_sequence": each.at_sequence,
                "timestamp_secs": each.timestamp_secs,
                "state_hash": each.state_hash.hex(),
                "snapshot": {
                    name: value.hex()
                    if isinstance(value, bytes)
                    else list(value)
                    if isinstance(value, tuple)
                    else value
                    for name, value in attrs.asdict(each.snapshot, recurse=False).items()
                },
            }
            for each in session.checkpoints
        ],
        "actions": [action_fields(action) for action in session.actions],
        "metadata": dict(session.metadata),
        "version": session.version,
    }


# -- changed files --------------------------------------------------------------------


def manifest_of(start: str) -> ReplayManifest:
    """Return the manifest of the sample whose name begins so."""
    return ReplayManifest(**decoded()[next(name for name in ALL if name.startswith(start))]["replay_manifest"])


def segment_of(start: str) -> bytes:
    """Return the segment of the sample whose name begins so."""
    manifest = manifest_of(start)
    return sample(start)[manifest.segment_offset : manifest.segment_offset + manifest.segment_size]


def toc_of(start: str) -> bytes:
    """Return the table of contents of the sample whose name begins so."""
    data = sample(start)
    size = int.from_bytes(data[-48:-40], "little")
    return data[-56 - size : -56]


def with_segment(start: str, segment: bytes) -> bytes:
    """Return the sample whose name begins so, with another segment of the same length."""
    data, at = sample(start), manifest_of(start).segment_offset
    assert len(segment) == manifest_of(start).segment_size
    return data[:at] + segment + data[at + len(segment) :]


def stamped(data: bytes, toc_offset: int, toc: bytes) -> bytes:
    """Return *data* with the table of contents *toc* and right checksums everywhere: what a forger would do."""
    body = toc[:-32]
    checksum = blake3(body + bytes(32)).digest()
    whole = body + checksum
    footer = b"MV2FOOT!" + len(whole).to_bytes(8, "little") + blake3(whole).digest() + bytes(8)
    header = data[:8] + toc_offset.to_bytes(8, "little") + data[16:48] + checksum + data[80:4096]
    return header + data[4096:toc_offset] + whole + footer
