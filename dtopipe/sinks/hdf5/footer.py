"""All structures of a file, anew: what leads from its root to every chunk, gap and word."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from dtopipe.model.marks import Mark
from dtopipe.sinks.grouped.metadata import FileMetadata
from dtopipe.sinks.hdf5.column_writer import ColumnWriter
from dtopipe.sinks.hdf5.columns import TEXT, Attributes, link_name
from dtopipe.sinks.hdf5.structures import (
    DataType,
    Message,
    any_text_type,
    array_dataset,
    chunked_dataset,
    group,
    number_attribute,
    number_type,
    text_attribute,
    text_type,
)
from dtopipe.sinks.hdf5.text_heap import TextHeap

# The dataset with what the output says of itself, as JSON.
DOCUMENT = "dtopipe"
GAPS, MARKS = "gaps", "marks"


class Footer:
    """Puts structures behind the chunks; `place` says where each is going to be."""

    def __init__(self, place: Callable[[bytes], int], heap: TextHeap, chunk_rows: int, *, deflated: bool) -> None:
        self._place = place
        self._heap = heap
        self._chunk_rows = chunk_rows
        self._deflated = deflated
        # Of the chunks that are not full yet.
        self.rest_bytes = 0

    def put(self, columns: Sequence[ColumnWriter], metadata: FileMetadata) -> int:
        """The address of the root group."""
        groups: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for column in columns:
            address = self._column(column, complete=metadata.complete)
            groups[column.plan.group].append((link_name(column.plan.name), address))
        links = groups.pop("")
        links += [(name, self._place(group(members))) for name, members in groups.items()]
        links += [(GAPS, self._gaps(metadata)), (DOCUMENT, self._document(metadata))]
        if metadata.marks and MARKS not in dict(links):
            links.append((MARKS, self._marks(metadata.marks)))
        return self._place(group(links, self._messages(_facts(metadata))))

    def _column(self, column: ColumnWriter, *, complete: bool) -> int:
        last = column.put_rest(self._place)
        self.rest_bytes += last[0] if last else 0
        tree = column.index.write(self._place, last, complete=complete)
        dtype = column.plan.dtype
        kind = any_text_type() if dtype == TEXT else number_type(dtype.name)
        attributes = list(self._messages(column.plan.attributes))
        return self._place(
            chunked_dataset(kind, tree, column.n_rows, self._chunk_rows, deflated=self._deflated, attributes=attributes)
        )

    def _gaps(self, metadata: FileMetadata) -> int:
        gaps = metadata.gaps
        whole = number_type("int64")
        columns: list[tuple[str, DataType, bytes]] = [
            ("start", whole, np.array([gap.span.start for gap in gaps], "<i8").tobytes()),
            ("stop", whole, np.array([gap.span.stop for gap in gaps], "<i8").tobytes()),
            ("t_utc_ns", whole, np.array([gap.t_utc_ns for gap in gaps], "<i8").tobytes()),
            ("cause", any_text_type(), self._heap.references([gap.cause.value for gap in gaps]).tobytes()),
        ]
        return self._table(columns, len(gaps))

    def _marks(self, marks: Sequence[Mark]) -> int:
        numbers = ("number", "sample_index", "t_mono_ns", "t_utc_ns", "set_at_ns")
        columns: list[tuple[str, DataType, bytes]] = [
            (name, number_type("int64"), np.array([getattr(mark, name) for mark in marks], "<i8").tobytes())
            for name in numbers
        ]
        columns += [
            (name, any_text_type(), self._heap.references([getattr(mark, name) for mark in marks]).tobytes())
            for name in ("label", "text", "by")
        ]
        return self._table(columns, len(marks))

    def _table(self, columns: Sequence[tuple[str, DataType, bytes]], n_rows: int) -> int:
        """A group with a dataset for each column."""
        members = []
        for name, kind, data in columns:
            address = self._place(data)
            members.append((name, self._place(array_dataset(kind, address, n_rows))))
        return self._place(group(members))

    def _document(self, metadata: FileMetadata) -> int:
        text = metadata.packed()
        address = self._place(text)
        return self._place(array_dataset(text_type(len(text)), address, None))

    def _messages(self, attributes: Attributes) -> Iterator[Message]:
        for name, value in attributes.items():
            if isinstance(value, str):
                yield text_attribute(name, self._heap.reference(value))
            elif isinstance(value, tuple):
                yield number_attribute(name, "<f8", *value)
            else:
                yield number_attribute(name, "<i8" if isinstance(value, int) else "<f8", value)


def _facts(metadata: FileMetadata) -> Attributes:
    """What is asked first of a file."""
    stream = metadata.stream
    return {
        "run_id": stream.run_id,
        "task": stream.task,
        "device": stream.device,
        "rate_hz": float(stream.rate_hz),
        "started_at": stream.started_at,
        "simulated": int(stream.simulated),
        "layout": metadata.layout.value,
        "complete": int(metadata.complete),
        "start": metadata.position.start,
        "stop": metadata.position.committed,
    }
