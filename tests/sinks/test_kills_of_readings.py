"""Writers of readings killed at once: what they said is committed is there, once, and is gone on."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from endless_writer import GAP, OPTIONS, POLLED, ROUND
from recordings import reading_value
from test_kills import write_and_be_killed

from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.registry import load_reader, load_writer

N_KILLS = 3


def assert_holds_every_reading_once(sink_type: str, path: Path, committed: int) -> None:
    reader = load_reader(sink_type)(path, run_id=POLLED.run_id)
    assert (reader.position().committed, reader.position().gap_samples) == (committed, committed // ROUND * GAP)
    found = [np.stack([batch.sample_index, *batch.values]) for batch in reader.batches()]
    index, *values = np.concatenate(found, axis=1)
    wanted = [at for at in range(committed) if at % ROUND < ROUND - GAP]
    np.testing.assert_array_equal(index, wanted)
    of = np.array([[reading_value(channel, at) for at in wanted] for channel in range(3)], np.float64)
    np.testing.assert_array_equal(np.stack(values), of)


@pytest.mark.parametrize("sink_type", ["csv", "hdf5", "parquet", "sqlite"])
def test_a_killed_writer_loses_no_reading_that_it_committed(sink_type: str, tmp_path: Path) -> None:
    path = tmp_path / "output"
    dice = random.Random(sink_type)
    for _ in range(N_KILLS):
        said = write_and_be_killed(sink_type, path, "readings", dice.randint(1, 12))
        committed = load_reader(sink_type)(path, run_id=POLLED.run_id).position().committed
        assert said <= committed <= said + ROUND
        assert_holds_every_reading_once(sink_type, path, committed)
    writer = load_writer(sink_type)(OutputOptions(path), **OPTIONS.get(sink_type, {}))
    assert writer.open(POLLED, 0, resume=True).committed == committed
    writer.close()
    assert_holds_every_reading_once(sink_type, path, committed)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["output", "output.dtopipe"]
