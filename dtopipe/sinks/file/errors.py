"""Outputs that are files: making ready, syncing, and errors with the path and the way out."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from dtopipe.core.disk import bytes_text
from dtopipe.host.disk_names import make_folders, sync_names
from dtopipe.host.durability import sync_bytes
from dtopipe.host.file_limit import largest_file
from dtopipe.host.plain_file import FILES_ONLY, NO_LINKS, led_elsewhere, not_a_file
from dtopipe.host.system_errors import meaning_of
from dtopipe.model.errors import FileTooLarge, OutputAway, OutputExists, SinkError, SinkUnavailable
from dtopipe.model.policy import OnExists

# What may be over in a while, with what to do about it.
_PASSING = {
    errno.ENOSPC: "free some space on that disk",
    errno.EDQUOT: "free some space in your quota",
    errno.EAGAIN: "wait until the other program lets go of the file",
    errno.EBUSY: "wait until the other program lets go of the file",
}
# The same, but the file that is open may be none any more when it is over: it is opened again.
_AWAY = {
    errno.EIO: "look at the disk or at the share; it may come back",
    errno.ESTALE: "look at the share; it may come back",
    errno.EBADF: "look at the disk or at the share; it may come back",
    errno.ENXIO: "look at the disk or at the share; it may come back",
    errno.ENODEV: "look at the disk or at the share; it may come back",
    errno.ENOTCONN: "look at the share; it may come back",
    errno.EHOSTDOWN: "look at the share; it may come back",
    errno.EHOSTUNREACH: "look at the share; it may come back",
    errno.ETIMEDOUT: "look at the share; it may come back",
    errno.EROFS: "mount it writable again, or choose another place",
}
_LASTING = {
    errno.EACCES: "choose a place that you may write to, or change its permissions",
    errno.EPERM: "choose a place that you may write to, or change its permissions",
    errno.ENOENT: "make the folder, or choose another place",
    errno.ENOTDIR: "choose another place: a part of the path is a file",
    errno.EISDIR: "choose another name: there is a folder of this name",
    errno.ENAMETOOLONG: "choose a shorter name",
}


@contextlib.contextmanager
def sink_errors(path: Path) -> Iterator[None]:
    """Turn an OSError into the SinkError that names the output and the way out."""
    try:
        yield
    except OSError as error:
        raise sink_error(path, error) from error


def sink_error(path: Path, error: OSError) -> SinkError:
    """SinkUnavailable for what may be over in a while, OutputAway if it is to be opened again then, else SinkError."""
    message, number = error.strerror or str(error), meaning_of(error, path)
    if number != error.errno:
        message = "another program has it open" if number == errno.EBUSY else os.strerror(number)
    if number == errno.EFBIG:
        return FileTooLarge(path, *too_large(path))
    if number in _PASSING:
        return SinkUnavailable(path, message, _PASSING[number])
    if number in _AWAY:
        return OutputAway(path, message, _AWAY[number])
    if number == errno.ENOENT and path.parent.is_dir():
        return SinkError(
            path, "it is not there: it was deleted or moved", "put it back, or write it anew: dtopipe repair"
        )
    return SinkError(path, message, _LASTING.get(number, "look at the disk, or choose another place"))


def too_large(path: Path) -> tuple[str, str]:
    """What to say of a file that may grow no further, and the way out; both are for a verdict as well."""
    with contextlib.suppress(OSError):
        path = path.resolve()
    limit = largest_file(path)
    size, whose = limit or (path.stat().st_size if path.exists() else 0, "its file system, or a limit (ulimit -f),")
    message = f"is as large as {whose} lets a file be, {bytes_text(size)}: choose another place, or end the run sooner"
    return message, "an hbuf sink goes on in its next segment by itself"


def prepare(path: Path, on_exists: OnExists, companions: Sequence[str] = ()) -> None:
    """Make the way free for a new output at `path`, as `on_exists` says; `append` leaves what is there.

    The folder is made if it is missing. `companions`: endings of files beside the output that go where it goes.
    Raises OutputExists, SinkError.
    """
    with sink_errors(path):
        make_folders(path.parent)
        for ending in ("", *companions):
            ensure_file(path.with_name(path.name + ending))
        if not path.exists() or on_exists is OnExists.APPEND:
            return
        if on_exists is OnExists.ERROR:
            raise OutputExists(
                path, "this output exists already", "move it away, or set on_exists: rename, overwrite or append"
            )
        aside = free_name(path)
        # The output itself goes last: whoever is killed in between leaves it, and the next one moves it after them.
        for ending in (*companions, ""):
            there = path.with_name(path.name + ending)
            if not there.exists():
                continue
            ensure_no_link(there)
            if on_exists is OnExists.OVERWRITE:
                there.unlink()
            else:
                shutil.move(there, aside.with_name(aside.name + ending))


def ensure_file(path: Path) -> None:
    """Raises SinkError where a pipe, a device or a folder is: none of them is written, moved or deleted."""
    with sink_errors(path):
        if not_a_file(path):
            raise SinkError(path, not_a_file(path).removeprefix(f"{path} "), FILES_ONLY)


def ensure_no_link(path: Path) -> None:
    """Raises SinkError where a symbolic link is, before something takes the place of the file that it leads to."""
    with sink_errors(path):
        if led_elsewhere(path):
            raise SinkError(path, led_elsewhere(path).removeprefix(f"{path} "), NO_LINKS)


def free_name(path: Path) -> Path:
    """The first of `stem.1.ext`, `stem.2.ext`, ... that is not taken."""
    number = 1
    while (free := path.with_name(f"{path.stem}.{number}{path.suffix}")).exists():
        number += 1
    return free


def sync_file(fd: int, path: Path) -> None:
    """The file's bytes survive a power cut. Raises SinkError."""
    with sink_errors(path):
        sync_bytes(fd)


def sync_folder(path: Path) -> None:
    """The names in the output's folder survive a power cut, where the system can say so. Raises SinkError."""
    with sink_errors(path):
        sync_names(path.parent)
