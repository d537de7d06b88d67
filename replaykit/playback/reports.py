"""What a replay says, for machines: JUnit XML and GitHub's annotations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from replaykit.model import ActionResult, Divergence, ReplayResult

__all__ = ["github_annotations", "junit_xml", "workflow_error"]

# What XML 1.0 has no way to write, escaped or not.
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(results: Sequence[ReplayResult]) -> str:
    """
    Return results as JUnit XML: a suite per session, a case per action.

    A divergence is a failure, an error of the infrastructure an error; what
    was skipped, could not be compared or differs as is known is skipped.  A
    session that is not whole has a case of its own that fails, one that could
    not be replayed a case with an error.
    """
    root = ElementTree.Element("testsuites", name="replaykit")
    for result in results:
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=str(result.session_id),
            tests=str(len(result.action_results) + bool(result.incomplete) + bool(result.error)),
            failures=str(result.mismatched_actions + bool(result.incomplete)),
            errors=str(result.errored_actions + bool(result.error)),
            skipped=str(result.skipped_actions + result.incomparable_actions + result.known_actions),
            time=_seconds(result.duration_ns),
        )
        for item in result.action_results:
            _add_case(suite, result, item)
        if result.incomplete:
            _add(_session_case(suite, result, "is whole"), "failure", "; ".join(result.incomplete), "")
        if result.error:
            _add(_session_case(suite, result, "can be replayed"), "error", result.error, "")
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _session_case(suite: ElementTree.Element, result: ReplayResult, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname=str(result.session_id), name=name, time="0")


def _add_case(suite: ElementTree.Element, result: ReplayResult, item: ActionResult) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=str(result.session_id),
        name=f"{item.sequence} {item.action_type}",
        time=_seconds(item.duration_ns),
    )
    if item.status == "mismatched":
        _add(case, "failure", item.divergences[0].details, "\n".join(map(_line, item.divergences)))
    elif item.status == "errored":
        _add(case, "error", item.reason, "")
    elif item.status != "matched":
        _add(case, "skipped", item.reason, "")


def _add(case: ElementTree.Element, tag: str, message: str, text: str) -> None:
    element = ElementTree.SubElement(case, tag, message=_writable(message))
    element.text = _writable(text) or None


def _line(item: Divergence) -> str:
    cause = f" (likely: {item.cause})" if item.cause else ""
    return f"{item.divergence_type.value} at {item.where}: {item.details}{cause}"


def _writable(text: str) -> str:
    return _UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def _seconds(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e9:.6f}"


def github_annotations(results: Sequence[ReplayResult]) -> list[str]:
    """
    Return workflow commands that mark each divergence and each other reason not to pass, a line each.

    Recorded text cannot end a line or begin a command of its own.
    """
    lines = []
    for result in results:
        session = f"session {result.session_id}"
        lines += [
            workflow_error(_line(item), title=f"{session}, action {item.at_sequence}") for item in result.divergences
        ]
        lines += [
            workflow_error(item.reason, title=f"{session}, action {item.sequence}")
            for item in result.action_results
            if item.status == "errored"
        ]
        reasons = [*result.incomplete, result.error] if result.error else result.incomplete
        lines += [workflow_error(reason, title=session) for reason in reasons]
        if result.verdict == "nothing compared":
            lines.append(workflow_error("nothing was compared", title=session))
    return lines


def workflow_error(message: str, **properties: str | int) -> str:
    """Return a workflow command, a line, that shows *message* as an error; *properties* are ``title``, ``file``, ..."""
    given = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items())
    return f"::error {given}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
