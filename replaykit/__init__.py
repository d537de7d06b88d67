"""
replaykit: a flight recorder for what AI agents do with their memory.

Record calls, play them back with the memory absent, and look at what
happened.  Names load on first use; importing this costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replaykit._version import __version__ as __version__

if TYPE_CHECKING:
    from replaykit import errors as errors
    from replaykit.instrumenting import instrument as instrument
    from replaykit.instrumenting import uninstrument as uninstrument
    from replaykit.loading import Recording as Recording
    from replaykit.loading import load as load
    from replaykit.memory.memory import Memory as Memory
    from replaykit.memory.memory import open_memory as open
    from replaykit.model import Agreement as Agreement
    from replaykit.model import Answer as Answer
    from replaykit.model import Ask as Ask
    from replaykit.model import Checkpoint as Checkpoint
    from replaykit.model import Checkpointed as Checkpointed
    from replaykit.model import ComparisonReport as ComparisonReport
    from replaykit.model import ComparisonSummary as ComparisonSummary
    from replaykit.model import Delete as Delete
    from replaykit.model import Divergence as Divergence
    from replaykit.model import DivergenceType as DivergenceType
    from replaykit.model import Erasure as Erasure
    from replaykit.model import Failure as Failure
    from replaykit.model import FieldChange as FieldChange
    from replaykit.model import Find as Find
    from replaykit.model import Frame as Frame
    from replaykit.model import Hit as Hit
    from replaykit.model import HitChange as HitChange
    from replaykit.model import KnownDivergence as KnownDivergence
    from replaykit.model import KnownFork as KnownFork
    from replaykit.model import Lineage as Lineage
    from replaykit.model import ModelResult as ModelResult
    from replaykit.model import Opaque as Opaque
    from replaykit.model import Playable as Playable
    from replaykit.model import Pruning as Pruning
    from replaykit.model import Put as Put
    from replaykit.model import PutMany as PutMany
    from replaykit.model import ReplayAction as ReplayAction
    from replaykit.model import ReplayConfig as ReplayConfig
    from replaykit.model import ReplayManifest as ReplayManifest
    from replaykit.model import ReplayOptions as ReplayOptions
    from replaykit.model import ReplayReport as ReplayReport
    from replaykit.model import ReplayResult as ReplayResult
    from replaykit.model import ReplaySession as ReplaySession
    from replaykit.model import Restoration as Restoration
    from replaykit.model import SearchResult as SearchResult
    from replaykit.model import SessionComparison as SessionComparison
    from replaykit.model import SessionSummary as SessionSummary
    from replaykit.model import StateSnapshot as StateSnapshot
    from replaykit.model import StoredFrame as StoredFrame
    from replaykit.model import Structured as Structured
    from replaykit.model import ToolCall as ToolCall
    from replaykit.model import Update as Update
    from replaykit.model import Verification as Verification
    from replaykit.operations import Adapter as Adapter
    from replaykit.operations import Chain as Chain
    from replaykit.operations import MethodMap as MethodMap
    from replaykit.operations import Operation as Operation
    from replaykit.operations import StreamForm as StreamForm
    from replaykit.playback.comparing import compare as compare
    from replaykit.playback.player import Player as Player
    from replaykit.playback.player import play as play
    from replaykit.policies import any_of as any_of
    from replaykit.policies import before as before
    from replaykit.policies import every as every
    from replaykit.policies import on_error as on_error
    from replaykit.regression.asserting import assert_replays as assert_replays
    from replaykit.regression.use import use_recording as use_recording
    from replaykit.replaying import replay as replay
    from replaykit.suites.replaying import replay_all as replay_all
    from replaykit.suites.variants import compare_models as compare_models
    from replaykit.suites.variants import compare_variants as compare_variants
    from replaykit.wrapping import Recorder as Recorder
    from replaykit.wrapping import configure as configure
    from replaykit.wrapping import recorder_of as recorder_of
    from replaykit.wrapping import records as records
    from replaykit.wrapping import session as session
    from replaykit.wrapping import wrap as wrap

_MODEL = (
    "Agreement Answer Ask Checkpoint Checkpointed ComparisonReport ComparisonSummary Delete Divergence "
    "DivergenceType Erasure Failure FieldChange Find Frame Hit HitChange KnownDivergence KnownFork Lineage "
    "ModelResult Opaque Playable Pruning Put PutMany ReplayAction ReplayConfig ReplayManifest ReplayOptions "
    "ReplayReport ReplayResult ReplaySession Restoration SearchResult SessionComparison SessionSummary StateSnapshot "
    "StoredFrame Structured ToolCall Update Verification"
)
_HOMES = {
    "replaykit.instrumenting": "instrument uninstrument",
    "replaykit.loading": "Recording load",
    "replaykit.memory.memory": "Memory",
    "replaykit.model": _MODEL,
    "replaykit.operations": "Adapter Chain MethodMap Operation StreamForm",
    "replaykit.playback.comparing": "compare",
    "replaykit.playback.player": "Player play",
    "replaykit.policies": "any_of before every on_error",
    "replaykit.regression.asserting": "assert_replays",
    "replaykit.regression.use": "use_recording",
    "replaykit.replaying": "replay",
    "replaykit.suites.replaying": "replay_all",
    "replaykit.suites.variants": "compare_models compare_variants",
    "replaykit.wrapping": "Recorder configure recorder_of records session wrap",
}
_WHERE = {name: (module, name) for module, names in _HOMES.items() for name in names.split()}
_WHERE["open"] = ("replaykit.memory.memory", "open_memory")

__all__ = [
    "Adapter",
    "Agreement",
    "Answer",
    "Ask",
    "Chain",
    "Checkpoint",
    "Checkpointed",
    "ComparisonReport",
    "ComparisonSummary",
    "Delete",
    "Divergence",
    "DivergenceType",
    "Erasure",
    "Failure",
    "FieldChange",
    "Find",
    "Frame",
    "Hit",
    "HitChange",
    "KnownDivergence",
    "KnownFork",
    "Lineage",
    "Memory",
    "MethodMap",
    "ModelResult",
    "Opaque",
    "Operation",
    "Playable",
    "Player",
    "Pruning",
    "Put",
    "PutMany",
    "Recorder",
    "Recording",
    "ReplayAction",
    "ReplayConfig",
    "ReplayManifest",
    "ReplayOptions",
    "ReplayReport",
    "ReplayResult",
    "ReplaySession",
    "Restoration",
    "SearchResult",
    "SessionComparison",
    "SessionSummary",
    "StateSnapshot",
    "StoredFrame",
    "StreamForm",
    "Structured",
    "ToolCall",
    "Update",
    "Verification",
    "__version__",
    "any_of",
    "assert_replays",
    "before",
    "compare",
    "compare_models",
    "compare_variants",
    "configure",
    "errors",
    "every",
    "instrument",
    "load",
    "on_error",
    "open",
    "play",
    "recorder_of",
    "records",
    "replay",
    "replay_all",
    "session",
    "uninstrument",
    "use_recording",
    "wrap",
]


def __getattr__(name: str) -> Any:
    import importlib

    if name == "errors":
        return importlib.import_module("replaykit.errors")
    if name not in _WHERE:
        raise AttributeError(f"module 'replaykit' has no attribute {name!r}")
    module, attribute = _WHERE[name]
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
