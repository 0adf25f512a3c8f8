"""Whoever looks at a worker's standard input does not wait with the thread that watches its life line."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import os, sys
from dtopipe.host.life_line import taken_from_input
sys.stdin.buffer.read(6)
line = taken_from_input()
print(repr(os.read(0, 1)), flush=True)
print(repr(os.read(line, 1)), flush=True)
"""


def test_input_is_empty_while_the_pipe_is_waited_for_elsewhere() -> None:
    with subprocess.Popen(
        [sys.executable, "-P", "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"orders")
        process.stdin.flush()
        # It has looked at its input, with the pipe still open.
        assert process.stdout.readline().strip() == b"b''"
        process.stdin.close()
        assert process.stdout.readline().strip() == b"b''"
