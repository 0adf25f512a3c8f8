"""How many columns a table in a file may have, so that the programs that open such files take it."""

from __future__ import annotations

from collections.abc import Sequence

from dtopipe.model.sink_types import Column, ColumnLimits

# The widest table that a spreadsheet opens; of rows beyond it nobody's program makes a table.
_MOST_COLUMNS = 16_384
_N_TIMES = 3
# Of readings: these, six more, two of errors, and the reading's own number; and a unit beside each value.
_N_FIXED_OF_READINGS = 12


def _most(columns: Sequence[Column], polled: bool) -> int:
    fixed, a_channel = (_N_FIXED_OF_READINGS, 2) if polled else (_N_TIMES, 1)
    return (_MOST_COLUMNS - fixed) // a_channel


FILE_COLUMNS = ColumnLimits("programs that read such a file take a row", _most)
