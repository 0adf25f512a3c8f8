"""The dialects of CSV: which writer and which reader an output has. Each imports what it needs, and no more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dtopipe.model.errors import SinkOptionError
from dtopipe.model.stream import Stream
from dtopipe.model.suggestions import nearest
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.file.errors import sink_errors
from dtopipe.sinks.text.limits import EXCEL

if TYPE_CHECKING:
    from dtopipe.sinks.text.csv_reader import CsvReader
    from dtopipe.sinks.text.delimited import DelimitedWriter

RFC_4180 = "rfc4180"


def csv_writer(
    output: OutputOptions,
    *,
    dialect: str = RFC_4180,
    locale: str | None = None,
    decimal: str | None = None,
    delimiter: str | None = None,
) -> DelimitedWriter:
    """A writer with these options. Raises SinkOptionError, SinkDependencyError."""
    if dialect not in (RFC_4180, EXCEL):
        raise SinkOptionError(output.path, f"there is no dialect {dialect!r}", nearest(dialect, (RFC_4180, EXCEL)))
    given = {"locale": locale, "decimal": decimal, "delimiter": delimiter}
    for name, value in given.items():
        if value is not None and dialect != EXCEL:
            raise SinkOptionError(output.path, f"the dialect {dialect} has no {name}", "say dialect excel")
    if dialect == EXCEL:
        from dtopipe.sinks.text.excel import ExcelForm
        from dtopipe.sinks.text.excel_csv import ExcelCsvWriter

        return ExcelCsvWriter(output, ExcelForm.of(locale, decimal, delimiter))
    from dtopipe.sinks.text.csv import CsvWriter

    return CsvWriter(output)


def csv_reader(path: Path, run_id: str | None = None, stream: Stream | None = None) -> CsvReader:
    """A reader of what is there: its commit record says the dialect, or its first bytes. Raises SinkError."""
    from dtopipe.sinks.text.csv_reader import CsvReader
    from dtopipe.sinks.text.excel import BYTE_ORDER_MARK, ExcelState
    from dtopipe.sinks.text.excel_reader import ExcelReader

    found = CsvReader(path, run_id, stream)
    if found.snapshot is not None and ExcelState.of(found.snapshot.extra) is not None:
        return ExcelReader(path, run_id, stream)
    with sink_errors(path), path.open("rb") as file:
        is_excel = file.read(len(BYTE_ORDER_MARK)) == BYTE_ORDER_MARK
    return ExcelReader(path, run_id, stream) if is_excel else found
