"""The suites fail for a sink and a board that break one promise, at the test that is about that promise."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from plug_in_packages import path_with

from dtopipe.plug_ins.new import write_plug_in

ROOT = Path(__file__).resolve().parents[2]

FAULTY_SINKS = '''
import os
from dataclasses import replace

from dtopipe_lines.writer import LinesReader, LinesWriter
from dtopipe.model.span import Gap
from dtopipe.testing import SinkConformance


class KeepsHalves(LinesWriter):
    """What is behind the last commit stays."""

    def _cut_back(self, size):
        self._size = os.lseek(self._fd, 0, os.SEEK_END)


class SaysTooMuch(LinesWriter):
    """A commit is told of, and only every second one is made."""

    turn = 0

    def commit(self):
        self.turn += 1
        return super().commit() if self.turn % 2 else self._record.position.after(self._pending)


class ForgetsGaps(LinesWriter):
    """Holes are counted, and nowhere named."""

    def commit(self):
        self._pending = [item for item in self._pending if not isinstance(item, Gap)]
        return super().commit()


class ShiftsTimes(LinesWriter):
    """Times of whole blocks are those of their second sample."""

    def _lines(self, block):
        later = replace(block.anchor, t_mono_ns=block.anchor.t_mono_ns + 1, t_utc_ns=block.anchor.t_utc_ns + 1)
        return super()._lines(replace(block, anchor=later))


class RoundsValues(LinesWriter):
    """Six digits are enough for anybody."""

    def begun(self, stream, extra):
        super().begun(stream, extra)
        exact = self._values
        self._values = lambda *told: exact(*told).round(6)


class OverwritesOthers(LinesWriter):
    """Whatever is there goes."""

    def make_way(self):
        self.path.unlink(missing_ok=True)


class SwallowsErrors(LinesWriter):
    """A full disk is nobody's business."""

    def append(self, items):
        try:
            super().append(items)
        except Exception:
            self._pending += items


class TestKeepsHalves(SinkConformance):
    writer = KeepsHalves
    reader = LinesReader


class TestSaysTooMuch(SinkConformance):
    writer = SaysTooMuch
    reader = LinesReader
    most_deaths = 12


class TestForgetsGaps(SinkConformance):
    writer = ForgetsGaps
    reader = LinesReader


class TestShiftsTimes(SinkConformance):
    writer = ShiftsTimes
    reader = LinesReader


class TestRoundsValues(SinkConformance):
    writer = RoundsValues
    reader = LinesReader


class TestOverwritesOthers(SinkConformance):
    writer = OverwritesOthers
    reader = LinesReader


class TestSwallowsErrors(SinkConformance):
    writer = SwallowsErrors
    reader = LinesReader
'''
FOUND_BY = {
    "KeepsHalves": "test_what_a_kill_left_of_half_a_commit_is_cut_off_wherever_it_is_torn[wide]",
    "SaysTooMuch": "test_a_writer_killed_at_any_step_loses_nothing_and_is_gone_on_with[wide]",
    "ForgetsGaps": "test_gaps_are_stored_with_the_data_and_the_position_always_adds_up[wide]",
    "ShiftsTimes": "test_every_sample_is_there_once_in_order_and_to_the_bit[wide-7-int16-voltage]",
    "RoundsValues": "test_every_sample_is_there_once_in_order_and_to_the_bit[wide-7-int16-voltage]",
    "OverwritesOthers": "test_an_output_that_is_there_is_never_touched_unless_told[wide]",
    "SwallowsErrors": "test_behind_a_file_that_may_grow_no_further_a_successor_goes_on[wide-5000]",
}

FAULTY_BOARDS = '''
import threading
import uuid
from dataclasses import replace

from dtopipe_gauge import GaugeBoard
from dtopipe.boards.contract import Ended, Overrun, Taken
from dtopipe.testing import BoardConformance


class HidesLosses(GaugeBoard):
    """What was lost is passed over."""

    def read(self, timeout_s):
        event = super().read(timeout_s)
        return super().read(timeout_s) if isinstance(event, Overrun) else event


class LendsWithoutWaiting(GaugeBoard):
    """One buffer for all reads, which is filled again before it is given back."""

    def read(self, timeout_s):
        event = super().read(timeout_s)
        if isinstance(event, Taken):
            threading.Timer(0.01, event.codes.fill, [0]).start()
        return event


class BeginsAtZero(GaugeBoard):
    """Where a predecessor was is no concern of it."""

    def start(self, at):
        super().start(0)


class NeverEnds(GaugeBoard):
    """After a stop there is silence."""

    def read(self, timeout_s):
        event = super().read(timeout_s)
        return None if isinstance(event, Ended) else event


class LetsEverybodyIn(GaugeBoard):
    """Two runs have one converter."""

    def open(self):
        self._held.hold = lambda task: None
        return super().open()


class RunsSlow(GaugeBoard):
    """Its label says twice of what it gives."""

    def open(self):
        said = super().open()
        return replace(said, rate_hz=2 * said.rate_hz)


def _suite(made, **more):
    # One on the machine, and other suites may try theirs.
    options = {"device": f"{made.__name__} {uuid.uuid4()}"}
    return type("Test" + made.__name__, (BoardConformance,), {"board": made, "options": options, **more})


TestHidesLosses = _suite(HidesLosses)
TestLendsWithoutWaiting = _suite(LendsWithoutWaiting)
TestBeginsAtZero = _suite(BeginsAtZero)
TestNeverEnds = _suite(NeverEnds)
TestLetsEverybodyIn = _suite(LetsEverybodyIn)
TestRunsSlow = _suite(RunsSlow)
'''
BOARDS_FOUND_BY = {
    "HidesLosses": "test_what_nobody_read_in_time_is_kept_or_told_of",
    "LendsWithoutWaiting": "test_a_buffer_stays_as_it_is_until_it_is_given_back",
    "BeginsAtZero": "test_a_successor_starts_at_the_index_that_it_is_told",
    "NeverEnds": "test_a_stop_yields_what_was_complete_and_then_the_end",
    "LetsEverybodyIn": "test_only_one_process_has_it",
    "RunsSlow": "test_a_clocked_board_keeps_its_rate",
}


def tried(package: Path, suite: str, found_by: dict[str, str]) -> set[str]:
    """The tests that failed, of those that are to find each fault, as CLASS::TEST."""
    (package / "tests" / "test_faulty.py").write_text(suite, encoding="utf-8")
    ids = [f"tests/test_faulty.py::Test{name}::{test}" for name, test in found_by.items()]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider", *ids],
        cwd=package, env={**os.environ, "PYTHONPATH": path_with(package, ROOT, package / "tests")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "error" not in done.stdout.splitlines()[-1], done.stdout
    return set(re.findall(r"^FAILED \S+?::(\S+)", done.stdout, re.MULTILINE))


def test_each_fault_of_a_sink_is_found(tmp_path: Path) -> None:
    package = write_plug_in("sink", "lines", tmp_path / "package").folder
    failed = tried(package, FAULTY_SINKS, FOUND_BY)
    assert failed == {f"Test{name}::{test}" for name, test in FOUND_BY.items()}


def test_each_fault_of_a_board_is_found(tmp_path: Path) -> None:
    package = write_plug_in("board", "gauge", tmp_path / "package").folder
    failed = tried(package, FAULTY_BOARDS, BOARDS_FOUND_BY)
    assert failed == {f"Test{name}::{test}" for name, test in BOARDS_FOUND_BY.items()}
