"""Programs that follow a run in progress, and cannot harm it."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
from laboratory import counter_codes, counter_topology
from system import go_on, pause

import dtopipe
from dtopipe import DaqBlock, subscribe
from dtopipe.errors import RunDied, SpecError, UsageError
from dtopipe.model.span import Cause, Gap
from dtopipe.streaming.follower import Follower

# A ring of four tenths of a second.
SLOTS = 40
RING_SAMPLES = 800
GUIDE = Path(__file__).parents[2] / "dtopipe" / "guide" / "python.md"


def _topology(*, journal: bool = True, **extra: Any) -> dict[str, Any]:
    topology = counter_topology(2, 20, rate_hz=2000.0) | {"ring": {"slots": SLOTS}} | extra
    return topology | {"sinks": {"raw": {"type": "hbuf", "path": "raw.dt-raw", "journal": journal}}}


@contextlib.contextmanager
def _in_progress(lab: Any, **extra: Any) -> Iterator[Any]:
    """A run that is ended by whoever has it; it must not have noticed that it was followed."""
    running = lab.start(_topology(**extra))
    running.wait_for_samples("raw", 200)
    yield running
    running.interrupt()
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    assert ended.json["acquired"]["overrun_samples"] == 0
    assert list(ended.json["sinks"]) == ["raw"]


def _assert_is_the_formula(block: DaqBlock) -> None:
    first, stop = block.first_sample_index, block.first_sample_index + block.samples_per_channel
    assert np.array_equal(block.data, counter_codes(2, first, stop))


def _assert_accounts_for_all(blocks: list[DaqBlock], gaps: list[Gap], start: int, stop: int) -> None:
    """Each sample once: in a block, or in a gap."""
    parts = [(b.first_sample_index, b.first_sample_index + b.samples_per_channel) for b in blocks]
    parts += [(gap.span.start, gap.span.stop) for gap in gaps]
    at = start
    for first, behind in sorted(parts):
        assert first == at
        at = behind
    assert at == stop


def _subscribers(running: Any) -> list[dict[str, Any]]:
    status = running.status()
    return [] if status is None else status["subscribers"]


def _wait_until_nobody_follows(lab: Any, running: Any) -> None:
    lab.wait_for(lambda: running.status() is not None and not _subscribers(running), "freed row")


def _program(lab: Any, body: str) -> subprocess.Popen[str]:
    """A program of its own that follows the run by `recording`."""
    script = f"import dtopipe\nwith dtopipe.sync.subscribe('lab', policy='block') as recording:\n    {body}\n"
    (lab.folder / "program.py").write_text(script)
    return subprocess.Popen(
        [sys.executable, "program.py"], cwd=lab.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_block_with_a_journal_gets_every_sample_though_it_stops_for_longer_than_the_ring(lab: Any) -> None:
    with _in_progress(lab) as running, dtopipe.sync.subscribe(running.folder, policy="block", start=7) as recording:
        blocks = [next(recording.stream) for _ in range(5)]
        running.wait_for_samples("raw", blocks[-1].first_sample_index + 3 * RING_SAMPLES)
        # What the ring has no more comes from the journal, and then the ring's own again.
        while blocks[-1].first_sample_index < 6 * RING_SAMPLES:
            blocks.append(next(recording.stream))
        summary, stop = recording.summary, blocks[-1].first_sample_index + 20
    assert recording.gaps == []
    assert recording.start == 7
    assert recording.rate_hz == 2000.0
    assert recording.channels == ("ch0", "ch1")
    _assert_accounts_for_all(blocks, [], 7, stop)
    for block in blocks:
        _assert_is_the_formula(block)
        assert block.raw_codes is not None
        assert np.array_equal(block.data, block.raw_codes)
        assert block.still_valid()
    # The last one was not done with: nothing was asked for behind it.
    assert summary.samples == stop - 7 - 20
    assert summary.payloads_emitted == len(blocks)
    assert summary.payloads_dropped == 0


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_async_program_has_the_same_and_its_stream_ends_with_the_run(lab: Any) -> None:
    # It is asked for while the run is only beginning.
    running = lab.start(_topology(duration="2s"))
    async with subscribe(str(running.folder), policy="block", start="earliest") as recording:
        blocks = []
        async for block in recording.stream:
            _assert_is_the_formula(block)
            blocks.append(block)
    assert running.finish().code == 0
    _assert_accounts_for_all(blocks, recording.gaps, 0, 4000)
    assert recording.summary.samples == 4000
    assert recording.summary.finished_at is not None
    last, first = blocks[-1], blocks[0]
    assert last.t_mono_ns - first.t_mono_ns == (last.first_sample_index - first.first_sample_index) * 500_000
    assert (first.channels, first.device, first.task) == (("ch0", "ch1"), last.device, "lab")


@pytest.mark.parametrize(("policy", "cause"), [("block", Cause.TRANSPORT), ("drop", Cause.POLICY_DROP)])
def test_without_a_journal_who_is_overtaken_is_told_what_is_absent_and_nobody_is_held(
    lab: Any, policy: str, cause: Cause
) -> None:
    with (
        _in_progress(lab, journal=False) as running,
        dtopipe.sync.subscribe("lab", policy=policy, run_dir=lab.folder / "runs") as recording,
    ):
        blocks = [next(recording.stream)]
        for _ in range(2):
            running.wait_for_samples("raw", blocks[-1].first_sample_index + 3 * RING_SAMPLES)
            blocks += [next(recording.stream) for _ in range(SLOTS)]
        gaps, summary = recording.gaps, recording.summary
    for block in blocks:
        _assert_is_the_formula(block)
    assert {gap.cause for gap in gaps} == {cause}
    assert [gap for block in blocks for gap in block.gaps_before] == gaps
    held = [b for b in blocks if not any(g.span.start == b.first_sample_index for g in gaps)]
    _assert_accounts_for_all(held, gaps, recording.start, blocks[-1].first_sample_index + 20)
    # What a program that blocks had in its hands while it was overwritten was never done with.
    assert len(blocks) - len(held) == (2 if policy == "block" else 0)
    assert summary.dropped_samples == summary.gap_samples == sum(map(len, gaps))
    assert summary.payloads_dropped == summary.gap_samples // 20
    assert summary.start + summary.samples + summary.gap_samples == blocks[-1].first_sample_index


def test_a_view_tells_when_it_is_overwritten_and_nobody_can_write_to_it(lab: Any) -> None:
    with (
        _in_progress(lab) as running,
        dtopipe.sync.subscribe(running.folder, copy=False) as viewing,
        dtopipe.sync.subscribe(running.folder) as copying,
    ):
        view, copy = next(viewing.stream), next(copying.stream)
        for block in (view, copy):
            assert block.raw_codes is not None
            assert block.still_valid()
            with pytest.raises(ValueError, match="read-only"):
                block.raw_codes[0, 0] = 1
        assert view.raw_codes is not None
        assert view.raw_codes.base is not None
        with pytest.raises(ValueError, match="cannot set WRITEABLE"):
            view.raw_codes.base.flags.writeable = True
        pickled = pickle.loads(pickle.dumps(view))
        running.wait_for_samples("raw", view.first_sample_index + 2 * RING_SAMPLES)
        assert not view.still_valid()
        assert not np.array_equal(view.raw_codes, view.data)
        assert copy.still_valid()
        for block in (view, copy, pickled):
            _assert_is_the_formula(block)
        assert pickled.still_valid()
        # It was not done with: it is in the gap.
        next(viewing.stream)
        assert viewing.gaps[0].span.start == view.first_sample_index
    # The memory is there as long as somebody looks at it.
    assert view.raw_codes.shape == (2, 20)
    assert not view.still_valid()


@pytest.mark.parametrize("journal", [True, False])
def test_a_program_that_is_stopped_or_killed_harms_nobody_and_its_row_is_free(lab: Any, journal: bool) -> None:
    with _in_progress(lab, journal=journal) as running:
        program = _program(lab, "for block in recording.stream: pass")
        lab.wait_for(lambda: [s["samples"] > 0 for s in _subscribers(running)] == [True], "subscriber")
        (told,) = _subscribers(running)
        assert (told["program"], told["pid"], told["policy"]) == ("program.py", program.pid, "block")
        assert "followed by program.py" in lab.dtopipe("status", "lab").stdout
        pause(program)
        running.wait_for_samples("raw", running.committed("raw") + 2 * RING_SAMPLES)
        # It lives, and keeps its place.
        assert [s["pid"] for s in _subscribers(running)] == [program.pid]
        assert _subscribers(running)[0]["lag_samples"] > RING_SAMPLES
        program.kill()
        program.communicate()
        _wait_until_nobody_follows(lab, running)
        running.wait_for_samples("raw", running.committed("raw") + RING_SAMPLES)
    assert lab.dtopipe("verify", "lab").code == 0


def test_a_stopped_program_does_not_keep_the_run_from_ending_and_has_the_rest_afterwards(lab: Any) -> None:
    with _in_progress(lab) as running:
        program = _program(lab, "print(recording.start, sum(b.samples_per_channel for b in recording.stream))")
        lab.wait_for(lambda: _subscribers(running), "subscriber")
        pause(program)
        running.wait_for_samples("raw", running.committed("raw") + 2 * RING_SAMPLES)
    go_on(program)
    stdout, stderr = program.communicate(timeout=60)
    assert program.returncode == 0, stderr
    start, samples = map(int, stdout.split())
    assert start + samples == json.loads((lab.run_folder / "run.json").read_text())["acquired"]["end_sample_index"]


def test_the_boards_own_gaps_come_with_their_causes(lab: Any) -> None:
    board = counter_topology(2, 20, overruns=[{"at": 2000, "samples": 500}, {"at": 3900, "samples": 100}])["board"]
    running = lab.start(_topology(board=board | {"max_samples": 4000}))
    with dtopipe.sync.subscribe(running.folder, policy="block", start="earliest") as recording:
        blocks = list(recording.stream)
    assert running.finish().code == 3
    spans = [(gap.span.start, gap.span.stop, gap.cause) for gap in recording.gaps]
    assert spans == [(2000, 2500, Cause.BOARD_OVERRUN), (3900, 4000, Cause.BOARD_OVERRUN)]
    assert [len(block.gaps_before) for block in blocks if block.first_sample_index == 2500] == [1]
    _assert_accounts_for_all(blocks, recording.gaps, 0, 4000)
    assert recording.summary.overruns_observed == 2
    assert recording.summary.dropped_samples == 0


@pytest.mark.parametrize("policy", ["drop", "block"])
def test_a_run_whose_every_process_is_killed_ends_the_stream_with_an_error(lab: Any, policy: str) -> None:
    running = lab.start(_topology())
    running.wait_for_samples("raw", 200)
    with dtopipe.sync.subscribe(running.folder, policy=policy) as recording:
        next(recording.stream)
        for process in ("acquirer", "raw"):
            running.pause(process)
        running.kill_supervisor()
        for process in ("acquirer", "raw"):
            running.kill(process)
        lab.wait_for_the_end_of_all()
        # That it is followed does not keep anybody from completing its record.
        assert "completed the record" in lab.dtopipe("stop", str(running.folder)).stderr
        with pytest.raises(RunDied, match="was killed"):
            for block in recording.stream:
                _assert_is_the_formula(block)
        assert list(recording.stream) == []
    with pytest.raises(UsageError, match="is not in progress"), dtopipe.sync.subscribe(running.folder):
        pass


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_whoever_leaves_is_gone_at_once_however_it_leaves(lab: Any) -> None:
    # Blocks are rare: whoever waits for one is cancelled while it waits.
    slow = counter_topology(2, 1000, rate_hz=500.0) | {"sinks": {"raw": {"type": "hbuf", "path": "raw.dt-raw"}}}
    running = lab.start(slow)
    running.wait_until("running")
    with anyio.move_on_after(0.3) as scope:
        async with subscribe(running.folder) as recording:
            await recording.stream.receive()
    assert scope.cancelled_caught
    _wait_until_nobody_follows(lab, running)
    async with subscribe(running.folder, start="earliest") as recording:
        # Who gives up waiting, and asks again, has missed nothing.
        with anyio.move_on_after(0.1):
            await recording.stream.receive()
        assert (await recording.stream.receive()).first_sample_index == 0
        async for _ in recording.stream:
            break
        await recording.stream.aclose()
        with pytest.raises(anyio.EndOfStream):
            await recording.stream.receive()
        _wait_until_nobody_follows(lab, running)
    with pytest.raises(RuntimeError, match="of mine"):
        async with subscribe(running.folder):
            raise RuntimeError("of mine")
    _wait_until_nobody_follows(lab, running)
    running.interrupt()
    assert running.finish().code == 0


def test_what_cannot_be_followed_is_refused_in_words(lab: Any) -> None:
    with _in_progress(lab, journal=False) as running:
        running.wait_for_samples("raw", 2 * RING_SAMPLES)
        cases: list[tuple[dict[str, Any], type[Exception], str]] = [
            ({"run": "tcp://daq-pc:5700"}, UsageError, "the key of tcp://daq-pc:5700 is not known here"),
            ({"run": "no-such-run"}, UsageError, "there is no run"),
            ({"start": 3}, UsageError, "the oldest that is available is"),
            ({"start": np.int64(999_999_999)}, UsageError, "is not there yet"),
            ({"start": "tomorrow"}, SpecError, "latest, earliest, or a sample index"),
            ({"policy": "drop_newest"}, SpecError, "drop or block"),
        ]
        for words, error, said in cases:
            words = {"run": None, "run_dir": lab.folder / "runs"} | words
            with pytest.raises(error, match=said), dtopipe.sync.subscribe(**words):
                pass
        assert _subscribers(running) == []


def test_a_full_table_is_refused_and_a_sink_finds_its_row_in_it_when_it_restarts(lab: Any) -> None:
    # The journal holds the board while it is away: here the ring is long enough.
    with _in_progress(lab, ring={"seconds": 10}) as running, contextlib.ExitStack() as all_of_them:
        with pytest.raises(UsageError, match="as many readers as it can hold"):
            for _ in range(100):
                all_of_them.enter_context(dtopipe.sync.subscribe(running.folder, policy="block"))
        assert len(_subscribers(running)) == 60
        assert "as many readers as it can hold" in lab.dtopipe("attach", "--sink", "csv").stderr
        running.kill("raw")
        running.wait_until("ready", "raw", times=2)
        running.wait_for_samples("raw", running.committed("raw") + 100)
        all_of_them.close()
        _wait_until_nobody_follows(lab, running)
        # Nothing of them is left with the run.
        folder = next(Path(os.environ["DTOPIPE_RUNTIME_DIR"]).iterdir())
        lab.wait_for(lambda: not list(folder.glob("*.subscriber")), "end of the locks")


def test_the_program_of_the_guide_follows_a_run_as_it_stands(lab: Any) -> None:
    program = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)[1]
    running = lab.start(_topology(name="heat-flux"), "--duration", "8s")
    running.wait_until("running")
    seen = subprocess.run(
        [sys.executable, "-c", program], cwd=lab.folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert seen.returncode == 0, seen.stderr
    *blocks, last = seen.stdout.splitlines()
    start, samples = map(int, re.findall(r" (?:start|samples)=(\d+)", last))
    assert samples == 20 * len(blocks)
    assert start + samples == 16_000
    assert last.endswith("[]")
    assert running.finish().code == 0


def test_what_the_journal_has_retired_meanwhile_is_a_gap_and_nothing_is_kept_for_a_subscriber(lab: Any) -> None:
    topology = _topology()
    often = {"flush_interval": "50ms", "sync": "50ms"}
    topology["sinks"]["raw"] |= {"segment": "4kB", "retention": {"until": "durable"}} | often
    topology["sinks"]["table"] = {"type": "csv", "path": "table.csv"} | often
    running = lab.start(topology)
    running.wait_for_samples("table", 200)
    with dtopipe.sync.subscribe(running.folder, policy="block") as recording:
        blocks = [next(recording.stream)]
        behind = blocks[0].first_sample_index + 2 * RING_SAMPLES
        lab.wait_for(lambda: running.status()["sinks"]["raw"]["retained_from"] >= behind, "retention")
        while not recording.gaps:
            blocks.append(next(recording.stream))
        blocks += [next(recording.stream) for _ in range(100)]
    assert {gap.cause for gap in recording.gaps} == {Cause.TRANSPORT}
    for block in blocks:
        _assert_is_the_formula(block)
    _assert_accounts_for_all(blocks, recording.gaps, recording.start, blocks[-1].first_sample_index + 20)
    running.interrupt()
    ended = running.finish()
    assert ended.code == 0, ended.stderr
    assert ended.json["acquired"]["overrun_samples"] == 0


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_who_waits_for_a_disk_that_does_not_answer_can_leave_and_its_row_goes_once_it_answers(lab: Any) -> None:
    answers = threading.Event()

    def unanswered(most: int) -> list[Any]:
        answers.wait(60)
        return []

    with _in_progress(lab) as running:
        with anyio.move_on_after(0.2) as scope:
            async with subscribe(running.folder, policy="block") as recording:
                assert isinstance(recording.stream._follower, Follower)
                recording.stream._follower._intake.take = unanswered
                await recording.stream.receive()
        assert scope.cancelled_caught
        # Its reader may still write to its row: nobody else gets it.
        assert len(_subscribers(running)) == 1
        answers.set()
        _wait_until_nobody_follows(lab, running)
