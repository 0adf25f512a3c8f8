"""Control messages: what is said last has to arrive."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dtopipe.transport.control import ControlServer
from dtopipe.transport.link import Keys

_PROGRAM = """
import os, sys
from dtopipe.transport.control import ControlClient
from dtopipe.transport.link import Keys
from dtopipe.wire.messages import Hello
for number in range(1, 101):
    if os.fork() == 0:
        client = ControlClient(sys.argv[1], Keys(), f"worker.{number}")
        client.send(Hello(number))
        client.close()
        os._exit(0)
while number:
    os.wait()
    number -= 1
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a hundred processes that have to be started take too long here")
def test_what_is_said_last_arrives_though_the_process_ends_at_once(tmp_path: Path) -> None:
    """A link's thread ends with its process, whatever it still had to send."""
    server = ControlServer(tmp_path, Keys())
    try:
        subprocess.run([sys.executable, "-c", _PROGRAM, server.endpoint], check=True)
        heard = set()
        while received := server.receive(1.0):
            heard.add(received[0])
        assert heard == {f"worker.{number}".encode() for number in range(1, 101)}
    finally:
        server.close()
