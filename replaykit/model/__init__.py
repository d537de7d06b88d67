"""
The values that travel: frozen, without behaviour that touches a store.

Names load on first use: to make a class takes a third of a millisecond, and
who records needs few of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from replaykit.model.actions import (
        KINDS,
        MAX_BODY_BYTES,
        MAX_PREVIEW,
        OVERSIZE_HASH,
        ZERO_HASH,
        ActionType,
        Ask,
        Checkpointed,
        Delete,
        Failure,
        Find,
        FrameId,
        Put,
        PutMany,
        ReplayAction,
        ToolCall,
        Update,
    )
    from replaykit.model.imported import MEMVID, ImportedSession, ImportReport, ImportStatus, playable_import
    from replaykit.model.integrity import (
        Compaction,
        Depth,
        Diagnosis,
        Finding,
        Recovery,
        RescuedMemory,
        Severity,
        Usage,
        Verification,
    )
    from replaykit.model.options import ReplayOptions, Tolerances
    from replaykit.model.reports import KnownDivergence, ReplayReport
    from replaykit.model.results import (
        Answer,
        Erasure,
        Frame,
        Hit,
        SearchResult,
    )
    from replaykit.model.rewinding import Bisection, KnownFork, Lineage, Pruning
    from replaykit.model.sessions import (
        ACCOUNT,
        UNCOVERED,
        Checkpoint,
        Playable,
        ReplayConfig,
        ReplayManifest,
        ReplaySession,
        SessionState,
        SessionSummary,
        StateSnapshot,
        uncovered_in,
    )
    from replaykit.model.stored import Restoration, StoredFrame
    from replaykit.model.structured import Opaque, Structured
    from replaykit.model.verdicts import (
        ActionResult,
        Agreement,
        ComparisonReport,
        ComparisonSummary,
        Divergence,
        DivergenceType,
        FieldChange,
        HitChange,
        ModelResult,
        ReplayResult,
        SessionComparison,
    )

_HOMES = {
    "actions": (
        "KINDS MAX_BODY_BYTES MAX_PREVIEW OVERSIZE_HASH ZERO_HASH ActionType Ask Checkpointed Delete Failure "
        "Find FrameId Put PutMany ReplayAction ToolCall Update"
    ),
    "imported": "MEMVID ImportedSession ImportReport ImportStatus playable_import",
    "integrity": "Compaction Depth Diagnosis Finding Recovery RescuedMemory Severity Usage Verification",
    "options": "ReplayOptions Tolerances",
    "reports": "KnownDivergence ReplayReport",
    "results": "Answer Erasure Frame Hit SearchResult",
    "rewinding": "Bisection KnownFork Lineage Pruning",
    "sessions": (
        "ACCOUNT UNCOVERED Checkpoint Playable ReplayConfig ReplayManifest ReplaySession SessionState "
        "SessionSummary StateSnapshot uncovered_in"
    ),
    "stored": "Restoration StoredFrame",
    "structured": "Opaque Structured",
    "verdicts": (
        "ActionResult Agreement ComparisonReport ComparisonSummary Divergence DivergenceType FieldChange "
        "HitChange ModelResult ReplayResult SessionComparison"
    ),
}
_WHERE = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = [
    "ACCOUNT",
    "ActionResult",
    "ActionType",
    "Agreement",
    "Answer",
    "Ask",
    "Bisection",
    "Checkpoint",
    "Checkpointed",
    "Compaction",
    "ComparisonReport",
    "ComparisonSummary",
    "Delete",
    "Depth",
    "Diagnosis",
    "Divergence",
    "DivergenceType",
    "Erasure",
    "Failure",
    "FieldChange",
    "Find",
    "Finding",
    "Frame",
    "FrameId",
    "Hit",
    "HitChange",
    "ImportReport",
    "ImportStatus",
    "ImportedSession",
    "KINDS",
    "KnownDivergence",
    "KnownFork",
    "Lineage",
    "MAX_BODY_BYTES",
    "MAX_PREVIEW",
    "MEMVID",
    "ModelResult",
    "OVERSIZE_HASH",
    "Opaque",
    "Playable",
    "Pruning",
    "Put",
    "PutMany",
    "Recovery",
    "ReplayAction",
    "ReplayConfig",
    "ReplayManifest",
    "ReplayOptions",
    "ReplayReport",
    "ReplayResult",
    "ReplaySession",
    "RescuedMemory",
    "Restoration",
    "SearchResult",
    "SessionComparison",
    "SessionState",
    "SessionSummary",
    "Severity",
    "StateSnapshot",
    "StoredFrame",
    "Structured",
    "Tolerances",
    "ToolCall",
    "UNCOVERED",
    "Update",
    "Usage",
    "Verification",
    "ZERO_HASH",
    "playable_import",
    "uncovered_in",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'replaykit.model' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"replaykit.model.{_WHERE[name]}"), name)
    globals()[name] = value
    return value
