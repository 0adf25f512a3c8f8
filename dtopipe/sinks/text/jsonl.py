"""JSON Lines: an object a row; null for what is not OK, NaN or infinite, since JSON has no such numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import BinaryIO

from dtopipe.model.stream import Stream
from dtopipe.sinks.text.delimited import DelimitedWriter
from dtopipe.sinks.text.whole_lines import Fill

# A thousand channels take 100 kB; what is longer is no line of ours.
_LONGEST_LINE_BYTES = 2**24


class JsonlWriter(DelimitedWriter):
    """Each line has the same keys, in the same order."""

    sink_type = "jsonl"
    null = b"null"
    finite_only = True

    def header(self, stream: Stream) -> bytes:
        """Nothing: each line says what it is. Names that clash are refused."""
        self._columns(stream)
        return b""

    def has_columns(self, file: BinaryIO, columns: Sequence[str]) -> bool:
        """Its first line does."""
        try:
            first = json.loads(file.readline(_LONGEST_LINE_BYTES))
        except (ValueError, RecursionError):
            return False
        return isinstance(first, dict) and list(first) == list(columns)

    def literals(self, columns: Sequence[str], unquoted: Sequence[str]) -> list[bytes]:
        """Keys, and the quotes of the unquoted."""
        found = []
        before = b"{"
        for column in columns:
            quote = b'"' if column in unquoted else b""
            found.append(before + json.dumps(column, ensure_ascii=False).encode() + b":" + quote)
            before = quote + b","
        return [*found, before[:-1] + b"}\n"]

    def fill_of(self, data: bytes, start: int, stop: int, file_at: int) -> Fill:
        """Spaces behind the object, which are none of it."""
        return [(stop - 1, b" ")]

    def quoted(self, text: str | None) -> bytes:
        """As a JSON string."""
        return b"null" if text is None else json.dumps(text, ensure_ascii=False).encode()
