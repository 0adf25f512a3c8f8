"""What the parts of the sinks' suite have in common: what is tried, and where."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from dtopipe.model.policy import Layout
from dtopipe.sinks.contract import OutputReader, SinkWriter
from dtopipe.testing.recordings import AWKWARD_NAMES
from dtopipe.testing.sink_under_test import Appends, SinkUnderTest


class SinkSuite:
    """Class attributes say what is tried; an author sets `writer`, and of the others what is not so for his sink.

    `writer`: the class; `reader`: its reader's, by default `writer.Reader`. `options`: keyword arguments of the class.
    `file_name`: of the output, or None for a sink that writes no file. `type_name`: its name among the entry points,
    for the tests that record a real run; they are skipped without it. The others are those of SinkUnderTest.
    """

    writer: ClassVar[Callable[..., SinkWriter]]
    reader: ClassVar[Callable[..., OutputReader] | None] = None
    options: ClassVar[Mapping[str, Any]] = {}
    layouts: ClassVar[Sequence[Layout]] = (Layout.WIDE,)
    file_name: ClassVar[str | None] = "out"
    type_name: ClassVar[str | None] = None
    dtypes: ClassVar[Sequence[str]] = ("int16", "int32", "float64")
    channel_names: ClassVar[Sequence[str]] = AWKWARD_NAMES
    appends: ClassVar[Appends] = Appends.NEVER
    durable_at_once: ClassVar[bool] = False
    keeps_infinities: ClassVar[bool] = True
    keeps_negative_zero: ClassVar[bool] = True

    def kinds(self) -> Mapping[str, SinkUnderTest]:
        """What each test is run with, by a name; by default one a layout."""
        writer_class = type(self).writer
        return {
            layout.value: SinkUnderTest(
                writer_class=writer_class,
                reader_class=type(self).reader or getattr(writer_class, "Reader", None),
                path=None if self.file_name is None else Path(self.file_name),
                layout=layout,
                options=self.options,
                dtypes=self.dtypes,
                channel_names=self.channel_names,
                appends=self.appends,
                durable_at_once=self.durable_at_once,
                keeps_infinities=self.keeps_infinities,
                keeps_negative_zero=self.keeps_negative_zero,
            )
            for layout in self.layouts
        }

    def file_kinds(self) -> Mapping[str, SinkUnderTest]:
        """Those of them that write a file."""
        return {name: kind for name, kind in self.kinds().items() if kind.path is not None}

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Let pytest run a test that asks for `sink` or `file_sink` once with each kind."""
        for name, kinds in (("sink", self.kinds), ("file_sink", self.file_kinds)):
            if name in metafunc.fixturenames:
                found = kinds()
                metafunc.parametrize(name, list(found.values()), ids=list(found), indirect=True)

    @pytest.fixture
    def sink(self, request: pytest.FixtureRequest, tmp_path: Path) -> SinkUnderTest:
        """Each kind of output in turn, in a folder of its own. An author overrides it to start what it needs."""
        kind: SinkUnderTest = request.param
        return kind if kind.path is None else kind.at(tmp_path / kind.path)

    @pytest.fixture
    def file_sink(self, request: pytest.FixtureRequest, tmp_path: Path) -> SinkUnderTest:
        """Each kind of output that is a file, in a folder of its own."""
        kind: SinkUnderTest = request.param
        return kind.at(tmp_path / kind.file)
