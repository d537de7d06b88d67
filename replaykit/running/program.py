"""
Run as a file by ``replaykit run``: becomes the program that it is given, which is recorded or played.

    python .../program.py ORDER SCRIPT_OR_MODULE ARGUMENTS...

The program runs from this file's outermost frame, the only one of ours below
its own.
"""

import os
import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    from replaykit.running.launching import launched
    from replaykit.running.order import Order

    del sys.path[0]
    program = launched(Order.decode(sys.argv[1]), sys.argv[2:], globals())
    try:
        program.call(*program.arguments())
    except BaseException as error:
        program.ended(error)
        raise
    program.ended(None)
