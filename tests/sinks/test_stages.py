"""A writer says when it makes values of codes, and when these go to the disk."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from recordings import blocks, recorded

from dtopipe.sinks.contract import OutputOptions, Stage
from dtopipe.sinks.registry import load_writer


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("csv", ["convert", "write", "convert", "", "commit"]),
        ("jsonl", ["convert", "write", "convert", "", "commit"]),
        ("hbuf", ["convert", "write", "convert", "", "commit"]),
        ("sqlite", ["commit", "write", "convert", "write", "commit"]),
    ],
)
def test_making_values_is_told_from_writing_them(tmp_path: Path, kind: str, wanted: list[str]) -> None:
    told: list[str] = []
    inside = [""]

    @contextlib.contextmanager
    def doing(stage: Stage) -> Iterator[None]:
        inside.append(stage)
        told.append(stage)
        yield
        inside.pop()
        told.append(inside[-1])

    writer: Any = load_writer(kind)(OutputOptions(tmp_path / "output", doing=doing))
    stream = recorded()
    writer.open(stream, 0, resume=False)
    told.clear()
    writer.append(blocks(stream, 0, 100))
    inside[0] = "commit"
    told.append("commit")
    writer.commit()
    writer.abandon()
    assert inside == ["commit"]
    assert [stage for stage, _ in groupby(told)] == wanted
