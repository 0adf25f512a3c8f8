"""Many runs in one CSV or JSON Lines file, appended one behind the other."""

from __future__ import annotations

from pathlib import Path

import pytest
from recordings import ANCHOR, blocks, recorded

from dtopipe.errors import SinkError
from dtopipe.model.policy import OnExists
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.text.csv import CsvWriter
from dtopipe.sinks.text.csv_reader import CsvReader
from dtopipe.sinks.text.jsonl import JsonlWriter
from dtopipe.sinks.text.jsonl_reader import JsonlReader


@pytest.mark.parametrize("kind", [CsvWriter, JsonlWriter])
@pytest.mark.parametrize("is_closed", [True, False])
def test_each_run_in_an_appended_file_is_read_back_by_itself(
    kind: type[CsvWriter | JsonlWriter], is_closed: bool, tmp_path: Path
) -> None:
    path = tmp_path / "all.txt"
    reader = CsvReader if kind is CsvWriter else JsonlReader
    hole = Gap(Span(40, 60), Cause.BOARD_OVERRUN, ANCHOR.t_utc_ns)
    for number in range(3):
        stream = recorded(run_id=f"run/{number}")
        writer = kind(OutputOptions(path, on_exists=OnExists.APPEND))
        writer.open(stream, 0, resume=False)
        writer.append([*blocks(stream, 0, 40), hole, *blocks(stream, 60, 100 + number)])
        writer.commit()
        writer.close() if is_closed else writer.abandon()
    for number in range(3):
        one = reader(path, f"run/{number}")
        assert one.position().committed == 100 + number
        assert list(one.gaps()) == [hole]
        assert one.reach() == one.position()
        index = [i for rows in one.batches() for i in rows.sample_index.tolist()]
        assert index == [*range(40), *range(60, 100 + number)]
    with pytest.raises(SinkError, match="belongs to another run"):
        reader(path, "run/9")
    aside = kind(OutputOptions(path, on_exists=OnExists.RENAME))
    aside.open(recorded(run_id="run/4"), 0, resume=False)
    aside.close()
    assert reader(tmp_path / "all.1.txt", "run/0").position().committed == 100
    assert len(list(tmp_path.iterdir())) == 6
