"""
One thread per store: recovers what a crash left, syncs live logs, publishes parts and ended sessions.

`Background.drain` does the publishing in the calling thread, so that readers
and the interpreter's exit need no thread at all.
"""

from __future__ import annotations

import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

from replaykit.errors import ClosedError, ReplaykitError, StorageError
from replaykit.format.entries import Card
from replaykit.intercept import scope
from replaykit.logs import get_logger
from replaykit.protocols import Log, Store
from replaykit.recording.exits import at_exit, at_exit_of_child, not_at_exit
from replaykit.recording.leftovers import Leftovers
from replaykit.recording.pace import Pace
from replaykit.recording.ready_logs import ReadyLogs
from replaykit.recording.watched import Watched
from replaykit.storage.pausing import LARGE_SLICE, SMALL_SLICE
from replaykit.storage.syncing import means_no_handles

if TYPE_CHECKING:
    from replaykit.recording.session import ActiveSession

__all__ = ["Background", "background_of"]

log = get_logger("recording")

GROUP_SECONDS = 0.02
"""With ``durability="group"`` what was appended this long ago is being synced."""

_IDLE_SECONDS = 5.0
"""A thread with nothing to do for this long ends; the next session starts another."""

_MOST_FAILED = 100
"""So many sessions that could not be published are tried again; older ones are left as a crash leaves them."""
_RETRY_SECONDS = 5.0
"""How long a session that could not be published waits for the next attempt, unless a flush asks earlier."""

_CHECK_SECONDS = 1.0
"""How often a bounded store is measured."""

_MOST_LOOKED_AT = 32
"""So many open sessions tell whether the agent is at work: where there are more, one of them is."""

_AMENDABLE = 256
"""So many ended sessions are remembered for calls that come late."""

_of_stores: weakref.WeakKeyDictionary[Any, Background] = weakref.WeakKeyDictionary()
"""The backgrounds of the open stores: a store has one, however many recorders name it."""


class _Making:
    """Held while a background is made: two threads must not make two."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        scope.on_fork(self._renew)

    def _renew(self) -> None:
        self.lock = threading.RLock()


_making = _Making()


class Background:
    """What happens to a store's sessions after the calls have returned."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: dict[int, Watched] = {}
        self._ended: deque[Watched] = deque()
        self._failed: deque[Watched] = deque()
        self._left_behind = 0
        self._begun = 0
        self._amended: dict[int, Watched] = {}
        # Which of those may have new counts: to look at all of them took a
        # fifth of what publishing a short session costs.
        self._told: deque[int] = deque()
        self._left = Leftovers(store)
        self._ready = ReadyLogs(store)
        # Putting into it is safe in signal handlers and finalisers, unlike
        # setting a threading.Event.
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._publishing = threading.RLock()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_draining = False
        self._is_exiting = False
        self._is_over = False
        self.at_exit: Callable[[], None] | None = None
        self._ends_with_child = False
        self._retry_from = 0.0
        self._check_from = 0.0
        self._sync_from = 0.0
        self._pace = Pace(self._ended, self._calls_begun)

    # -- what recorders tell ------------------------------------------------

    def watch(self, session: ActiveSession, card: Card | None = None) -> None:
        """Take care of a session that just opened; *card* is what is published of it already."""
        self._open[id(session)] = Watched(session, self._store, card, self._pause)
        self._begun += 1
        self._ready.note_opened()
        if not self._ends_with_child:
            self._ends_with_child = at_exit_of_child(_end_all_of(self))
        self._start()

    def _calls_begun(self) -> int:
        """Return a number that changes with each session that begins and each call of the latest ones."""
        try:
            newest = islice(reversed(self._open.values()), _MOST_LOOKED_AT)
            return self._begun + sum(watched.session.latest + 1 for watched in newest)
        except RuntimeError:
            # Sessions come and go just now.
            return -1

    def take_log(self) -> Log | None:
        """Return the log that lies ready for a session that begins, None where there is none."""
        return self._ready.take()

    def ended(self, session: ActiveSession) -> None:
        """Publish a session that just ended, soon; `naps` says whether to wait for that."""
        watched = self._open.pop(id(session), None)
        if watched is not None:
            self._ended.append(watched)
        self._start()
        self._wake.put(None)

    def naps(self) -> Iterator[float]:
        """Yield seconds to sleep while more ended sessions wait than may."""
        return self._pace.naps(self._is_working_elsewhere)

    def _is_working_elsewhere(self) -> bool:
        thread = self._thread
        return thread is not None and thread.is_alive() and thread is not threading.current_thread()

    def amend(self, session: ActiveSession) -> None:
        """A call came after the session's end: its count has changed."""
        if id(session) in self._amended:
            self._told.append(id(session))
            self._wake.put(None)

    def recover_soon(self) -> None:
        """
        Recover what a crash left in the store, before it is read or anything else is published.

        Raises:
            StorageError: Its live logs cannot be listed.
        """
        if self._left.find():
            self._start()
            self._wake.put(None)

    @property
    def is_recovered(self) -> bool:
        """Whether nothing that a crash left is still to be recovered."""
        return not self._left

    @property
    def failures(self) -> int:
        """How many ended sessions could not be published so far; their live logs stay."""
        return len(self._failed) + self._left_behind

    # -- publishing -----------------------------------------------------------

    def drain(self) -> None:
        """
        Recover and publish all ended sessions now, in the calling thread; a call from within a drain does nothing.
        """
        with self._hurry(), self._publishing:
            if self._is_draining:
                return
            self._is_draining = True
            try:
                self._left.recover(self._pause)
                self._publish_ended()
                self._publish_amended()
            finally:
                self._is_draining = False

    def _hurry(self) -> AbstractContextManager[None]:
        """Have the background thread take no rest meanwhile, unless this is that thread."""
        return nullcontext() if threading.current_thread() is self._thread else self._pace.hurried()

    def _pause(self) -> int:
        """Rest between two slices of work, for which only the background thread has the time; see `Pause`."""
        if threading.current_thread() is not self._thread or self._is_exiting:
            return LARGE_SLICE
        if time.monotonic() >= self._sync_from:
            # Publishing may take longer than a sync may wait.
            self._keep_up()
        self._pace.rest()
        return LARGE_SLICE if self._pace.is_hurried else SMALL_SLICE

    def _publish_ended(self) -> None:
        waiting = []
        while self._ended:
            watched = self._ended.popleft()
            if threading.current_thread() is self._thread:
                self._ready.prepare()
            try:
                if not watched.publish_end():
                    waiting.append(watched)
                    continue
            except Exception as error:
                # A store that fails otherwise than it promises loses nothing either.
                self._keep_for_later(watched, error)
                continue
            self._pace.note_published()
            self._recover_left_behind()
            self._amended[id(watched.session)] = watched
            # What came while it was being published has told nobody.
            self._told.append(id(watched.session))
            while len(self._amended) > _AMENDABLE:
                self._amended.pop(next(iter(self._amended)))
        self._ended.extend(waiting)

    def _keep_for_later(self, watched: Watched, error: Exception) -> None:
        """The live log stays and is read in the session's place, until a later attempt or process publishes it."""
        session = watched.session
        self._failed.append(watched)
        self._retry_from = time.monotonic() + _RETRY_SECONDS
        session.engine.troubles.report_unpublished(session, error)
        if session.engine.settings.durability != "os":
            with suppress(ReplaykitError, OSError):
                session.live.sync()
        if len(self._failed) > _MOST_FAILED:
            # Each holds a file open, and the agent needs some too.
            self._failed.popleft().session.live.close()
            self._left_behind += 1

    def _recover_left_behind(self) -> None:
        """The store takes sessions again: recover those that were left, as after a crash."""
        if self._left_behind:
            with suppress(StorageError):
                self.recover_soon()
                self._left_behind = 0

    def publish_all(self) -> None:
        """Publish all ended sessions now, also those that could not be published before."""
        self._retry_from = time.monotonic() + _RETRY_SECONDS
        with self._hurry(), self._publishing:
            self._told.extend(list(self._amended))
            self._ended.extend(self._failed)
            self._failed.clear()
            self.drain()

    def release(self) -> bool:
        """Let go of one holder's store, unless it is the last and something is still to be done; return whether."""
        # Whoever publishes right now is not waited for.
        if not self._publishing.acquire(blocking=False):
            return False
        try:
            is_shared = getattr(self._store, "holders", 1) > 1
            if not is_shared and self._is_busy():
                return False
            with suppress(ReplaykitError, OSError):
                self._store.close()
            if not is_shared:
                self.give_up()
            return True
        finally:
            self._publishing.release()

    def _is_busy(self) -> bool:
        waiting = (self._open, self._ended, self._failed, self._told, self._left, self._left_behind)
        return self._is_draining or any(waiting)

    def give_up(self) -> None:
        """Where the store is closed, end, and leave what could not be published to whoever opens it next."""
        try:
            self._store.cards()
        except ClosedError:
            self._ready.drop()
            # A log that we hold on to would look like an open session's.
            while self._failed:
                self._failed.pop().session.live.close()
            self._forget()
        except (ReplaykitError, OSError):
            return

    def _forget(self) -> None:
        """Let the thread go, and be found by nobody any more: a program may open and close many stores."""
        self._is_over = True
        self._wake.put(None)
        _of_stores.pop(self._store, None)
        if self.at_exit is not None:
            not_at_exit(self.at_exit)

    def _publish_amended(self) -> None:
        refused = []
        while self._told:
            watched = self._amended.get(self._told.popleft())
            if watched is None:
                continue
            try:
                watched.publish_counts()
            except ClosedError:
                # The session is published; only a count that came after the
                # store was closed has no place any more.
                self._amended.pop(id(watched.session), None)
            except Exception as error:
                refused.append(id(watched.session))
                watched.session.engine.troubles.report_unpublished(watched.session, error)
        self._told.extend(refused)

    def _publish_parts(self) -> None:
        """Publish parts of open sessions that have grown past a part's size."""
        for watched in list(self._open.values()):
            session = watched.session
            if not watched.has_grown or time.monotonic() < watched.retry_from:
                continue
            with self._publishing:
                if id(session) not in self._open:
                    continue
                try:
                    watched.publisher.publish(final=False)
                except Exception as error:
                    watched.retry_from = time.monotonic() + _RETRY_SECONDS
                    session.engine.troubles.report_unpublished(session, error)

    def _keep_up(self) -> None:
        """Do what cannot wait until a part is published."""
        self._sync_from = time.monotonic() + GROUP_SECONDS
        self._ready.prepare()
        self._sync()
        self._stop_where_full()

    def _sync(self) -> None:
        for watched in list(self._open.values()):
            session = watched.session
            size = session.live.size
            if size == watched.synced or session.engine.settings.durability == "os" or not session.is_open:
                continue
            try:
                session.live.allocate_ahead()
                session.live.sync()
                watched.synced = size
            except ClosedError:
                # It ended and was published just now.
                continue
            except OSError as error:
                if means_no_handles(error):
                    # The folder, which is synced with a log's first bytes, cannot be opened: soon it can.
                    continue
                # Reported once by the system; never asked again.
                watched.synced = 1 << 62
                session.lose(error)

    def _stop_where_full(self) -> None:
        """Seal open sessions once the store holds as much as it may; their agents go on unrecorded."""
        # What is being recovered is in the store twice for a while.
        if not self._open or self._left or time.monotonic() < self._check_from:
            return
        self._check_from = time.monotonic() + _CHECK_SECONDS
        if self._store.is_full():
            for watched in list(self._open.values()):
                watched.session.engine.end(watched.session, by="limit")

    def flush(self) -> None:
        """
        Sync what open sessions have logged and publish ended ones.

        Raises:
            OSError: The log of an open session cannot be synced.
        """
        for watched in list(self._open.values()):
            if watched.session.is_open:
                watched.session.live.sync()
        self.publish_all()

    # -- the thread -------------------------------------------------------------

    def _start(self) -> None:
        thread = self._thread
        if self._is_exiting or self._is_over or (thread is not None and thread.is_alive()):
            return
        # A signal handler may come here while its own thread holds the lock:
        # then that thread is already starting.
        if not self._starting.acquire(blocking=False):
            return
        try:
            thread = threading.Thread(target=self._run, name="replaykit-background", daemon=True)
            self._thread = thread
            thread.start()
        except RuntimeError:
            # No thread can be started while the interpreter goes down; the
            # exit handler and readers drain by themselves.
            self._thread = None
        finally:
            self._starting.release()

    def _run(self) -> None:
        idle_since = time.monotonic()
        while not (self._is_exiting or self._is_over):
            self._sleep()
            try:
                self._keep_up()
                self._pace.begin()
                self._publish_parts()
                if self._failed and time.monotonic() >= self._retry_from:
                    self.publish_all()
                self.drain()
            except Exception as error:
                log.error("background_failed", error=f"{type(error).__name__}: {error}")
            if self._open or self._ended or self._failed or self._left:
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since >= _IDLE_SECONDS:
                self._say_idle()
                self._thread = None
                if self._open or self._ended or self._left:
                    # A session came in between: it saw a living thread.
                    self._start()
                return

    def _say_idle(self) -> None:
        self._ready.drop()
        # Only the verdict on later damage hangs on it.
        with suppress(ReplaykitError, OSError):
            self._store.idle()

    def _sleep(self) -> None:
        """Wait to be woken; with open sessions no longer than a sync may wait."""
        with suppress(queue.Empty):
            self._wake.get(timeout=GROUP_SECONDS if self._open else _IDLE_SECONDS)
            while True:
                self._wake.get_nowait()

    def forked(self) -> None:
        """Forget the parent's sessions and its recovery: this is its child."""
        self._left.abandon()
        self._ready.abandon()
        at_exit_too = self.at_exit
        self.__init__(self._store)  # type: ignore[misc]  # locks and thread of the parent are void here
        self.at_exit = at_exit_too

    def end_all(self) -> None:
        """Seal and publish everything: the interpreter exits."""
        for watched in list(self._open.values()):
            watched.session.engine.end(watched.session, by="exit")
        self.stop()

    def stop(self) -> None:
        """Publish what has ended and let the thread go."""
        self._is_exiting = True
        self._wake.put(None)
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=30)
        self._ready.drop()
        self.publish_all()
        self._is_exiting = False


def background_of(store: Store) -> Background:
    """Return the background of *store*, the same one for everybody."""
    with _making.lock:
        found = _of_stores.get(store)
        if found is None:
            found = _of_stores[store] = Background(store)
            # Once: a forked child has it from its parent, ahead of the
            # handlers of the program, which run before it.
            found.at_exit = _end_all_of(found)
            at_exit(found.at_exit)
        return found


def _end_all_of(background: Background) -> Callable[[], None]:
    """Return what seals and publishes everything of *background*, if its store is still in use."""
    reference = weakref.ref(background)

    def end_all() -> None:
        found = reference()
        if found is not None:
            found.end_all()

    return end_all
