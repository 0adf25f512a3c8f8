"""Spans of a run that is over: as files, with the values that `load` gives, and as spectra."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from run_folders import LONG_SINKS, SINKS, record_run

import dtopipe
from dtopipe.loading.pieces import pieces_of
from dtopipe.model.errors import SinkError
from dtopipe.model.stream import Channel
from dtopipe.model.wanted import Wanted
from dtopipe.sinks.contract import OutputRows
from dtopipe.web.download import chunks_of, file_name
from dtopipe.web.newest import NewestSamples
from dtopipe.web.spectrum import MOST_SAMPLES, NoSpectrum, amplitudes_of, ensure_whole, spectrum_of


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    long = {f"long_{name}": {**sink, "path": f"long-{sink['path']}"} for name, sink in LONG_SINKS.items()}
    return record_run(tmp_path_factory.mktemp("runs") / "lab" / "20261123T090000Z", {**SINKS, **long})


@pytest.mark.parametrize("sink", [*SINKS, *(f"long_{name}" for name in LONG_SINKS)])
def test_a_download_has_the_values_and_times_that_load_gives(run: Path, sink: str) -> None:
    loaded, names, span = dtopipe.load(run), ["tc1", "flux"], (123, 789)
    wanted = loaded.samples(names, span, sink=sink)
    text = b"".join(chunks_of("csv", loaded, sink, names, span))
    table = pd.read_csv(io.BytesIO(text))
    assert list(table.columns) == ["sample_index", "t_mono_ns", "t_utc", *names]
    np.testing.assert_array_equal(table["sample_index"], wanted.sample_index)
    np.testing.assert_array_equal(table["t_mono_ns"], wanted.t_mono_ns)
    np.testing.assert_array_equal(pd.to_datetime(table["t_utc"]).astype("int64"), wanted.t_utc_ns)
    for name, values in zip(names, wanted.values, strict=True):
        np.testing.assert_array_equal(table[name], values)
    data = b"".join(chunks_of("parquet", loaded, sink, names, span))
    assert pq.read_table(io.BytesIO(data)).equals(loaded.table(names, span, sink=sink), check_metadata=True)


def test_a_csv_download_reads_as_the_sinks_own_file(run: Path) -> None:
    text = b"".join(chunks_of("csv", dtopipe.load(run), "archive", ["flux", "tc1"], (0, 2**40)))
    ours, theirs = (pd.read_csv(io.BytesIO(data), dtype=str) for data in (text, (run / "view.csv").read_bytes()))
    pd.testing.assert_frame_equal(
        ours[["sample_index", "t_mono_ns", "t_utc"]], theirs[["sample_index", "t_mono_ns", "t_utc"]]
    )
    np.testing.assert_array_equal(ours["flux"].astype(float), theirs["flux"].astype(float))


def test_a_span_without_a_row_is_a_file_with_columns_alone(run: Path) -> None:
    loaded = dtopipe.load(run)
    assert b"".join(chunks_of("csv", loaded, "view", ["flux"], (310, 320))) == b"sample_index,t_mono_ns,t_utc,flux\n"
    data = b"".join(chunks_of("parquet", loaded, "view", ["flux"], (310, 320)))
    assert pq.read_table(io.BytesIO(data)).column_names[3:] == ["flux"]


def test_a_download_is_named_after_its_span_whatever_the_run_is_called(tmp_path: Path) -> None:
    run = record_run(tmp_path / 'a"b;c' / "20261123T090000Z", {"view": SINKS["view"]})
    assert file_name(dtopipe.load(run), "view", (1, 20), "csv") == "a_b_c_20261123T090000Z_view_samples-1-20.csv"


def test_rows_in_no_order_are_refused_rather_than_left_out() -> None:
    class Disordered:
        def batches(self) -> list[OutputRows]:
            parts = [np.arange(10, 20), np.arange(0, 10)]
            return [OutputRows(part, part, part, [part.astype(float)]) for part in parts]

    with pytest.raises(SinkError, match="in no order"):
        list(pieces_of(Disordered(), [Channel("a")], [0], Wanted()))  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [1000, 1001])
def test_a_sine_shows_its_amplitude_and_the_mean_itself(n: int) -> None:
    t = np.arange(n) / n
    values = -7 + 3 * np.sin(2 * np.pi * 50 * t) + 0.25 * np.cos(2 * np.pi * 120 * t + 1)
    amplitudes = amplitudes_of(values)
    assert len(amplitudes) == n // 2 + 1
    np.testing.assert_allclose(amplitudes[[0, 50, 120]], [7, 3, 0.25], rtol=1e-9)
    assert amplitudes[1:48].max() < 1e-9
    told = spectrum_of(values, float(n), "V")
    assert [round(peak["hz"]) for peak in told["peaks"]][:2] == [50, 120]
    assert (told["hz"][50], told["unit"], told["window"]) == (50.0, "V", "Hann")


def test_between_two_lines_it_shows_as_a_hann_window_has_it() -> None:
    values = np.sin(2 * np.pi * 50.5 * np.arange(1000) / 1000)
    assert amplitudes_of(values).max() == pytest.approx(0.849, abs=0.001)


def test_half_the_rate_and_a_line_among_many_are_shown() -> None:
    assert amplitudes_of(np.tile([1.0, -1.0], 50))[-1] == pytest.approx(1.0)
    n = 2**18
    told = spectrum_of(np.sin(2 * np.pi * 77_777 * np.arange(n) / n), float(n), "V")
    assert len(told["hz"]) <= 2048
    assert max(told["amplitude"]) == pytest.approx(1.0)
    assert told["hz"][int(np.argmax(told["amplitude"]))] == 77_777


def test_of_a_span_with_a_gap_or_a_null_there_is_no_spectrum() -> None:
    index, values = np.array([0, 1, 2, 7, 8]), np.zeros(5)
    with pytest.raises(NoSpectrum, match="4 samples of this span are absent, the first behind sample 2"):
        ensure_whole(index, values, 9)
    with pytest.raises(NoSpectrum, match="1 samples of this span have no value, the first is sample 2"):
        ensure_whole(np.arange(5), np.array([0, 1, np.nan, 3, 4]), 5)
    for n in (15, MOST_SAMPLES + 1):
        with pytest.raises(NoSpectrum, match="for a spectrum"):
            spectrum_of(np.zeros(n), 1.0, "V")


def test_the_newest_samples_in_a_row_are_kept_and_a_hole_begins_anew() -> None:
    newest = NewestSamples()
    for first in range(0, 200_000, 1000):
        newest.add(first, np.arange(first, first + 1000, dtype=float).reshape(1, -1).repeat(2, axis=0))
    first, values = newest.of(1)
    assert (first, len(values)) == (200_000 - 2**16, 2**16)
    np.testing.assert_array_equal(values, np.arange(first, 200_000))
    newest.add(200_500, np.ones((2, 11)))
    assert newest.of(0)[0] == 200_501
    assert len(newest.of(0)[1]) == 10
