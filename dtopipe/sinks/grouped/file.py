"""The file itself of an output of groups: it takes its name as a whole one, and grows behind that."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

from dtopipe.model.errors import SinkError
from dtopipe.sinks.file.identity import opened_again, shortened

_BEGUN_SUFFIX = ".begun"


class FileOfGroups:
    """An open file, or none before it has a first footer. One thread uses it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: io.FileIO | None = None

    @property
    def fd(self) -> int:
        """The open file, to be synced."""
        return self._opened().fileno()

    def close(self) -> None:
        """Give up the file."""
        if self._file is not None:
            self._file.close()

    def _open(self, size: int) -> io.FileIO:
        """Open what has bytes that count, which is never made anew. Raises SinkError where it is shorter than that."""
        file = self._file = os.fdopen(opened_again(self._path), "r+b", 0)
        found = file.seek(0, os.SEEK_END)
        if found < size:
            raise shortened(self._path, found, size)
        return file

    def _begin_as(self, whole: bytes) -> None:
        """A file of these bytes alone takes its name at once. Raises OSError, and nothing is there then."""
        # Where a link leads to: the name that is taken is not the link's.
        place = Path(os.path.realpath(self._path))
        begun = place.with_name(place.name + _BEGUN_SUFFIX)
        try:
            begun.write_bytes(whole)
            begun.replace(place)
        except OSError:
            with contextlib.suppress(OSError):
                begun.unlink()
            raise
        self._file = os.fdopen(opened_again(self._path), "r+b", 0)

    def _put(self, data: bytes | memoryview, at: int) -> None:
        """All of the bytes, from byte `at` on. os.pwrite is not there on Windows; one thread writes."""
        file = self._opened()
        file.seek(at)
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]

    def _opened(self) -> io.FileIO:
        if self._file is None:
            raise SinkError(self._path, "has no footer yet", "put one")
        return self._file

    def _damaged(self, message: str) -> SinkError:
        return SinkError(self._path, message, "somebody has changed it; move it and its .dtopipe file away")
