"""What the parts of the sinks' suite have in common: what is tried, and where."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from dtopipe.model.policy import Layout
from dtopipe.model.references import referred
from dtopipe.model.sink_types import SinkType
from dtopipe.sinks.contract import OutputReader, SinkWriter
from dtopipe.testing.recordings import AWKWARD_NAMES
from dtopipe.testing.sink_under_test import Appends, SinkUnderTest


class SinkSuite:
    """Class attributes say what is tried. An author sets `sink_type`, and of the others what that does not say.

    `sink_type`: what is known of the type; or, without one, `writer` and `reader`: the classes. `options`: keyword
    arguments of the writer's class. `layouts`: those that it has. `file_name`: of the output, None for a sink that
    writes no file. `type_name`: its name among the entry points, for the tests that record a real run; they are skipped
    without it. `takes_room`: its output grows, so that a full disk stops it. The others are those of SinkUnderTest.
    """

    sink_type: ClassVar[SinkType | None] = None
    writer: ClassVar[Callable[..., SinkWriter] | None] = None
    reader: ClassVar[Callable[..., OutputReader] | None] = None
    options: ClassVar[Mapping[str, Any]] = {}
    layouts: ClassVar[Sequence[Layout] | None] = None
    file_name: ClassVar[str | None] = "out"
    type_name: ClassVar[str | None] = None
    dtypes: ClassVar[Sequence[str]] = ("int16", "int32", "float64")
    channel_names: ClassVar[Sequence[str]] = AWKWARD_NAMES
    takes_room: ClassVar[bool] = True
    appends: ClassVar[Appends] = Appends.NEVER
    keeps_negative_zero: ClassVar[bool] = True

    def writer_class(self) -> Callable[..., SinkWriter]:
        """The class that is tried."""
        known = self.sink_type
        found = type(self).writer or (referred(known.writer) if known else None)
        assert found is not None, f"{type(self).__name__} says neither sink_type nor writer"
        made: Callable[..., SinkWriter] = found
        return made

    def reader_class(self) -> Callable[..., OutputReader] | None:
        """The class that reads its outputs back; None if there is none."""
        known = self.sink_type
        if type(self).reader is not None:
            return type(self).reader
        found: Callable[..., OutputReader] | None = (
            referred(known.reader) if known and known.reader else getattr(self.writer_class(), "Reader", None)
        )
        return found

    def its_layouts(self) -> Sequence[Layout]:
        """Those that it has."""
        if self.layouts is not None:
            return self.layouts
        return tuple(Layout) if self.sink_type and self.sink_type.has_layouts else (Layout.WIDE,)

    def its_type_name(self) -> str | None:
        """What topologies call it."""
        return self.type_name or (self.sink_type.name if self.sink_type else None)

    def kinds(self) -> Mapping[str, SinkUnderTest]:
        """What each test is run with, by a name; by default one a layout."""
        known = self.sink_type or SinkType("", writer="")
        return {
            layout.value: SinkUnderTest(
                writer_class=self.writer_class(),
                reader_class=self.reader_class(),
                path=None if self.file_name is None else Path(f"{self.file_name}{known.suffix}"),
                layout=layout,
                options=self.options,
                dtypes=self.dtypes,
                channel_names=self.channel_names,
                appends=self.appends,
                takes_readings=self.sink_type is not None and known.takes_readings,
                durable_at_once=known.commits_are_durable,
                keeps_infinities=known.holds_nonfinite,
                keeps_negative_zero=self.keeps_negative_zero,
            )
            for layout in self.its_layouts()
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
