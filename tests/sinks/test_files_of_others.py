"""An output that another program holds, as a spreadsheet on Windows does, is waited for; nothing is lost by it."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from dtopipe.model.errors import OutputAway, SinkError, SinkUnavailable
from dtopipe.sinks.file.errors import sink_error


@pytest.mark.parametrize(
    ("number", "kind"),
    [(32, SinkUnavailable), (33, SinkUnavailable), (59, OutputAway), (21, OutputAway), (5, SinkError)],
)
def test_what_windows_says_of_a_file_is_final_only_where_it_does_not_pass(
    tmp_path: Path, number: int, kind: type[SinkError]
) -> None:
    error = OSError(errno.EACCES, "Permission denied")
    error.winerror = number  # type: ignore[attr-defined, unused-ignore]
    assert type(sink_error(tmp_path / "view.csv", error)) is kind


def test_it_is_said_that_somebody_else_has_it(tmp_path: Path) -> None:
    error = OSError(errno.EACCES, "Permission denied")
    error.winerror = 32  # type: ignore[attr-defined, unused-ignore]
    told = sink_error(tmp_path / "view.csv", error)
    assert "another program has it open" in told.message
    assert told.remedy == "wait until the other program lets go of the file"
