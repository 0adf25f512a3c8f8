"""Moments that are waited for."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from dtopipe.chaos import moments
from dtopipe.chaos.moments import came_to_commit, came_to_rollover, has_rollovers
from dtopipe.model.plan import SinkPlan
from dtopipe.shm.layout import Call
from dtopipe.wire.raw_files import segment_path

PARQUET = SinkPlan("columns", "parquet", "columns.parquet")
SEGMENTS = SinkPlan("raw", "hbuf", "raw.dt-raw", options={"segment": 1000})


class Calls:
    """A process that is in these calls, one a look."""

    def __init__(self, *calls: Call) -> None:
        self._calls = list(calls)

    def read(self) -> tuple[Call, int]:
        return (self._calls.pop(0) if len(self._calls) > 1 else self._calls[0]), 0


@pytest.fixture(autouse=True)
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "_COMMIT_LIMIT_S", 0.1)


def test_a_commit_is_waited_for_until_it_comes() -> None:
    assert came_to_commit(Calls(Call.READ, Call.APPEND, Call.READ, Call.COMMIT))  # type: ignore[arg-type]


def test_a_commit_that_does_not_come_is_given_up() -> None:
    assert not came_to_commit(Calls(Call.READ))  # type: ignore[arg-type]
    assert not came_to_commit(None)


def test_only_row_groups_and_segments_have_ends() -> None:
    plain = SinkPlan("raw", "hbuf", "raw.dt-raw", options={"segment": None})
    assert [has_rollovers(sink) for sink in (PARQUET, SEGMENTS, plain, SinkPlan("t", "csv", "t.csv"))] == [
        True, True, False, False,
    ]  # fmt: skip


def test_a_row_group_shows_in_the_file_and_a_segment_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns, raw = tmp_path / "columns.parquet", tmp_path / "raw.dt-raw"
    columns.write_bytes(b"before")
    segment_path(raw, 1).touch()
    with monkeypatch.context() as patch:
        patch.setattr(moments, "_ROLLOVER_LIMIT_S", 0.05)
        assert not came_to_rollover(PARQUET, columns)
        assert not came_to_rollover(SEGMENTS, raw)
    for sink, path, grows in (
        (PARQUET, columns, lambda: columns.write_bytes(b"before and after")),
        (SEGMENTS, raw, segment_path(raw, 2).touch),
    ):
        later = threading.Timer(0.05, grows)
        later.start()
        assert came_to_rollover(sink, path)
        later.join()
