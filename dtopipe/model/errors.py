"""The one family of errors; each says what is wrong, where, and the way out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class DtopipeError(Exception):
    """Anything that dtopipe raises on purpose: `message` says what is wrong, `remedy` the way out, if one is known."""

    def __init__(self, message: str = "", remedy: str = "") -> None:
        self.message = message
        self.remedy = remedy
        super().__init__(self.headline + (f"\n    {remedy}" if remedy else ""))

    @property
    def headline(self) -> str:
        """What is wrong, and with what: the error's text without the way out."""
        return self.message


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a topology file something stands; line and column count from 1, and are 0 for a command's option."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a topology: where, what, and the remedy."""

    place: Place | None
    key: str
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        key = f"{self.key}: " if self.key else ""
        remedy = f"\n    {self.remedy}" if self.remedy else ""
        return f"{where}{key}{self.message}{remedy}"


class TopologyError(DtopipeError):
    """A topology that cannot be run; names every problem at once. Exit code 2."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class UsageError(DtopipeError):
    """A command that was asked for something that cannot be. Exit code 2."""


class RunOver(UsageError):
    """The run was in progress once; nothing more can be asked of it."""


class BoardError(DtopipeError):
    """The board could not be opened, started or read. `is_final`: trying again would change nothing."""

    def __init__(self, board: str, message: str, remedy: str = "", *, is_final: bool = False) -> None:
        self.board = board
        self.is_final = is_final
        super().__init__(message, remedy)

    @property
    def headline(self) -> str:
        """The message, with the board."""
        return f"board {self.board}: {self.message}"


class SinkError(DtopipeError):
    """An output could not be opened or written; carries the path and the way out."""

    def __init__(self, path: str | Path | None, message: str, remedy: str = "") -> None:
        self.path = None if path is None else str(path)
        super().__init__(message, remedy)

    @property
    def headline(self) -> str:
        """The message, with the output's path."""
        return f"{self.path}: {self.message}" if self.path else self.message


class SinkUnavailable(SinkError):
    """The output is away for now (locked, full, unreachable): worth trying again."""


class OutputAway(SinkUnavailable):
    """Its file, folder or disk is not there as it was opened: to be opened again behind its last commit."""


class FileTooLarge(SinkError):
    """The file may grow no further where it is; its disk may have room for another one."""


class OutputExists(SinkError):
    """The output is there already and `on_exists` is `error`."""


class OutputLocked(SinkUnavailable):
    """Another process is writing this output."""


class SinkNotOpen(SinkError, RuntimeError):
    """A sink was written to before `open()` or after `close()`."""


class SinkOptionError(SinkError, ValueError):
    """A sink was constructed with an option that it cannot have."""


class SinkSchemaError(SinkError):
    """What was written does not fit the columns that the first write fixed."""


class SinkDependencyError(SinkError, ImportError):
    """The package that a sink needs is not installed."""


class CannotListen(DtopipeError):
    """A port could not be had. `is_in_use`: somebody listens there already."""

    def __init__(self, message: str, *, is_in_use: bool) -> None:
        self.is_in_use = is_in_use
        super().__init__(message)


class RingError(DtopipeError):
    """The shared-memory ring could not be made or attached to."""


class WireError(DtopipeError):
    """Bytes that do not follow PROTOCOL.md."""


class SpecError(DtopipeError, ValueError):
    """A task, a block or a reading was described in a way that cannot be."""


class TaskStateError(DtopipeError, RuntimeError):
    """A session was asked for what its task, or its state, does not allow."""


class BufferOverrun(DtopipeError):
    """The board lost samples before anybody could take them."""


class NothingFollowed(DtopipeError):
    """The run of another machine that was waited for did not begin."""


class RunDied(DtopipeError):
    """The run that was followed ended without an end-of-run mark: every process of it was killed."""
