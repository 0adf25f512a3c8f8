"""Whether the files of an output are still where they were opened: what is written into a deleted file is nowhere."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from dtopipe.host.disappearance import Disappearance, disappearance_of
from dtopipe.model.errors import OutputAway, SinkError
from dtopipe.sinks.file.commit_record import SUFFIX, read_commit_record, record_path
from dtopipe.sinks.file.errors import sink_error

# Device and number of a file; the latter is 0 where the file system has none.
_Identity = tuple[int, int]
_READ_AND_WRITE = os.O_RDWR | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_REPAIR = "or end the run, and call dtopipe repair"


class FileIdentity:
    """Knows the files of an open output, from the first look at each."""

    def __init__(self) -> None:
        self._seen: dict[Path, _Identity] = {}

    def look(self, files: Sequence[Path]) -> None:
        """Raise OutputAway if one of them is away or is another file now, SinkError if it was deleted."""
        found = {path: self._identity(path) for path in files}
        for path, identity in found.items():
            if self._seen.get(path, identity) != identity:
                raise OutputAway(path, "is another file than the one that was opened", "it is opened again")
        self._seen = found

    def _identity(self, path: Path) -> _Identity:
        try:
            stat = path.stat()
        except (FileNotFoundError, NotADirectoryError) as error:
            known = self._seen.get(path)
            raise absent(path, known and known[0]) from error
        except OSError as error:
            raise sink_error(path, error) from error
        return stat.st_dev, stat.st_ino


def ensure_resumable(path: Path, run_id: str, files: Sequence[Path]) -> None:
    """It is asked before an output with committed samples is opened again, which would begin an absent one anew.

    Raises OutputAway, SinkError.
    """
    for file in files:
        try:
            file.stat()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise absent(file) from error
        except OSError as error:
            raise sink_error(file, error) from error
    record = next((file for file in files if file.name.endswith(SUFFIX)), record_path(path))
    snapshot = read_commit_record(record.with_name(record.name.removesuffix(SUFFIX)))
    if snapshot is None or snapshot.stream.run_id != run_id:
        raise SinkError(record, "is not this run's commit record any more", f"put it back, {_REPAIR}")


def opened_again(path: Path, flags: int = 0) -> int:
    """A descriptor of a file that was there, with more `flags` than to read and write. Raises OutputAway, SinkError."""
    try:
        return os.open(path, _READ_AND_WRITE | flags)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise absent(path) from error
    except OSError as error:
        raise sink_error(path, error) from error


def absent(path: Path, device: int | None = None) -> SinkError:
    """The error for a file that was there and is not; `device` is the one that it was on."""
    folder = path.parent
    try:
        disappearance = disappearance_of(path, device)
    except OSError as error:
        return sink_error(path, error)
    if disappearance is Disappearance.FOLDER_GONE:
        return OutputAway(path, f"its folder {folder} is not there any more", f"put it back or mount it, {_REPAIR}")
    if disappearance is Disappearance.NOT_MOUNTED:
        return OutputAway(path, f"its disk or share is not mounted at {folder} any more", f"mount it again, {_REPAIR}")
    return SinkError(path, "was deleted or moved away", f"put it back and call dtopipe restart, {_REPAIR}")


def ensure_not_cut(fd: int, path: Path, n_bytes: int) -> None:
    """It is asked before more is written behind so many bytes of an open file: what is cut off would become zeros.

    Raises SinkError, or OSError.
    """
    there = os.fstat(fd).st_size
    if there < n_bytes:
        raise shortened(path, there, n_bytes)


def shortened(path: Path, n_bytes: int, committed_bytes: int) -> SinkError:
    """The error for a file that has lost what was committed."""
    return SinkError(
        path,
        f"it has {n_bytes} bytes of the {committed_bytes} that were written",
        "somebody has changed it: put it back as it was and call dtopipe restart, or dtopipe repair after the run",
    )
