"""What the readers of append-only files have in common: only what is committed is read, nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from dtopipe.model.errors import SinkError
from dtopipe.model.position import Position
from dtopipe.model.span import Gap
from dtopipe.sinks.commit_record import CommitSnapshot, read_commit_record
from dtopipe.sinks.outputs import sink_errors
from dtopipe.sinks.reading_columns import value_places

_PIECE_BYTES = 2**22


class FileReader:
    """The committed part of an output; all of a file that has no commit record. Raises SinkError."""

    def __init__(self, path: Path, run_id: str | None = None) -> None:
        self.path = path
        self.snapshot: CommitSnapshot | None = read_commit_record(path)
        with sink_errors(path):
            size = self.data_path(path).stat().st_size
        if self.snapshot and run_id not in (None, self.snapshot.stream.run_id):
            raise SinkError(
                path, f"it belongs to another run ({self.snapshot.stream.run_id})", "look for this run's own output"
            )
        self.start = self.snapshot.data_origin if self.snapshot else 0
        # Behind the last commit of a writer that was killed there may be anything; a complete file is read whole.
        self.stop = size if self.snapshot is None or self.snapshot.closed else self.snapshot.data_bytes
        if size < self.stop:
            raise SinkError(
                path, f"it has {size} bytes, its commit record says {self.stop}", "refill it from another output"
            )

    def data_path(self, path: Path) -> Path:
        """The file that the commit record tells the length of."""
        return path

    def position(self) -> Position:
        """What the commit record says. Raises SinkError without one."""
        return self._known().position

    def gaps(self) -> Sequence[Gap]:
        """The gaps of the commit record. Raises SinkError without one."""
        return self._known().gaps

    def lines(self, start: int | None = None) -> Iterator[bytes]:
        """The committed bytes from `start` on, in pieces that end with a newline."""
        with sink_errors(self.path), self.path.open("rb") as file:
            file.seek(self.start if start is None else start)
            rest = b""
            while piece := file.read(min(_PIECE_BYTES, self.stop - file.tell())):
                piece = rest + piece
                end = piece.rfind(b"\n") + 1
                rest = piece[end:]
                if end:
                    yield piece[:end]
            if rest:
                raise SinkError(self.path, "its last line is cut", "refill it from another output")

    def reading_places(self, columns: Sequence[str]) -> range | None:
        """Where the values stand among these columns if they are those of readings, else None."""
        if self.snapshot and not self.snapshot.stream.polled:
            return None
        return value_places(columns)

    def _known(self) -> CommitSnapshot:
        if self.snapshot is None:
            raise SinkError(self.path, "it has no commit record (.dtopipe) beside it", "copy that along with it")
        return self.snapshot
