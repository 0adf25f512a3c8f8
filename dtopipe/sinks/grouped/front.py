"""The beginning of a file as if it were all: behind it may be half of what its writer was killed over."""

from __future__ import annotations

import io
import os
from typing import Any


class FileFront(io.RawIOBase):
    """The first `size` bytes of a file, of which the very first may be told to be others (`head`)."""

    def __init__(self, file: io.FileIO, size: int, head: bytes = b"") -> None:
        self._file = file
        self._size = size
        self._head = head

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of any file."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._file.tell(), os.SEEK_END: self._size}[whence]
        return self._file.seek(base + offset)

    def tell(self) -> int:
        """As of any file."""
        return self._file.tell()

    def readinto(self, into: Any) -> int:
        """As of any file."""
        at = self._file.tell()
        view = memoryview(into).cast("B")
        n_bytes = self._file.readinto(view[: max(0, self._size - at)]) or 0
        if at < len(self._head):
            told = self._head[at : at + n_bytes]
            view[: len(told)] = told
        return n_bytes
