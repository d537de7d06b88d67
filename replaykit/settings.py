"""
What a recorder is told: arguments, then `replaykit.configure`, then the environment.

An explicit argument wins over a default, but where privacy is at stake the
stricter of argument and environment wins: ``REPLAYKIT_DISABLED``,
``REPLAYKIT_CAPTURE``, ``REPLAYKIT_REDACT``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, cast

import attrs

from replaykit.errors import UsageError
from replaykit.model import ReplayConfig
from replaykit.pipeline import Capture
from replaykit.policies import any_of, every, is_policy
from replaykit.protocols import CheckpointPolicy, FinishedCall

__all__ = [
    "DEFAULT_DIRECTORY",
    "Durability",
    "Keep",
    "OnLoss",
    "Redact",
    "Settings",
    "absolute_store",
    "default_store",
    "is_disabled",
    "policy_of",
]

Durability = Literal["always", "group", "os"]
Keep = Literal["all", "on_failure"]
OnLoss = Literal["warn", "raise", "ignore"]
Redact = Sequence[str | Callable[[tuple[str | int, ...], Any], Any]]

DEFAULT_DIRECTORY = "./.replaykit/"
"""Where recordings go that were given no store."""

_KEEP_BYTES = 4 << 20
_CAPTURES = ("full", "preview", "hash")
_TRUE = frozenset({"1", "true", "yes", "on"})


def _one_of(*allowed: str | int) -> Any:
    def check(_settings: Any, attribute: Any, value: Any) -> None:
        if value not in allowed:
            raise UsageError(f"{attribute.name}={value!r}: give one of {', '.join(map(str, allowed))}")

    return check


def _a_config(_settings: Any, _attribute: Any, value: Any) -> None:
    if value is not None and not isinstance(value, ReplayConfig):
        raise UsageError(f"config= is a ReplayConfig, not {type(value).__name__}")


def _share(_settings: Any, attribute: Any, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, (int, float)) or not 0.0 <= value <= 1.0:
        raise UsageError(f"{attribute.name}={value!r}: give a share between 0.0 and 1.0")


def _positive(_settings: Any, attribute: Any, value: Any) -> None:
    if value is not None and (not isinstance(value, (int, float)) or isinstance(value, bool) or value <= 0):
        raise UsageError(f"{attribute.name}={value!r}: give a number above 0")


def _whole_number(_settings: Any, attribute: Any, value: Any) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value <= 0):
        raise UsageError(f"{attribute.name}={value!r}: give a whole number above 0")


def _a_predicate(_settings: Any, attribute: Any, value: Any) -> None:
    if value is not None and not callable(value):
        raise UsageError(f"{attribute.name}={value!r}: give a callable that takes a FinishedCall")


def _chosen(asked: Any) -> frozenset[str]:
    names = (asked,) if isinstance(asked, str) else tuple(asked) if isinstance(asked, Iterable) else (None,)
    if not all(isinstance(name, str) for name in names):
        raise UsageError(f"include= and exclude= are sets of kinds and names, not {asked!r}")
    return frozenset(names)


def _mapping(_settings: Any, attribute: Any, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise UsageError(f"{attribute.name}= is a dict with text keys, not {type(value).__name__}")


def _stricter_capture(asked: str) -> str:
    wanted = os.environ.get("REPLAYKIT_CAPTURE", "").strip().lower()
    if not wanted:
        return asked
    if wanted not in _CAPTURES:
        raise UsageError(f"REPLAYKIT_CAPTURE={wanted!r}: give one of {', '.join(_CAPTURES)}")
    # What is no capture at all goes on to the validator.
    return asked if asked not in _CAPTURES else max(asked, wanted, key=_CAPTURES.index)


def _stricter_redact(asked: Any) -> tuple[Any, ...]:
    if not (asked is None or isinstance(asked, (str, Iterable)) or callable(asked)):
        raise UsageError(f"redact={asked!r}: give names of rule sets and callables, or () for none")
    rules = (asked,) if isinstance(asked, str) or callable(asked) else tuple(asked or ())
    wanted = os.environ.get("REPLAYKIT_REDACT", "")
    named = [name.strip() for name in wanted.split(",") if name.strip()]
    return (*rules, *(name for name in named if name not in rules))


@attrs.frozen(kw_only=True)
class Settings:
    """
    How a recorder keeps what it sees.

    Attributes:
        durability: ``always`` (a call returns when it is on the device),
            ``group`` (a power cut costs at most 20 ms plus one sync) or ``os``.
        capture: ``full``, ``preview`` (no bodies) or ``hash`` (no text at all).
        redact: Rule sets and callables; ``()`` switches redaction off.
        on_loss: What a session's end does when actions were lost.
        intent: Log a call before it runs if it may change something.
        config: What sessions follow that are given no config of their own;
            with ``auto_record`` the first one starts at once.
        sample_rate: The share of ``with`` blocks that are recorded whatever
            comes, 0.0 to 1.0; by default all, with ``keep="on_failure"`` none.
            The session's id decides.
        keep: What becomes of the other blocks: with ``all`` they are not
            recorded, with ``on_failure`` their last actions are held in RAM
            and written once the block or a call fails, or as the next four say.
        keep_bytes: How much is held in RAM of each such session.
        slow_ms: A call that takes as long makes its session worth keeping.
        keep_if: So does one of which this, given a `FinishedCall`, is true.
        keep_signal: So does this signal, for all open sessions.
        include, exclude: Kinds and names of the calls that are recorded, and
            of those that are not; the others run and are counted.
        max_action_bytes: Larger arguments and results are cut and flagged.
        max_session_bytes: A session is sealed once it has logged as much.
        align: Pad what is synced together to 512 or 4096 bytes, for devices
            that may tear a sector which they write again; 0 for none.
        rotate_bytes, rotate_seconds: When a process begins a new file in a directory.
        max_store_bytes: Recording stops once the store's files hold this
            much (checked each second); the recorded program goes on.

    Raises:
        UsageError: A value is not one of those.
    """

    durability: Durability = attrs.field(default="group", validator=_one_of("always", "group", "os"))
    capture: Capture = attrs.field(default="full", converter=_stricter_capture, validator=_one_of(*_CAPTURES))
    redact: tuple[Any, ...] = attrs.field(default=("secrets",), converter=_stricter_redact)
    on_loss: OnLoss = attrs.field(default="warn", validator=_one_of("warn", "raise", "ignore"))
    intent: bool = True
    sample_rate: float | None = attrs.field(default=None, validator=_share)
    keep: Keep = attrs.field(default="all", validator=_one_of("all", "on_failure"))
    keep_bytes: int = attrs.field(default=_KEEP_BYTES, validator=_whole_number)
    slow_ms: float | None = attrs.field(default=None, validator=_positive)
    keep_if: Callable[[FinishedCall], object] | None = attrs.field(default=None, validator=_a_predicate)
    keep_signal: int | None = attrs.field(default=None, validator=_whole_number)
    include: frozenset[str] = attrs.field(default=frozenset(), converter=_chosen)
    exclude: frozenset[str] = attrs.field(default=frozenset(), converter=_chosen)
    max_action_bytes: int | None = attrs.field(default=None, validator=_whole_number)
    max_session_bytes: int | None = attrs.field(default=None, validator=_whole_number)
    align: int = attrs.field(default=0, validator=_one_of(0, 512, 4096))
    rotate_bytes: int | None = attrs.field(default=None, validator=_positive)
    rotate_seconds: float | None = attrs.field(default=None, validator=_positive)
    max_store_bytes: int | None = attrs.field(default=None, validator=_positive)
    auto_checkpoint: CheckpointPolicy | None = None
    config: ReplayConfig | None = attrs.field(default=None, validator=_a_config)
    metadata: Mapping[str, Any] = attrs.field(factory=dict, validator=_mapping)

    def __attrs_post_init__(self) -> None:
        asked = [name for name in ("slow_ms", "keep_if", "keep_signal") if getattr(self, name) is not None]
        if asked and self.keep != "on_failure":
            raise UsageError(f'{asked[0]}= says when to keep a session: give keep="on_failure" as well')

    @property
    def recorded_share(self) -> float:
        """The share of blocks that are recorded from their start."""
        if self.sample_rate is not None:
            return self.sample_rate
        return 0.0 if self.keep == "on_failure" else 1.0

    def takes(self, kind: str, name: str) -> bool:
        """Return whether a call of this kind and name is to be recorded."""
        asked = {kind, name}
        return not asked & self.exclude and (not self.include or bool(asked & self.include))

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Settings:
        """
        Return settings from keyword options; a None is as good as not given.

        Raises:
            UsageError: An option or its value is unknown.
        """
        known = {field.name for field in attrs.fields(cls)}
        unknown = [name for name in options if name not in known]
        if unknown:
            raise UsageError(f"unknown option {unknown[0]!r}: give one of {', '.join(sorted(known))}")
        given = {name: value for name, value in options.items() if value is not None}
        if "auto_checkpoint" in given:
            given["auto_checkpoint"] = policy_of(given["auto_checkpoint"])
        return cls(**given)


def policy_of(asked: Any) -> CheckpointPolicy | None:
    """
    Return a policy from a policy, a number of actions, a `ReplayConfig` or a list of those.

    Raises:
        UsageError: It is something else.
    """
    if asked is None:
        return None
    if isinstance(asked, ReplayConfig):
        return policy_of(asked.auto_checkpoint_interval)
    if isinstance(asked, int) and not isinstance(asked, bool) and asked >= 0:
        return every(actions=asked) if asked else None
    if isinstance(asked, (list, tuple)):
        parts = [policy for item in asked if (policy := policy_of(item)) is not None]
        return any_of(*parts) if len(parts) > 1 else parts[0] if parts else None
    if is_policy(asked):
        return cast(CheckpointPolicy, asked)
    raise UsageError(
        f"auto_checkpoint={asked!r}: give a number of actions, a policy (replaykit.every(actions=3)) or a list of them"
    )


def is_disabled() -> bool:
    """Return whether ``REPLAYKIT_DISABLED`` switches recording off."""
    return os.environ.get("REPLAYKIT_DISABLED", "").strip().lower() in _TRUE


def default_store() -> str:
    """Return the store of recorders that were given none: ``REPLAYKIT_STORE`` or ``./.replaykit/``."""
    return os.environ.get("REPLAYKIT_STORE") or DEFAULT_DIRECTORY


def absolute_store(store: str | os.PathLike[str]) -> str:
    """
    Return the store's path as it is in any folder; a trailing slash, which asks for a directory, stays.

    Where the present folder is gone the path comes back as it is: opening it says what is wrong.
    """
    location = os.fspath(store)
    if location == ":memory:" or os.path.isabs(location):
        return location
    try:
        here = os.getcwd()
    except FileNotFoundError:
        return location
    # What `..` leads to through a link only the system knows.
    tidy = location if os.pardir in location.split(os.sep) else os.path.normpath(location)
    return os.path.join(here, tidy) + ("/" if location.endswith("/") and not tidy.endswith("/") else "")
