"""The pipe from whoever started this process, at whose end that is known to be dead."""

from __future__ import annotations

import os


def taken_from_input() -> int:
    """A descriptor of the pipe that was standard input until now; whoever looks there from now on finds nothing.

    A thread waits for the pipe's end. On Windows whoever else looks at it meanwhile, as the runtimes of some libraries
    do while they are loaded, would wait with it.
    """
    line = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return line
