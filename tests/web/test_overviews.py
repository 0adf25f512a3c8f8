"""The overview of an output: no spike is hidden at any zoom, and one that is of something else is not believed."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from run_folders import LONG_SINKS, OVERRUN, SINKS, edit_record, items_of, record_run, stream_of

import dtopipe
from dtopipe.host.run_folder import RunFolder
from dtopipe.model.errors import UsageError
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block, Stream
from dtopipe.sinks.contract import OutputRows
from dtopipe.verify.outputs import outputs_of
from dtopipe.web.overview import Overview
from dtopipe.web.overview_place import about_of, cache_folder, found_overview
from dtopipe.web.overview_process import make_overview
from dtopipe.web.overview_writer import OverviewWriter
from dtopipe.web.past_run import PastRun, merged_gaps

HOLES = [0, 1, 300, 70_000, 2_000_000]


def _rows(index: NDArray[np.int64], values: NDArray[np.float64], channel: int | None = None) -> OutputRows:
    return OutputRows(index, index, index, list(values), channel)


def _expected(
    index: NDArray[np.int64], values: NDArray[np.float64], first: int, step: int, n: int
) -> tuple[list[float], list[float], list[bool]]:
    low, high, nulls = [], [], []
    for column in range(n):
        inside = (index >= first + column * step) & (index < first + (column + 1) * step)
        own = values[inside]
        there = own[np.isfinite(own)]
        low.append(there.min() if len(there) else np.nan)
        high.append(there.max() if len(there) else np.nan)
        nulls.append(len(there) < len(own))
    return low, high, nulls


@settings(max_examples=30)
@given(
    start=st.integers(0, 5000),
    holes=st.lists(st.tuples(st.sampled_from(HOLES), st.integers(1, 3000)), min_size=1, max_size=6),
    is_long=st.booleans(),
    is_mixed=st.booleans(),
    seed=st.integers(0, 99),
)
def test_no_spike_is_hidden_at_any_zoom(
    tmp_path_factory: pytest.TempPathFactory,
    start: int,
    holes: list[tuple[int, int]],
    is_long: bool,
    is_mixed: bool,
    seed: int,
) -> None:
    """Whatever is absent, in whatever order rows come: each column has just the values of its samples."""
    random = np.random.default_rng(seed)
    at, batches = start, []
    for hole, n in holes:
        at += hole
        values = random.normal(size=(2, n))
        values[0, random.integers(0, n)] = np.nan
        values[1, random.integers(0, n)] = np.inf
        batches.append((np.arange(at, at + n), values))
        at += n
    span = Span(start, at)
    path = tmp_path_factory.mktemp("overview") / "one"
    with path.open("x+b") as file:
        writer = OverviewWriter(file, {"of": "this"}, span, 1, 2, [])
        for index, values in reversed(batches) if is_mixed else batches:
            for rows in [_rows(index, values[c : c + 1], c) for c in range(2)] if is_long else [_rows(index, values)]:
                writer.add(rows)
        writer.finish()
    overview = Overview(path)
    assert overview.about == {"of": "this"}
    index = np.concatenate([index for index, _ in batches])
    every = np.concatenate([values for _, values in batches], axis=1)
    for part, most in ((span, 3), (span, 50), (Span(at - 900, at + 10), 4), (Span(start, start + 1), 1)):
        found = overview.columns([1, 0], part.start, part.stop, most)
        n = found.low.shape[1]
        assert found.first <= part.start < part.stop <= found.first + n * found.step
        for row, channel in enumerate((1, 0)):
            low, high, nulls = _expected(index, every[channel], found.first, found.step, n)
            np.testing.assert_array_equal(found.low[row], low)
            np.testing.assert_array_equal(found.high[row], high)
            assert found.nulls[row].tolist() == nulls


def _items(stream: Stream) -> list[Block | Gap]:
    """With a hole, and a sensor that was open for some samples."""
    status = np.zeros((2, 50), np.int8)
    status[0, 3:9] = 1
    return [
        replace(item, sensor_status=status) if isinstance(item, Block) and item.first_sample_index == 490 else item
        for item in items_of(stream)
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with every kind of output, both layouts, a hole and nulls."""
    long = {f"long_{name}": {**sink, "path": f"long-{sink['path']}"} for name, sink in LONG_SINKS.items()}
    return record_run(
        tmp_path_factory.mktemp("runs") / "lab" / "20261123T090000Z", {**SINKS, **long}, _items(stream_of())
    )


@pytest.mark.parametrize("sink", [*SINKS, *(f"long_{name}" for name in LONG_SINKS)])
def test_the_overview_of_every_output_has_what_load_gives(run: Path, sink: str) -> None:
    make_overview(run, sink, lambda rows, of: None)
    past = PastRun(run)
    samples = dtopipe.load(run).samples(sink=sink)
    description = past.description(sink)
    assert description["is_ready"]
    assert [channel["name"] for channel in description["channels"]] == ["flux", "tc1"]
    for exact, span, most in ((False, Span(0, 1000), 2), (True, Span(0, 1000), 10), (True, Span(480, 530), 50)):
        found = past.columns(sink, [0, 1], span, most, exact=exact)
        assert found.step == {2: 256, 10: 100, 50: 1}[most]
        for channel in (0, 1):
            low, high, nulls = _expected(
                samples.sample_index, samples.values[channel], found.first, found.step, found.low.shape[1]
            )
            np.testing.assert_array_equal(found.low[channel], low)
            np.testing.assert_array_equal(found.high[channel], high)
            assert found.nulls[channel].tolist() == nulls
    assert past.gaps(sink, Span(0, 1000), 1) == [(OVERRUN.start, OVERRUN.stop, False)]


def test_gaps_that_are_near_are_one_and_those_that_nobody_wanted_others() -> None:
    quiet, lost = Cause.NOT_TRIGGERED.code, Cause.STALLED.code
    gaps = np.array([(0, 10, lost), (12, 20, lost), (30, 90, quiet), (95, 99, lost), (200, 300, quiet)])
    assert merged_gaps(gaps, Span(5, 250), 5) == [(5, 20, False), (30, 90, True), (95, 99, False), (200, 250, True)]
    assert merged_gaps(gaps, Span(100, 150), 5) == []
    assert merged_gaps(np.empty((0, 3), np.int64), Span(0, 9), 1) == []


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return record_run(tmp_path / "runs" / "lab" / "20261123T090000Z", {"view": SINKS["view"]})


def _found(run: Path) -> Overview | None:
    record = RunFolder(run).read_record()
    (output,) = outputs_of(RunFolder(run), record)
    return found_overview(run, "view", about_of(output, record))


def _make(run: Path) -> Path:
    return make_overview(run, "view", lambda rows, of: None)


def test_an_overview_is_kept_beside_the_run_and_believed_as_long_as_its_output_is_the_same(small: Path) -> None:
    assert _found(small) is None
    path = _make(small)
    assert path == small / ".overview-view.dtopipe"
    assert _found(small) is not None
    # A cut one, one of another run, one of an output that was repaired, of a record that is another.
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert _found(small) is None
    path.write_bytes(whole)
    assert _found(small) is not None
    os.utime(small / "view.csv", ns=(1, 1))
    assert _found(small) is None
    _make(small)
    assert _found(small) is not None
    edit_record(small, lambda record: record["sinks"]["view"].update(samples=5))
    assert _found(small) is None


def test_a_maker_that_is_killed_leaves_nothing_that_is_believed(small: Path) -> None:
    def die(rows: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_overview(small, "view", die)
    assert [path.name for path in small.iterdir() if "overview" in path.name] == []
    # As a kill leaves it; long ago, and just now by another one.
    old, new = small / ".overview-view.dtopipe.7.new", small / ".overview-view.dtopipe.8.new"
    for draft in (old, new):
        draft.write_bytes(b"half")
    os.utime(old, (1, 1))
    assert _found(small) is None
    _make(small)
    assert _found(small) is not None
    assert not old.exists()
    assert new.exists()


def test_what_is_no_overview_stays_and_a_link_is_not_followed(small: Path, tmp_path: Path) -> None:
    own, elsewhere = small / ".overview-view.dtopipe", tmp_path / "elsewhere"
    own.write_text("a note of mine")
    assert _make(small).parent == cache_folder()
    assert own.read_text() == "a note of mine"
    assert _found(small) is not None
    shutil.rmtree(cache_folder())
    own.unlink()
    elsewhere.write_text("not ours")
    other = small / ".overview-view.dtopipe"
    other.symlink_to(elsewhere)
    # The whole folder is none that dtopipe has made.
    with pytest.raises(UsageError, match="not a run folder"):
        _make(small)
    assert elsewhere.read_text() == "not ours"


def test_into_the_folder_of_another_user_nothing_is_written(small: Path) -> None:
    if os.geteuid() == 0:
        os.chown(small, 4_321, 4_321)
    else:
        small.chmod(0o555)
    before = sorted(path.name for path in small.iterdir())
    try:
        assert _make(small).parent == cache_folder()
        assert _found(small) is not None
        assert sorted(path.name for path in small.iterdir()) == before
    finally:
        if os.geteuid() != 0:
            small.chmod(0o755)


def test_a_run_in_parts_with_marks_and_limits_is_described(tmp_path: Path) -> None:
    stream = replace(stream_of(), rate_hz=1000.0)
    sinks = {"parts": {"type": "csv", "path": "live-{part}.csv", "split": "300ms"}}
    items: list[Any] = [item for item in items_of(stream) if isinstance(item, Block | Gap)]
    run = record_run(tmp_path / "lab" / "20261123T090000Z", sinks, items, stream)
    edit_record(run, lambda record: record["topology"].update(limits={"tc1": {"high": 3.5}}))
    make_overview(run, "parts", lambda rows, of: None)
    told = PastRun(run).description("")
    assert told["is_ready"]
    assert (told["start"], told["stop"], told["output"]) == (0, 1000, "parts")
    assert told["channels"][1] == {"name": "tc1", "unit": "V", "limit_high": 3.5}
    assert PastRun(run).columns("", [1], Span(0, 900), 5, exact=True).high[0].max() > 0


def test_of_a_run_whose_outputs_may_not_be_opened_nothing_is_shown(small: Path) -> None:
    edit_record(small, lambda record: record["sinks"]["view"].update(path="/etc/passwd"))
    with pytest.raises(UsageError, match="no output that can be read here"):
        PastRun(small).description("")


def test_a_view_has_a_spectrum_of_any_span_of_it(tmp_path: Path) -> None:
    stream = replace(stream_of(), rate_hz=1000.0)
    items = [item for item in items_of(stream) if isinstance(item, Block) and item.first_sample_index < OVERRUN.start]
    sink = {"type": "csv", "path": "slow.csv", "every": "10ms", "reduce": "mean"}
    run = record_run(tmp_path / "lab" / "20261123T090000Z", {"slow": sink}, items, stream)
    for span, n_rows in ((Span(0, 300), 30), (Span(5, 295), 29), (Span(41, 299), 25)):
        told = PastRun(run).spectrum("", 0, span)
        assert (told["samples"], told["hz"][-1]) == (n_rows, pytest.approx(50 if n_rows % 2 == 0 else 48, abs=2))
