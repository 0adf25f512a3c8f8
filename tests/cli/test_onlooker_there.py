"""What another machine says of its run may be anything: it is shown, or told to be none, and steers no terminal."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from dtopipe.cli.main import main
from dtopipe.transport.stream_server import Admission, StreamServer
from dtopipe.wire.control import encode
from dtopipe.wire.link_messages import FROM_REMOTE, Look, RunSeen, StatusFollows

BOARD = {
    "type": "simulated", "device": None, "state": "running", "rate_nominal_hz": 1000.0, "rate_hz": 1000.0,
    "overrun_samples": 0, "end_sample_index": 5,
}  # fmt: skip
SINK = {
    "type": "csv", "policy": "block", "state": "running", "rate_hz": 1.0, "lag_s": 0.0, "committed": 5, "gaps": 0,
    "dropped": 0, "restarts": 0, "path": "t.csv",
}  # fmt: skip
STATUS: dict[str, Any] = {
    "name": "heat", "phase": "running", "folder": "/data/heat/1", "board": BOARD, "sinks": {"table": SINK},
    "simulated": False, "limiting": {"limiter": None, "processes": {}}, "headroom_s": 1.0,
}  # fmt: skip


@contextlib.contextmanager
def told(status: dict[str, Any]) -> Iterator[str]:
    """The endpoint of somebody who says this of a run."""
    server = StreamServer("tcp://127.0.0.1:*", None, lambda key, address: Admission.WELCOME)
    is_over = threading.Event()

    def answer() -> None:
        while not is_over.is_set():
            request = server.receive(0.02)
            if request is not None and isinstance(look := FROM_REMOTE.read(request.message), Look):
                server.send(request.address, StatusFollows(look.session), encode(RunSeen(status)))

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield server.endpoint
    finally:
        is_over.set()
        thread.join()
        server.close()


def looked(*words: str) -> tuple[int, str, str]:
    ended = CliRunner().invoke(main, [*words, "--insecure"])
    assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
    return ended.exit_code, ended.stdout, ended.stderr


def test_names_of_another_machine_steer_no_terminal_and_are_no_markup() -> None:
    odd = "\x1b]0;evil\x07[/bold][red]"
    processes = {odd: {"shares": {odd: 1.0}, "calls": {}}}
    limiter = {"process": odd, "call": odd, "how": "lags", "since": odd}
    status = STATUS | {
        "name": odd, "sinks": {odd: SINK | {"state": odd}}, "limiting": {"limiter": limiter, "processes": processes},
    }  # fmt: skip
    with told(status) as endpoint:
        for command in ("status", "top", "why"):
            code, stdout, stderr = looked(command, endpoint)
            assert code == 0, stderr
            assert "[/bold][red]" in stdout
            assert "\x1b" not in stdout + stderr


@pytest.mark.parametrize(
    "change",
    [
        {"board": None}, {"sinks": {"table": {}}}, {"sinks": [1]}, {"folder": 7}, {"disks": 5}, {"name": None},
        {"limiting": {"limiter": {"how": "by magic"}, "processes": {}}}, {"board": BOARD | {"rate_hz": "fast"}},
        {"headroom": {"ring": {"left_s": "x"}}}, {"listen": {"remotes": 3}},
    ],
    ids=str,
)  # fmt: skip
def test_a_status_that_is_none_is_told_in_words(change: dict[str, Any]) -> None:
    with told(STATUS | change) as endpoint:
        code, _, stderr = looked("top", endpoint)
        assert (code, "install the same version of dtopipe on both" in stderr) == (1, True), stderr


def test_a_key_is_said_only_of_an_endpoint() -> None:
    for command in ("status", "top", "why"):
        code, _, stderr = looked(command, "heat")
        assert (code, "belong to an endpoint" in stderr) == (2, True), stderr
    code, _, stderr = looked("top", "http://daq-pc:5700")
    assert (code, "an endpoint is written like tcp://daq-pc:5700" in stderr) == (2, True), stderr
