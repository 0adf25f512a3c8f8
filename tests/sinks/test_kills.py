"""Writers killed at once, wherever they happen to be: what they said is committed is there, once, and is gone on."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from endless_writer import GAP, OPTIONS, ROUND, STREAM
from recordings import codes_of, gap

from dtopipe.model.policy import Layout
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.registry import load_reader, load_writer

N_KILLS = 4


def write_and_be_killed(sink_type: str, path: Path, layout: str, n_commits: int) -> int:
    """What it said last before the kill, or while it came."""
    program = Path(__file__).with_name("endless_writer.py")
    command = [sys.executable, str(program), sink_type, str(path), layout]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(n_commits):
            said = process.stdout.readline()
            assert said, "the writer ended by itself"
        process.kill()
        return int([said, *process.stdout.read().split()][-1])


def assert_holds_every_sample_once(sink_type: str, path: Path, committed: int) -> None:
    reader = load_reader(sink_type)(path, run_id=STREAM.run_id)
    position = reader.position()
    rounds = committed // ROUND
    assert (position.committed, position.gap_samples) == (committed, rounds * GAP)
    assert list(reader.gaps()) == [gap(STREAM, k * ROUND - GAP, k * ROUND) for k in range(1, rounds + 1)]
    there = np.concatenate([np.arange(k * ROUND, (k + 1) * ROUND - GAP) for k in range(rounds)])
    wanted = codes_of(3, 0, committed) * (10 / 65536) + 0.25
    found: dict[int, list[np.ndarray]] = {}
    for batch in reader.batches():
        for number, values in enumerate(batch.values):
            channel = number if batch.channel is None else batch.channel
            found.setdefault(channel, []).append(np.array([batch.sample_index, values]))
    assert sorted(found) == [0, 1, 2]
    for channel, parts in found.items():
        index, values = np.concatenate(parts, axis=1)
        np.testing.assert_array_equal(index, there)
        np.testing.assert_array_equal(values, wanted[channel, there])


@pytest.mark.parametrize("layout", list(Layout))
@pytest.mark.parametrize("sink_type", sorted(OPTIONS))
def test_a_killed_writer_loses_nothing_that_it_committed(sink_type: str, layout: Layout, tmp_path: Path) -> None:
    path = tmp_path / "output"
    dice = random.Random(f"{sink_type} {layout}")
    for _ in range(N_KILLS):
        said = write_and_be_killed(sink_type, path, layout, dice.randint(1, 12))
        committed = load_reader(sink_type)(path, run_id=STREAM.run_id).position().committed
        # It may have committed once more, and been killed before it could say so.
        assert said <= committed <= said + ROUND
        assert_holds_every_sample_once(sink_type, path, committed)
    writer = load_writer(sink_type)(OutputOptions(path, layout), **OPTIONS[sink_type])
    assert writer.open(STREAM, 0, resume=True).committed == committed
    writer.close()
    assert_holds_every_sample_once(sink_type, path, committed)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["output", "output.dtopipe"]
