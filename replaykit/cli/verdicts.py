"""What people see of checks, diagnoses, recoveries and compactions."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from replaykit.cli.render import gaps_text
from replaykit.model import Compaction, Diagnosis, Finding, Recovery, RescuedMemory, SessionSummary, Verification
from replaykit.plain_text import counted, one_line, printable

__all__ = ["show_compaction", "show_diagnosis", "show_recovery", "show_verification", "size_text"]

_STYLES = {"note": "dim", "warning": "yellow", "damage": "bold red", "unreadable": "bold red"}
_UNIT = 1024


def size_text(size: int) -> str:
    """Return a number of bytes as people say it."""
    if size < _UNIT:
        return f"{size} bytes"
    shown = float(size)
    for unit in ("KiB", "MiB", "GiB"):
        shown /= _UNIT
        if shown < _UNIT:
            return f"{shown:.1f} {unit}"
    return f"{shown / _UNIT:.1f} TiB"


def show_verification(out: Console, verification: Verification) -> None:
    """Print the verdict, and each problem on a line."""
    where = printable(verification.path, keep_lines=False)
    held = f"{counted(verification.sessions, 'session')}, {counted(verification.actions, 'action')}"
    read = f"{size_text(verification.bytes_read)}, {held}"
    if verification:
        said = f"{where}: {read}, {_accounted(verification)}{_beside(verification)}"
        _line(out, Text.assemble(("ok  ", "green"), said))
        return
    for problem in verification.problems:
        _line(out, Text.assemble(("problem  ", "bold red"), printable(problem, keep_lines=False)))
    count = counted(len(verification.problems), "problem")
    said = f"{where}: {count} in {read}{_beside(verification)}. Next: replaykit doctor {where}"
    _line(out, Text(said, style="bold"))


def _beside(verification: Verification) -> str:
    """Return what no byte of the store shows: what its sessions had lost before, and what was not looked at."""
    gaps = f"; {counted(verification.gaps, 'gap')} where live logs were damaged" if verification.gaps else ""
    return gaps + (f"; {counted(verification.live_logs, 'live log')} not looked at" if verification.live_logs else "")


def _accounted(verification: Verification) -> str:
    """Return what was found to be well, and what was not looked at."""
    of_what = " of the sessions" if verification.unchecked else ""
    said = [f"every byte{of_what} accounted for"]
    if verification.depth == "bytes":
        said.append("what actions hold was not decoded")
    if verification.frames is not None:
        older = f" and {counted(verification.versions, 'older version')}" if verification.versions else ""
        said.append(f"{counted(verification.frames, 'frame')}{older} checked by hash, the database whole")
    if verification.unchecked:
        said.append(f"not checked: {printable(', '.join(verification.unchecked), keep_lines=False)}")
    return "; ".join(said)


def show_diagnosis(out: Console, diagnosis: Diagnosis) -> None:
    """Print one finding a line, gravest first, and the sum of it."""
    for finding in diagnosis.findings:
        _line(out, _finding_line(finding))
    where = printable(diagnosis.path, keep_lines=False)
    if diagnosis:
        _line(out, Text.assemble(("ok  ", "green"), f"{where}: nothing is wrong"))
        return
    wrong = sum(1 for finding in diagnosis.findings if finding.severity != "note")
    _line(out, Text(f"{where}: {counted(wrong, 'finding')} to act on. Nothing was changed.", style="bold"))


def _finding_line(finding: Finding) -> Text:
    said = Text.assemble(
        (f"{finding.severity:<10}", _STYLES[finding.severity]),
        f" {printable(finding.where, keep_lines=False)}: {printable(finding.what, keep_lines=False)}",
    )
    if finding.next_step:
        said.append(f". Next: {printable(finding.next_step, keep_lines=False)}", style="bold")
    return said


def show_recovery(out: Console, recovery: Recovery, sessions: Sequence[SessionSummary]) -> None:
    """Print a table of what is in the new store, the damage, and the sum of it."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("session", "name", "actions", "recovered"):
        table.add_column(heading, justify="right" if heading == "actions" else "left", no_wrap=heading != "name")
    for item in sessions:
        name = Text(one_line(item.name or "", 40))
        table.add_row(str(item.session_id)[:8], name, f"{item.action_count:,}", _recovered(recovery, item))
    if sessions:
        out.print(table)
    memory = recovery.memory
    for damage in (*recovery.damage, *(memory.damage if memory is not None else ())):
        _line(out, Text.assemble(("damage  ", "bold red"), printable(damage, keep_lines=False)))
    target = printable(recovery.target, keep_lines=False)
    whole = f"{recovery.whole_sessions:,} of {counted(recovery.sessions, 'session')} whole"
    lost = f", {counted(recovery.lost_actions, 'action')} known to be missing" if recovery.lost_actions else ""
    frames = "" if memory is None else f", {_rescued(memory)}"
    _line(
        out, Text(f"{target}: {whole}{lost}{frames}. {printable(recovery.path, keep_lines=False)} was left as it is.")
    )


def _rescued(memory: RescuedMemory) -> str:
    older = f", {counted(memory.lost_versions, 'older version')} lost" if memory.lost_versions else ""
    if not memory.lost_frames:
        return f"{counted(memory.frames, 'frame')}{'' if memory else ', not all of the memory'}{older}"
    total = memory.frames + memory.lost_frames
    return f"{memory.frames:,} of {counted(total, 'frame')}{older}"


def _recovered(recovery: Recovery, item: SessionSummary) -> Text:
    missing = recovery.lacking.get(item.session_id)
    if missing is None:
        return Text("whole", style="green")
    what = f"lacks {counted(missing, 'action')}" if missing else "" if item.gaps else "something is missing"
    return Text(", ".join(filter(None, (what, gaps_text(item.gaps)))), style="bold red")


def show_compaction(out: Console, compaction: Compaction, published: int) -> None:
    """Print sizes before and after."""
    before, after = compaction.bytes_before, compaction.bytes_after
    share = 100 * abs(before - after) // max(1, before)
    change = f"{share} % {'less' if after <= before else 'more'}"
    sizes = f"{size_text(before)} before, {size_text(after)} after ({change})"
    where = printable(compaction.path, keep_lines=False)
    held = f"{counted(compaction.sessions, 'session')} kept, {compaction.dropped:,} deleted before and dropped now"
    _line(out, Text(f"{where}: {sizes}; {held}"))
    if published:
        _line(out, Text(f"published first: {counted(published, 'session')} that a killed process had left"))
    if compaction.skipped:
        left = f"left as they were: {counted(compaction.skipped, 'file')} that other processes write to"
        _line(out, Text(left, style="yellow"))


def _line(out: Console, text: Text) -> None:
    # One line stays one line, also in a narrow window: it may be searched.
    out.print(text, soft_wrap=True)
