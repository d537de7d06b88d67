"""Whatever was done to a memory, its past answers as it answered then."""

from __future__ import annotations

import random
from itertools import count

import attrs
import pytest
from effort import effort
from hypothesis import given, settings
from hypothesis import strategies as st

from replaykit.errors import CheckpointNotFoundError
from replaykit.memory.engine import Engine

WORDS = ["red", "green", "blue", "fox", "whale", "heron", "river", "河川", "naïve", "x1", "the", "of", "and"]
QUERIES_PER_STATE = 5
STEPS = 25
NIGHTLY_QUERIES = 1_000

# One example is a whole life.
lives = settings(max_examples=max(8, effort(1_000)))


@attrs.frozen
class Seen:
    """What a memory held and answered at one generation."""

    generation: int
    hashes: tuple[bytes, bytes | None]
    ids: tuple[int, ...]
    frames: tuple
    answers: dict


class Life:
    """A memory that lives at random, and what it said on the way."""

    def __init__(self, seed, path):
        self.chance = random.Random(seed)
        self.memory = Engine(path)
        self.seen = {0: self.look()}

    def text(self):
        length = self.chance.choice([1, 2, 3, 8, 40])
        return " ".join(self.chance.choices(WORDS, k=length))

    def fields(self):
        title = self.chance.choice([None, self.text()])
        return {"title": title, "uri": self.chance.choice([None, "a:b"]), "metadata": {"n": self.chance.randrange(3)}}

    def look(self):
        engine = self.memory
        snapshot, state_hash = engine.snapshot(with_ids=True)
        queries = [(self.text(), self.chance.choice([1, 3, 10, 100])) for _ in range(QUERIES_PER_STATE)]
        return Seen(
            engine.generation,
            (state_hash, snapshot.lex_index_hash),
            tuple(snapshot.frame_ids),
            tuple(engine.frames()),
            {asked: list(engine.find(*asked)) for asked in queries},
        )

    def step(self):
        ids = self.memory.frame_ids_at(self.memory.generation)
        does = self.chance.choice(["put", "put_many", "update", "title", "delete", "restore"])
        if does == "put" or not ids:
            self.memory.put(self.chance.choice([self.text(), b"bytes"]), **self.fields())
        elif does == "put_many":
            self.memory.put_many([{"content": self.text(), **self.fields()} for _ in range(self.chance.randrange(6))])
        elif does == "update":
            self.memory.update(self.chance.choice(ids), self.text())
        elif does == "title":
            self.memory.update(self.chance.choice(ids), title=self.chance.choice([None, self.text()]))
        elif does == "delete":
            self.memory.delete(self.chance.choice(ids))
        else:
            self.restore(self.chance.choice(list(self.seen.values())))
        self.seen.setdefault(self.memory.generation, self.look())

    def restore(self, then):
        self.memory.restore(then.generation)
        now = self.look()
        assert (now.hashes, now.ids) == (then.hashes, then.ids)
        assert {asked: list(self.memory.find(*asked)) for asked in then.answers} == then.answers

    def prune(self):
        kept = {self.memory.generation, *self.chance.sample(sorted(self.seen), k=min(3, len(self.seen)))}
        before = self.chance.choice([self.memory.generation, self.chance.choice(sorted(self.seen))])
        pruning = self.memory.prune(kept, before)
        gone = {generation for generation in self.seen if generation < before and generation not in kept}
        assert pruning.generations == len(gone)
        for generation in gone:
            del self.seen[generation]
            with pytest.raises(CheckpointNotFoundError):
                self.memory.at(generation)
        self.demand_least()

    def demand_least(self):
        """Each version and each content that is left is needed by a generation that can be gone back to."""
        needed = {(frame.frame_id, frame.generation) for seen in self.seen.values() for frame in seen.frames}
        with self.memory._connection.reading() as connection:
            held = connection.execute("SELECT frame_id, since FROM memory_versions").fetchall()
            unused = connection.execute(
                "SELECT count(*) FROM memory_contents WHERE content_id NOT IN (SELECT content_id FROM memory_versions)"
            ).get
        assert (sorted(held), unused) == (sorted(needed), 0)


def demand_same(view, seen):
    snapshot, state_hash = view.snapshot(with_ids=True)
    assert (view.generation, (state_hash, snapshot.lex_index_hash)) == (seen.generation, seen.hashes)
    assert (tuple(snapshot.frame_ids), tuple(view.frames())) == (seen.ids, seen.frames)
    assert {asked: list(view.find(*asked)) for asked in seen.answers} == seen.answers
    demand_sound(view)


def demand_sound(engine):
    with engine._connection.reading() as connection:
        assert connection.execute("PRAGMA integrity_check").get == "ok"
    if not engine._connection.is_read_only:
        with engine._connection.writing() as connection:
            connection.execute("INSERT INTO memory_index (memory_index, rank) VALUES ('integrity-check', 0)")


def test_finds_of_then_are_the_finds_on_views_and_forks(tmp_path, figure):
    """Ids, order, scores and snippets, on every generation that is kept, after random writes, restores and prunes."""
    asked = 0
    for seed in count():
        life = Life(seed, f"{tmp_path}/{seed}.mv" if seed % 2 else ":memory:")
        for step in range(STEPS):
            life.step()
            if life.chance.randrange(12) == 0:
                life.prune()
            if step % 5 == 4:
                asked += look_back(life, f"{tmp_path}/{seed}.{step}.mv")
        demand_sound(life.memory)
        life.memory.close()
        if asked >= effort(NIGHTLY_QUERIES):
            break
    figure("past", f"{asked} finds asked again on views and forks, all equal")


def look_back(life, path):
    moments = life.chance.sample(sorted(life.seen), k=min(2, len(life.seen)))
    for generation in moments:
        with life.memory.at(generation) as view:
            demand_same(view, life.seen[generation])
    with life.memory.fork(path, at=moments[0]) as branch:
        demand_same(branch, life.seen[moments[0]])
        for generation in [generation for generation in life.seen if generation <= moments[0]][-2:]:
            with branch.at(generation) as view:
                demand_same(view, life.seen[generation])
        branch.put("the branch goes its own way")
        branch.restore(moments[0])
        assert branch.snapshot(with_ids=False)[1] == life.seen[moments[0]].hashes[0]
    return QUERIES_PER_STATE * (2 * len(moments) + 1)


@lives
@given(seed=st.integers(0, 2**32), steps=st.integers(1, 12))
def test_kept_generations_survive_any_pruning_and_nothing_else_does(seed, steps):
    """The number of versions is the least there can be, and each kept state restores to its hash and its finds."""
    life = Life(seed, ":memory:")
    for _ in range(steps):
        life.step()
    life.prune()
    for then in list(life.seen.values()):
        with life.memory.at(then.generation) as view:
            demand_same(view, then)
        life.restore(then)
        life.seen.setdefault(life.memory.generation, life.look())
    life.memory.close()


@lives
@given(seed=st.integers(0, 2**32))
def test_equal_states_have_equal_hashes_however_they_were_reached(seed):
    """By the writes themselves, by going back, on a view, on a fork, or put anew."""
    life = Life(seed, ":memory:")
    for _ in range(8):
        life.step()
    then = life.look()
    for _ in range(3):
        life.step()

    life.memory.restore(then.generation)
    back = life.look()
    with life.memory.fork(":memory:", at=then.generation) as branch, life.memory.at(then.generation) as view:
        found = [engine.snapshot(with_ids=False) for engine in (branch, view)]
    anew = Engine(":memory:")
    frames = {frame.frame_id: frame for frame in then.frames}
    for number in range(1, max(frames, default=0) + 1):
        frame = frames.get(number)
        anew.put("" if frame is None else frame.content, **({} if frame is None else fields_of(frame)))
    for number in set(range(1, max(frames, default=0) + 1)) - frames.keys():
        anew.delete(number)
    found.append(anew.snapshot(with_ids=False))

    assert {back.hashes} == {then.hashes} == {(digest, snapshot.lex_index_hash) for snapshot, digest in found}


def fields_of(frame):
    return {"title": frame.title, "uri": frame.uri, "metadata": frame.metadata}
