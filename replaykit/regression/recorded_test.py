"""One test and its recording: plays it, records what may run, and writes what is new once the test has passed."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Literal
from uuid import UUID

import attrs

from replaykit.errors import (
    DamagedError,
    NoMatchError,
    NotAStoreError,
    PlaybackError,
    ReplaykitWarning,
    SessionNotFoundError,
    StoreNotFoundError,
    UsageError,
    WrongRecordingError,
)
from replaykit.intercept.handler import Called, Ticket
from replaykit.loading import Recording, load_finished
from replaykit.model import ReplayAction, ReplaySession
from replaykit.playback.player import Player
from replaykit.playback.turns import OnRepeat
from replaykit.recording.engine import RecordingEngine
from replaykit.recording.opening import Asked
from replaykit.recording.session import ActiveSession, Unrecorded
from replaykit.redactors import make_redactor, redactor_for, rule_sets_of
from replaykit.regression.lacking import calls_without_form, demand_whole
from replaykit.regression.modes import Mode
from replaykit.regression.normalising import demand_readable, has_calls, not_made_again, not_recorded_since, same_calls
from replaykit.regression.owners import owner_of
from replaykit.regression.places import Place, is_empty, proposal_path
from replaykit.regression.replacing import one_at_a_time, remove_file, write_recording
from replaykit.regression.writing import id_of_test, recording_bytes
from replaykit.settings import Settings, is_disabled

__all__ = ["Kept", "PlayOptions", "RecordedTest", "RecordedTestSession"]

Kept = Literal["nothing", "recorded", "unchanged", "proposed"]
"""What became of the recording: ``nothing`` was to be written, or it was, or it would not differ, or it waits."""

_RUNS_EVERYTHING = frozenset({"all", "rewrite"})
# No path in it: pytest then shows it once for all tests.
_SWITCHED_OFF = (
    "calls ran and were not recorded: REPLAYKIT_DISABLED switches recording off. Unset it to record tests, or have "
    "the mode none, in which calls that are not recorded fail"
)


@attrs.frozen(kw_only=True)
class PlayOptions:
    """
    How a test plays and records; all but the last two are those of `replaykit.play`.

    Attributes:
        redact: Rule sets and callables, as for a recorder.
        misses: What a test that passes although a call of it was not answered
            does: ``error`` fails it, ``allow`` lets it pass.
    """

    match_on: Iterable[str] = ("kind", "name", "arguments")
    ignore: Iterable[str] = ()
    on_repeat: OnRepeat = "error"
    live: Iterable[str] = ()
    exceptions: Iterable[type[BaseException]] | Mapping[str, type[BaseException]] = ()
    redact: Sequence[Any] = ("secrets",)
    misses: Literal["error", "allow"] = attrs.field(default="error", validator=attrs.validators.in_(("error", "allow")))

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> PlayOptions:
        """
        Return the options that *given* has.

        Raises:
            UsageError: One of them is unknown.
        """
        known = [field.name for field in attrs.fields(cls)]
        unknown = [name for name in given if name not in known]
        if unknown:
            raise UsageError(f"unknown option {unknown[0]!r}: give some of {', '.join(known)}")
        return cls(**given)

    @property
    def own_redactors(self) -> Sequence[Any]:
        """The callables of `redact`."""
        rules = (self.redact,) if isinstance(self.redact, str) or callable(self.redact) else self.redact
        return [rule for rule in rules if callable(rule)]

    def for_player(self) -> dict[str, Any]:
        """Return what a `Player` is made with."""
        names = ("match_on", "ignore", "on_repeat", "live", "exceptions")
        return {**{name: getattr(self, name) for name in names}, "redact": self.own_redactors}


class _TestPlayer(Player):
    """Answers a test's calls, also those of contexts that are in no play; remembers those that it could not."""

    is_ambient = True
    is_over = False

    def __init__(self, session: ReplaySession, advice: Callable[[NoMatchError], NoMatchError], **options: Any) -> None:
        super().__init__(session, **options)
        self.misses: list[NoMatchError] = []
        self._advised = advice

    def begin(self, called: Called, arguments: Mapping[str, Any]) -> Ticket | None:
        """
        Answer a call, or let it run as the mode says.

        Raises:
            NoMatchError: It is neither recorded nor may it run.
        """
        if self.is_over:
            # A task that was begun within the test, and goes on after it.
            return None
        try:
            return super().begin(called, arguments)
        except NoMatchError as error:
            self.misses.append(error)
            raise self._advised(error) from None

    def ignored(self, name: str) -> frozenset[str]:
        """Return the arguments that do not count in calls of this name."""
        return self._ignore.union(*(row.ignored for row in self._rows.values() if row.name == name))


class _Refusal(Player):
    """Answers no call, and lets none run but those that are live: *caller* makes them, which is no test."""

    is_ambient = True

    def __init__(self, session: ReplaySession, caller: str, *, live: Iterable[str]) -> None:
        super().__init__(session, live=live)
        self._caller = caller

    def begin(self, called: Called, arguments: Mapping[str, Any]) -> Ticket | None:
        """
        Let a live call run.

        Raises:
            UsageError: It is not live.
        """
        if self.knows(called, arguments):
            return super().begin(called, arguments)
        raise UsageError(f"{called.operation.name}() is called by {self._caller}")


class RecordedTestSession:
    """
    What the fixture ``replay_session`` gives: the session of a test, played or being recorded.

    It has the same face in both cases, so that a test needs not know which it is.
    """

    def __init__(self, test: RecordedTest) -> None:
        self._test = test

    @property
    def session_id(self) -> UUID:
        """The id of the session that is played, or recorded now."""
        return self._test.session.session_id

    @property
    def name(self) -> str:
        """Whose recording it is, as ``test_notes.py::test_find``."""
        return self._test.place.identity

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the recording says of itself, with what this run has added."""
        return {**self._test.session.metadata, **self._test.metadata}

    @property
    def actions(self) -> Sequence[ReplayAction]:
        """The recorded calls; while it is recorded those that have ended by now."""
        return self._test.session.actions

    def annotate(self, **metadata: Any) -> None:
        """Add to the metadata that are written with the recording, if it is written."""
        self._test.metadata.update(metadata)

    def __repr__(self) -> str:
        return f"<session of {self.name}>"


class RecordedTest:
    """
    The recording of one test: `start` before the test, `stop` after it, then `keep` if it has passed, then `close`.

    While it is started every recorded call of the process is answered from
    the recording or, where the mode lets it, runs and is recorded.  Where
    several are started each context has the one that it is in, and a context
    that is in none, a thread's, the last.

    Attributes:
        place: Where the recording is, and whose.
        mode: What is done with it.
        metadata: What the test says about itself.
        without_form: Calls in what `keep` wrote that any other object of an argument's class would match, as in
            ``search(where=Filter)``, with their number.
        switch: How a person changes the mode, for messages: what the mode's name is put behind.
    """

    def __init__(
        self,
        place: Place,
        mode: Mode,
        options: PlayOptions | None = None,
        *,
        proposes: bool = False,
        switch: str = "REPLAYKIT_MODE=",
    ) -> None:
        self.place = place
        self._is_anew = mode == "rewrite" or (proposes and mode != "off")
        self.mode: Mode = mode
        if self._is_anew:
            # Nobody knows who is the first of those that share one: what the
            # others call stays.
            self.mode = "all" if place.is_shared else "rewrite"
        self.metadata: dict[str, Any] = {}
        self.without_form: Mapping[str, int] = {}
        self.switch = switch
        self._options = options or PlayOptions()
        self._proposes = proposes
        self._files = ExitStack()
        self._playing = ExitStack()
        self._played: ReplaySession | None = None
        self._player: _TestPlayer | None = None
        self._engine: RecordingEngine | None = None
        self._recorded: ActiveSession | None = None
        self._unrecorded: Unrecorded | None = None
        self._held: ReplaySession | None = None

    # -- around the test ----------------------------------------------------------

    def start(self) -> None:
        """
        Begin to answer the calls of this context, and of those contexts of this process that are in no play.

        Raises:
            StorageError: The recording cannot be read.
            WrongRecordingError: It is another test's.
        """
        if self.mode == "off":
            return
        try:
            with self._advising():
                self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        if self.mode not in _RUNS_EVERYTHING:
            self._played = self._recorded_session()
        if self.mode in ("new_episodes", *_RUNS_EVERYTHING) or (self.mode == "once" and self._played is None):
            if is_disabled():
                self._unrecorded = Unrecorded(self)
            else:
                self._recorded = self._begin_recording()
        self._player = self._new_player()
        self._playing.enter_context(self._player)

    @contextmanager
    def _advising(self) -> Iterator[None]:
        """Have errors that the file is to blame for say what to do about it."""
        try:
            yield
        except DamagedError as error:
            error.add_note(f"Get it back from version control, or record it again: {self.switch}rewrite")
            raise
        except NotAStoreError as error:
            error.add_note("If it was a recording, get it back from version control, or remove it and record it again")
            raise

    def _recorded_session(self) -> ReplaySession | None:
        if self.mode != "none" and is_empty(self.place.path):
            return None
        try:
            return self._session_of(self.place.path)
        except StoreNotFoundError:
            return None

    def _session_of(self, path: str) -> ReplaySession:
        stored = self._files.enter_context(load_finished(path))
        if self.place.is_shared:
            return _last_of(stored, path)
        with suppress(SessionNotFoundError):
            return stored.get_session(id_of_test(self.place.identity))
        other = _last_of(stored, path)
        raise WrongRecordingError(
            f"{path} is the recording of {other.name}, not of {self.place.identity}. "
            f"If the test was renamed, record it again: {self.switch}rewrite",
            path=path,
        )

    def _begin_recording(self) -> ActiveSession:
        settings = Settings.of({"redact": self._rules(), "durability": "os", "on_loss": "raise"})
        self._engine = RecordingEngine(":memory:", settings)
        if self._played is not None:
            # One recording has one set of rules: its calls are matched under it.
            self._engine.redactor = redactor_for(self._played.redaction, self._options.own_redactors)
        opened = self._engine.open(Asked(name=self.place.identity, is_ambient=True, while_playing=True))
        assert isinstance(opened, ActiveSession)  # only a block may be skipped
        return opened

    def _rules(self) -> list[Any]:
        """Return the rules of redaction: made anew, a recording never has fewer rule sets than it had."""
        asked = self._options.redact
        rules = [asked] if isinstance(asked, str) or callable(asked) else list(asked)
        old = self._played or self._old()
        had = rule_sets_of(old.redaction) if old is not None else ()
        return [*rules, *(name for name in had if name not in rules)]

    def _new_player(self) -> _TestPlayer:
        session = self._played or self._nothing_recorded()
        missing = self._recorded or self._unrecorded
        return _TestPlayer(session, self._advised, record_missing=missing, **self._options.for_player())

    def _nothing_recorded(self) -> ReplaySession:
        version = make_redactor(self._options.redact).version if self._engine is None else self._engine.redactor.version
        return ReplaySession(
            session_id=UUID(int=0),
            name=self.place.identity,
            created_ns=0,
            ended_ns=0,
            actions=(),
            redaction=version,
        )

    def _advised(self, error: NoMatchError) -> NoMatchError:
        """Return *error* with what to do about it."""
        where = self.place.path
        if self._played is None:
            said = f"{error.call} is not recorded: there is no {where}, and mode {self.mode} records none. "
            mode = "new_episodes" if self.place.is_shared else "once"
            return NoMatchError(f"{said}Record it: {self.switch}{mode}", call=error.call)
        advice = f"mode {self.mode} runs nothing that is not recorded in {where}. "
        advice += f"If the change is meant, add it ({self.switch}new_episodes) or record anew ({self.switch}rewrite)"
        if self.place.is_shared:
            advice += "; what others have in it stays"
        return NoMatchError(f"{error}\n  {advice}", call=error.call, nearest=error.nearest)

    def stop(self) -> None:
        """Answer no more calls; what they gave can be looked at and kept."""
        self._playing.close()
        if self._player is not None:
            self._player.is_over = True
        if self._engine is not None and self._recorded is not None:
            self._engine.end(self._recorded, by="block")

    @contextmanager
    def refusing(self, caller: str) -> Iterator[None]:
        """
        Let no call through meanwhile, also where the test is over: they are made by *caller*, and belong to no test.

        *caller* completes "find() is called by ...", and says what to do.
        """
        if self.mode == "off":
            yield
            return
        with _Refusal(self._nothing_recorded(), caller, live=self._options.live):
            yield

    def demand_answered(self) -> None:
        """
        Return if the test noticed all that was not answered.

        Raises:
            NoMatchError: A call was not answered, which no exception of the test has told.
        """
        misses = () if self._player is None or self._options.misses == "allow" else self._player.misses
        if misses:
            told = self._advised(misses[0])
            count = f"{len(misses)} calls were" if len(misses) > 1 else "a call was"
            raise NoMatchError(
                f"{count} not answered, and the test went on (misses='allow' lets it pass). The first:\n{told}",
                call=told.call,
                nearest=told.nearest,
            )

    # -- what came of it ----------------------------------------------------------

    @property
    def path(self) -> str:
        """The file of the recording."""
        return self.place.path

    @property
    def is_recording(self) -> bool:
        """Whether a call that the recording does not answer runs: then the memory has to be there."""
        return self.mode == "off" or self._recorded is not None or self._unrecorded is not None

    @property
    def play_count(self) -> int:
        """How many calls the recording has answered."""
        return 0 if self._player is None else self._player.play_count

    @property
    def recorded_count(self) -> int:
        """How many calls ran because the recording had no answer, those not counted that such calls made."""
        if self._recorded is None:
            return 0
        return sum(1 for action in self.new_session.actions if action.parent is None)

    @property
    def unused(self) -> Sequence[ReplayAction]:
        """Recorded calls that the test did not make; none while everything runs."""
        return () if self._player is None or self._played is None else self._player.unused

    @property
    def all_played(self) -> bool:
        """Whether every recorded call was made."""
        return not len(self.unused)

    @property
    def uncovered(self) -> Mapping[str, int]:
        """Methods of wrapped objects that ran for real, since nothing says what they are, with the number of calls."""
        return {} if self._player is None else self._player.uncovered

    @property
    def session(self) -> ReplaySession:
        """The session that is played; one that is recorded, as far as it is, where nothing is played."""
        if self._played is not None:
            return self._played
        return self._nothing_recorded() if self._recorded is None else self.new_session

    @property
    def new_session(self) -> ReplaySession:
        """
        What was recorded in this run, so far.

        Raises:
            UsageError: Nothing is recorded in this mode.
        """
        if self._engine is None or self._recorded is None:
            raise UsageError(f"nothing is recorded in mode {self.mode}")
        if self._held is not None:
            return self._held
        if self._recorded.is_silent:
            return self._engine.result(self._recorded)
        return self._engine.lease.catalogue.get_session(self._recorded.session_id)

    def keep(self) -> Kept:
        """
        Write the recording if this run brought something new; call it for a test that passed.

        Where ``REPLAYKIT_DISABLED`` has let calls run that would have been recorded a `ReplaykitWarning` says so.

        Raises:
            SecretFoundError: What would be written holds a secret in spite of the redaction.
            RecordingError: A call could not be recorded.
            PlaybackError: What was recorded could not be played.
            StorageError: It cannot be written.
        """
        if self._unrecorded is not None and self._player is not None and self._player.missing_count:
            warnings.warn(_SWITCHED_OFF, ReplaykitWarning, stacklevel=4)
        if self._engine is None or self._recorded is None:
            return "nothing"
        self._engine.troubles.settle_losses(self._recorded)
        with self._advising():
            return self._kept()

    def _kept(self) -> Kept:
        new = self.new_session
        if not len(new.actions):
            if self._proposes:
                self._drop_proposal()
            return "nothing"
        if not new.playable:
            reasons = "; ".join(new.playable.reasons)
            raise PlaybackError(f"{self.path} was not written, since it could not be played: {reasons}")
        self._demand_whole(new)
        if not self.place.is_shared:
            return self._written(new)
        # Others may read it now, and would write what they have read with their own calls only.
        with one_at_a_time(self.path):
            return self._written(new)

    def _ignored(self, name: str) -> frozenset[str]:
        return frozenset() if self._player is None else self._player.ignored(name)

    def _demand_whole(self, new: ReplaySession) -> None:
        try:
            demand_whole(new, self._ignored)
        except PlaybackError as error:
            raise PlaybackError(f"{self.path} was not written, since it could not be played: {error}") from None

    def _written(self, new: ReplaySession) -> Kept:
        old = self._old()
        if old is not None and self.mode in _RUNS_EVERYTHING and self._is_same(old, new):
            self._drop_proposal()
            return "unchanged"
        others = old.metadata if old is not None and self.place.is_shared else {}
        data = recording_bytes(self.place.identity, self._sources(old, new), metadata={**others, **self.metadata})
        write_recording(proposal_path(self.path) if self._proposes else self.path, data)
        self.without_form = calls_without_form(new, self._ignored)
        if self._proposes:
            return "proposed"
        # It was for the recording that was there before.
        self._drop_proposal()
        return "recorded"

    def _is_same(self, old: ReplaySession, new: ReplaySession) -> bool:
        # The other calls of a shared recording are other tests'.
        return has_calls(old, new) if self._adds_to_proposal else same_calls(old, new)

    @property
    def _adds_to_proposal(self) -> bool:
        """Whether several tests may have one proposal: then each adds to it what it makes otherwise."""
        return self._proposes and self.place.is_shared

    def _drop_proposal(self) -> None:
        """Remove what waits for a review, if it is this test's alone."""
        path = proposal_path(self.path)
        if self._adds_to_proposal or not os.path.lexists(path):
            return
        owner = owner_of(path)
        if owner is not None and owner.session_id == id_of_test(self.place.identity):
            remove_file(path)

    def _old(self) -> ReplaySession | None:
        """
        Return what is recorded already; None where there is nothing, or nothing that a new recording could keep.

        A recording that others have, too, is read again: they may have written meanwhile.
        """
        if self._played is not None and not self.place.is_shared:
            return self._played
        path = proposal_path(self.path)
        if not self._adds_to_proposal or not os.path.lexists(path):
            path = self.path
        if not os.path.lexists(path) or is_empty(path):
            return None
        if not self._is_anew:
            return self._session_of(path)
        try:
            old = self._session_of(path)
            # Damage within shows when it is read.
            demand_readable(old)
        except (DamagedError, WrongRecordingError):
            return None
        return old

    def _sources(self, old: ReplaySession | None, new: ReplaySession) -> list[tuple[ReplaySession, list[int] | None]]:
        if old is None or self.mode == "rewrite":
            return [(new, None)]
        if old.redaction != new.redaction and self.place.is_shared:
            raise UsageError(
                f"{self.path} was recorded with the redaction {old.redaction}, and now there is {new.redaction}: "
                "a recording has one. Remove the file, and record it anew with all who share it: "
                f"{self.switch}new_episodes"
            )
        if self.mode == "all":
            return [(old, not_made_again(old, new)), (new, None)]
        if old is self._played:
            return [(old, None), (new, None)]
        return [(old, None), (new, not_recorded_since(self._played, old, new))]

    def hold(self) -> None:
        """Have what was recorded to look at after `close`, too; it cannot be kept any more."""
        if self._recorded is not None:
            new = self.new_session
            self._held = attrs.evolve(new, actions=tuple(new.actions))

    def close(self) -> None:
        """Let go of the files; once too often is fine."""
        self.stop()
        if self._engine is not None:
            self._engine.close()
        self._files.close()

    def __repr__(self) -> str:
        return f"<RecordedTest {self.place.identity} {self.mode}, {self.play_count} played>"


def _last_of(stored: Recording, path: str) -> ReplaySession:
    """Return the session of a recording; whoever writes one writes it with a session."""
    with suppress(SessionNotFoundError):
        return stored.get_session("last")
    raise DamagedError(path, 0, "it has no session: it was cut short, or something changed its line endings")
