"""Keys in the terminal of a run: they mark its moments, and are never in its way."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import pytest
from laboratory import EVERY_SINK, counter_topology

from dtopipe.host.run_marks import marks_of

if sys.platform == "win32":
    pytest.skip("a pseudo-terminal is of Unix", allow_module_level=True)

import termios

from terminals import a_terminal

# A shell with job control, as far as it matters here: the command is not the one that has the terminal.
_IN_THE_BACKGROUND = """
import os, sys
child = os.fork()
if not child:
    os.setpgid(0, 0)
    os.execv(sys.executable, [sys.executable, "-m", "dtopipe", *sys.argv[1:]])
_, status = os.waitpid(child, os.WUNTRACED)
os._exit(99 if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status))
"""


def _topology(lab: Any, **more: Any) -> str:
    return str(lab.write(counter_topology(2) | {"sinks": {n: EVERY_SINK[n] for n in ("raw", "base")}} | more))


def test_a_key_marks_the_moment_at_which_it_was_pressed(lab: Any) -> None:
    with a_terminal("-m", "dtopipe", "up", _topology(lab), folder=lab.folder) as terminal:
        before = termios.tcgetattr(terminal.fd)
        terminal.wait_to_see("running")
        terminal.wait_to_see("m marks this moment")
        terminal.press("m")
        terminal.wait_to_see("mark: ")
        pressed_utc_ns = time.time_ns()
        terminal.press("Zündungs\x7f")
        terminal.wait_to_see("mark: Zündung.*2 s ago")
        terminal.press("\r")
        terminal.wait_to_see("marked Zündung at sample [0-9,]+")
        terminal.press("mnever\x1b")
        terminal.wait_to_see("m marks this moment|marked Zündung")
        terminal.press("\x03")
        terminal.wait_to_see("GOOD")
        assert terminal.end() == 0
        after = termios.tcgetattr(terminal.fd)
    assert after[3] == before[3], "the terminal is as it was"
    (mark,) = marks_of(lab.run_folder)
    assert mark.label == "Zündung"
    assert mark.set_at_ns < pressed_utc_ns
    assert abs(mark.t_utc_ns - mark.set_at_ns) < 5_000_000


def test_a_run_in_the_background_of_a_shell_is_not_stopped_by_its_keys(lab: Any) -> None:
    file = _topology(lab, duration="1s")
    with a_terminal("-c", _IN_THE_BACKGROUND, "up", file, folder=lab.folder) as terminal:
        terminal.press("mhere\r")
        assert terminal.end() == 0, terminal.seen
    assert marks_of(lab.run_folder) == ()
    assert json.loads((lab.run_folder / "run.json").read_text())["acquired"]["samples"] == 1000


def test_a_terminal_that_is_closed_ends_the_run_in_order(lab: Any) -> None:
    with a_terminal("-m", "dtopipe", "up", _topology(lab), folder=lab.folder) as terminal:
        terminal.wait_to_see("running")
        terminal.wait_to_see("raw .*[1-9]00 ")
        terminal.press("mhalf")
        terminal.wait_to_see("mark: half")
        terminal.hang_up()
        terminal.code = os.waitstatus_to_exitcode(os.waitpid(terminal.pid, 0)[1])
    lab.wait_for_the_end_of_all()
    record = json.loads((lab.run_folder / "run.json").read_text())
    assert record["sinks"]["raw"]["samples"] == record["acquired"]["samples"] > 0
    assert (record["verdict"]["state"], record["ended_by"]["by"]) == ("GOOD", "terminal_closed")


def test_top_watches_a_run_marks_it_and_leaves_it_alone(lab: Any) -> None:
    run = lab.start(counter_topology(2, kind="voltage") | {"sinks": {"raw": EVERY_SINK["raw"]}})
    run.wait_for_samples("raw", 200)
    piped = lab.run("top").finish()
    assert piped.code == 0
    assert "newest event: " in piped.stdout
    for word in ("board simulated", "raw (hbuf)", "running", "ch0", "ch1", "headroom"):
        assert word in piped.stdout
    with a_terminal("-m", "dtopipe", "top", "lab", folder=lab.folder) as terminal:
        before = termios.tcgetattr(terminal.fd)
        terminal.wait_to_see("ch1")
        terminal.wait_to_see("m marks this moment")
        terminal.press("m")
        terminal.wait_to_see("mark: ")
        terminal.press("spark\r")
        terminal.wait_to_see("marked spark at sample [0-9,]+")
        terminal.press("\x03")
        assert terminal.end() == 0
        assert termios.tcgetattr(terminal.fd)[3] == before[3], "the terminal is as it was"
    assert [mark.label for mark in marks_of(lab.run_folder)] == ["spark"]
    # It goes on; who reads lines of JSON sees it end.
    status = run.status()
    assert status is not None
    assert (status["phase"], status["subscribers"]) == ("running", [])
    with a_terminal("-m", "dtopipe", "top", "--json", folder=lab.folder) as lines:
        lines.wait_to_see('"limiting": .*"ch1": {"value": [-0-9.]+, "unit": "V".*"newest_event": {')
        run.interrupt()
        assert run.finish().code == 0
        assert lines.end() == 0
    over = lab.run("top", "lab/latest").finish()
    assert over.code == 2
    assert "that run is over" in over.stderr
