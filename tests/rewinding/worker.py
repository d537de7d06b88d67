"""Makes checkpoints of a changing store until it is killed; says on standard output which are acknowledged."""

from __future__ import annotations

import itertools
import sys

from rewinding.stores import OPERATIONS, Notes

from replaykit import Recorder


def main(location: str) -> None:
    notes = Notes(**{f"k{number}": "first" for number in range(50)})
    recorder = Recorder(location)
    wrapped = recorder.wrap(notes, OPERATIONS, frames=True)
    with recorder.session("killed") as session:
        for round_ in itertools.count():
            for number in range(round_ % 50):
                wrapped.add(f"k{number}", f"round {round_}")
            print(session.checkpoint(), round_, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
