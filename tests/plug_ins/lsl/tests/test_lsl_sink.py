"""Sink `lsl` keeps the contract as far as it has something to keep, and who listens gets every sample with its time."""

from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np
import pylsl
from dtopipe_lsl import LSL
from dtopipe_lsl.clock import lsl_ahead_ns
from dtopipe_lsl.sink import LslWriter

from dtopipe.sinks.contract import OutputOptions
from dtopipe.testing import SinkConformance
from dtopipe.testing.recordings import ANCHOR, block, blocks, gap, recorded
from dtopipe.testing.sink_under_test import expected


class TestLsl(SinkConformance):
    sink_type = LSL
    takes_room = False
    # Each of them is found on the network.
    most_deaths = 30


def test_who_listens_gets_every_sample_once_with_its_unit_and_its_time(tmp_path: Path) -> None:
    name = f"run-{uuid.uuid4().hex[:8]}"
    stream = recorded()
    writer = LslWriter(OutputOptions(tmp_path / "live.lsl"), stream=name)
    writer.open(stream, 0, resume=False)
    (info,) = pylsl.resolve_byprop("name", name, timeout=10)
    inlet = pylsl.StreamInlet(info, recover=False)
    inlet.open_stream(timeout=10)
    assert inlet.info(timeout=10).desc().child("channels").child("channel").child_value("unit") == "V"
    writer.append([*blocks(stream, 0, 300), gap(stream, 300, 400), block(stream, 400, 500)])
    # Nothing goes out that is not committed.
    assert not inlet.pull_chunk(timeout=0.2)[0]
    writer.commit()
    samples, times = inlet.pull_chunk(timeout=10, max_samples=400, as_numpy=True)
    assert writer.close().samples == 400
    there = np.r_[0:300, 400:500]
    assert np.array_equal(samples.T, expected(stream, 0, 500)[:, there])
    t_mono_ns = np.round(times * 1e9).astype(np.int64) - lsl_ahead_ns()
    assert np.abs(t_mono_ns - (ANCHOR.t_mono_ns + there * 1_000_000)).max() < 1_000_000
