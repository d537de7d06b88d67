"""``replaykit replay --all``: every session of a store, in so many processes, against a baseline."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from typing import Any

from rich.console import Console
from rich.text import Text

from replaykit.cli.progress import progress_bar
from replaykit.cli.replayed import show_result, verdict_text
from replaykit.model import ReplayOptions, ReplayReport
from replaykit.plain_text import counted, one_line
from replaykit.suites.replaying import replay_all

__all__ = ["report_for_machines", "report_of", "show_report"]


def report_of(store: str, memory: str, options: ReplayOptions, *, workers: int | None, **chosen: Any) -> ReplayReport:
    """Replay all sessions of *store* on *memory*, in *workers* processes if that is more than one."""
    import multiprocessing

    with ExitStack() as stack:
        executor = None
        if workers is not None and workers > 1:
            # A fresh process holds none of our locks and open files.
            fresh = multiprocessing.get_context("spawn")
            executor = stack.enter_context(ProcessPoolExecutor(workers, mp_context=fresh))
        progress = stack.enter_context(progress_bar("replaying"))
        return replay_all(store, memory, options=options, executor=executor, progress=progress, **chosen)


def report_for_machines(report: ReplayReport) -> dict[str, Any]:
    """Return all that a program wants to know of it."""
    sessions = [
        {
            "session_id": session_id,
            "name": result.name,
            "verdict": result.verdict,
            "error": result.error,
            "incomplete": result.incomplete,
        }
        for session_id, result in report.results.items()
    ]
    return {
        "verdict": report.verdict,
        "is_success": report.is_success,
        "totals": report.totals,
        "sessions": sessions,
        "new_divergences": report.to_records(),
        "fixed": report.fixed,
        "resumed": report.resumed,
        "duration_ns": report.duration_ns,
    }


def show_report(out: Console, report: ReplayReport) -> None:
    """Print each session that did not pass, and the sum of all."""
    for result in report.results.values():
        if result.verdict not in ("passed", "nothing compared"):
            show_result(out, result)
    for item in report.fixed:
        where = f"{str(item.session_id)[:8]} {item.at_sequence} {item.divergence_type} at {item.where}"
        out.print(Text(f"note: known, but not seen any more: {one_line(where, 150)}", "dim"))
    totals = report.totals
    names = ("passed", "failed", "errored", "incomplete", "nothing compared")
    counts = ", ".join(f"{totals[name]:,} {name}" for name in names if totals[name])
    known = f"; {counted(totals['known_actions'], 'action')} differ as known" if totals["known_actions"] else ""
    taken = f"; {counted(report.resumed, 'session')} taken over" if report.resumed else ""
    sessions = counted(totals["sessions"], "session")
    out.print(Text.assemble(verdict_text(report.verdict), f"  {sessions}: {counts or 'none'}{known}{taken}"))
