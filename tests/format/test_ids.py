"""Ids made the short way are UUIDs like any other."""

from __future__ import annotations

import copy
import pickle
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from replaykit.format.ids import uuid_of, uuids_of


@given(st.binary(min_size=16, max_size=16))
def test_it_is_what_the_constructor_makes(octets: bytes) -> None:
    """Equal, of equal hash, and whole when copied or pickled."""
    short, long = uuid_of(octets), UUID(bytes=octets)
    assert (short, hash(short), str(short), repr(short), short.bytes) == (
        long,
        hash(long),
        str(long),
        repr(long),
        octets,
    )
    assert [short, UUID(int=0)] == uuids_of([octets, bytes(16)])
    assert {short.is_safe, uuids_of([octets])[0].is_safe} == {long.is_safe}
    assert pickle.loads(pickle.dumps(short)) == copy.deepcopy(short) == long
