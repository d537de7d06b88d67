"""The hooks that pytest calls for each test: around its fixtures, its call, its end and its report."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from replaykit.pytest_plugin.run import Run

__all__ = ["Following"]


class Following:
    """
    Follows the tests of a run in which some have recordings.

    *run* gives what that run knows of recordings; None as long as none was opened.
    """

    def __init__(self, run: Callable[[], Run | None]) -> None:
        self._run = run

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, Any, Any]:
        """
        Let a fixture that several tests share make no calls: they would be in the recording of the first.

        Nor may it when it is torn down, after the last.
        """
        run = self._run()
        if run is None or fixturedef.scope == "function":
            return (yield)
        refusal = run.refusal(f"the fixture {fixturedef.argname} of scope {fixturedef.scope}")
        teardown = ExitStack()
        # What is added first is called last.
        fixturedef.addfinalizer(teardown.close)
        with refusal():
            result = yield
        fixturedef.addfinalizer(lambda: teardown.enter_context(refusal()))
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Fail a test that did not notice that calls were not answered."""
        result = yield
        run = self._run()
        if run is not None:
            run.called(item)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Write the recording of a test that passed, once its fixtures are torn down as well."""
        run = self._run()
        try:
            result = yield
        except BaseException:
            if run is not None:
                run.ended(item, whole=False)
            raise
        run = self._run()
        if run is not None:
            run.ended(item)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
        """Note how the test went, and say in its report which recording it had."""
        run = self._run()
        if run is None:
            return (yield)
        run.show_only_theirs(call)
        report = yield
        run.reported(item, call, report)
        return report
