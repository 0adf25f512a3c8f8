"""Writing at a place of an open file."""

from __future__ import annotations

import io


def put_at(file: io.FileIO, data: bytes | memoryview, at: int) -> None:
    """All of the bytes, from byte `at` on; os.pwrite is not there on Windows. One thread writes. Raises OSError."""
    file.seek(at)
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
