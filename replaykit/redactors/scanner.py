"""
The scanner: finds candidates for all rules at once, in one pass of Hyperscan.

Where Hyperscan cannot be loaded everything is a candidate, after one warning.
"""

from __future__ import annotations

import functools
import threading
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from replaykit.errors import ReplaykitWarning
from replaykit.redactors.compiled import database_of
from replaykit.redactors.rule import Rule
from replaykit.redactors.rules import KEY_SCAN

__all__ = ["Loader", "Scanner", "load_hyperscan"]

Loader = Callable[[], Any]


def load_hyperscan() -> Any:
    """
    Return the hyperscan module.

    Raises:
        ImportError: There is none for this platform, or it does not load.
    """
    import hyperscan

    return hyperscan


@functools.cache
def _compiled(load: Loader, rules: tuple[Rule, ...], names: bool) -> tuple[Any, Any] | None:
    """Return the module and the database of *rules*, made once in a process; None where it cannot be."""
    try:
        hyperscan = load()
    except (ImportError, OSError) as exc:
        _warn(exc)
        return None
    try:
        return hyperscan, _database(hyperscan, rules, names=names)
    except hyperscan.HyperscanError as exc:
        # The wheel is there, but not for this processor.
        _warn(exc)
        return None


def _warn(reason: Exception) -> None:
    warnings.warn(
        f"hyperscan cannot be used ({type(reason).__name__}): secrets are still redacted, but every recorded "
        "call takes longer. Try: pip install hyperscan",
        ReplaykitWarning,
        stacklevel=2,
    )


def _database(hyperscan: Any, rules: tuple[Rule, ...], *, names: bool) -> Any:
    patterns = [*(rule.scan for rule in rules), *([KEY_SCAN] * names)]
    caseless = [*(rule.caseless for rule in rules), *([True] * names)]
    flags = [hyperscan.HS_FLAG_DOTALL | hyperscan.HS_FLAG_CASELESS * any_case for any_case in caseless]
    return database_of(hyperscan, patterns, flags)


def _stop(_rule: int, _start: int, _end: int, _flags: int, _context: object) -> bool:
    return True


def _note(rule: int, _start: int, end: int, _flags: int, found: dict[int, list[int]]) -> None:
    found[rule].append(end)


@functools.cache
def scanner_of(rules: tuple[Rule, ...], names: bool, load: Loader) -> Scanner:
    """Return the scanner of *rules*: one for all redactors, so that what a thread needs for it is made once."""
    return Scanner(rules, names=names, load=load)


class Scanner:
    """
    Says whether bytes may hold what *rules* look for, and where; any number of threads may ask at once.

    With *names* it looks for secret names before values, too.  Nothing is
    loaded before the first question.
    """

    def __init__(self, rules: tuple[Rule, ...], *, names: bool, load: Loader = load_hyperscan) -> None:
        self.rules = rules
        self._names = names
        self._load = load
        self._local = threading.local()

    def prepare(self) -> bool:
        """Load the engine now rather than with the first question; return whether there is one."""
        return self._engine() is not None

    def is_suspect(self, data: bytes) -> bool:
        """Return whether *data*, packed or text, may hold a secret; True without an engine."""
        try:
            scan, scratch, stopped, in_use = self._local.tools
        except AttributeError:
            tools = self._own_tools()
            if tools is None:
                return True
            scan, scratch, stopped, in_use = tools
        try:
            # By position (flags, context, scratch): parsing the names costs a
            # third of the scan of a small payload.
            scan(data, _stop, 0, None, scratch)
        except stopped:
            return True
        except in_use:
            # A finaliser or signal handler made a recorded call while this
            # thread was scanning.
            return self._again(data)
        return False

    def hits(self, data: bytes) -> Mapping[int, list[int]] | None:
        """
        Return where candidates end in *data*, by the rule's place in ``rules``.

        One more number stands for secret names.  None without an engine.
        """
        tools = self._own_tools()
        if tools is None:
            return None
        scan, scratch, _, in_use = tools
        # Among numbers nearly each byte ends a candidate.
        found: dict[int, list[int]] = defaultdict(list)
        try:
            scan(data, _note, context=found, scratch=scratch)
        except in_use:
            found.clear()
            scan(data, _note, context=found, scratch=self._new_scratch())
        return found

    def _own_tools(self) -> tuple[Any, Any, Any, Any] | None:
        """Return this thread's tools: a scratch must never be shared by threads that scan at once."""
        tools: tuple[Any, Any, Any, Any] | None = getattr(self._local, "tools", None)
        engine = None if tools else self._engine()
        if engine is not None:
            module, database = engine
            tools = (database.scan, self._new_scratch(), module.ScanTerminated, module.ScratchInUseError)
            self._local.tools = tools
        return tools

    def _engine(self) -> tuple[Any, Any] | None:
        return _compiled(self._load, self.rules, self._names)

    def _new_scratch(self) -> Any:
        engine = self._engine()
        return engine[0].Scratch(engine[1]) if engine else None

    def _again(self, data: bytes) -> bool:
        scan, _, stopped, _ = self._local.tools
        try:
            scan(data, _stop, scratch=self._new_scratch())
        except stopped:
            return True
        return False
