"""What of a run's blocks and gaps goes into one output: its columns, and of a view a row for so many samples."""

from __future__ import annotations

from collections.abc import Sequence

from dtopipe.model.columns import Columns
from dtopipe.model.reduction import Reduction, reduced_stream
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block, Stream


def samples_a_row(every_s: float | None, rate_hz: float) -> int:
    """The samples that a row stands for: one at least."""
    return 1 if every_s is None else max(1, round(every_s * rate_hz))


def output_stream(
    stream: Stream, channels: Sequence[str] | None, every_s: float | None, reduce: str, *, as_codes: bool
) -> Stream:
    """The stream of an output of these channels, or of all. Raises KeyError, DerivationError."""
    taken = Columns(stream, channels, as_codes=as_codes).stream
    return reduced_stream(taken, samples_a_row(every_s, stream.rate_hz), reduce)


class View:
    """Takes blocks of the run's whole stream and gaps, in order, and gives what the output has of them.

    What it holds back comes later, in the same order; nothing is left out but by a gap.
    """

    # Samples before an output's end that it is to be told again to be in the state in which a predecessor was.
    lookback = 0

    def __init__(self, columns: Columns, every: int = 1, reduce: str = "mean") -> None:
        self._columns = columns
        self._reduction = Reduction(columns.stream, every, reduce) if every > 1 else None

    @property
    def stream(self) -> Stream:
        """The stream of the output."""
        return self._columns.stream if self._reduction is None else self._reduction.stream

    @property
    def held_from(self) -> int | None:
        """The first sample that it holds back; None where there is none."""
        return None if self._reduction is None else self._reduction.held_from

    def of(self, items: Sequence[Block | Gap]) -> list[Block | Gap]:
        """What goes into the output now that these have come."""
        found = [self._columns.of(item) if isinstance(item, Block) else item for item in items]
        return found if self._reduction is None else self._reduction.of(found)

    def rest(self) -> list[Block | Gap]:
        """What it held back, at the end."""
        return [] if self._reduction is None else self._reduction.rest()
