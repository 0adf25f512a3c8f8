"""A SQLite file open for one writer: pragmas, transactions that are whole or nothing, errors with a way out."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dtopipe.host.file_limit import largest_file
from dtopipe.model.errors import FileTooLarge, OutputAway, SinkError, SinkUnavailable
from dtopipe.sinks.file.errors import too_large
from dtopipe.sinks.file.identity import shortened
from dtopipe.sinks.sqlite.sink_type import SIDE_SUFFIXES

_JOURNAL_MODES = ("WAL", "DELETE", "TRUNCATE", "PERSIST")
_SYNCHRONOUS = ("OFF", "NORMAL", "FULL", "EXTRA")
# Of a new file. Rows of 100 channels and more still fit into a page of the index that `samples` is.
_PAGE_BYTES = 8192
# The write-ahead log is written back at this size: with SQLite's own 4 MB, checkpoints are a tenth of the time.
_LOG_BYTES = 16 * 2**20
_LOOK_AGAIN_S = 0.02
# A program that only looks now and then is gone by then.
_PASSING_READER_S = 1.0

# By what SQLite says (primary result code): what it means here, and the way out.
_TEMPORARY = {
    sqlite3.SQLITE_BUSY: ("another program holds it", "end its transaction, or raise busy_timeout_ms"),
    sqlite3.SQLITE_LOCKED: ("another program holds it", "end its transaction, or raise busy_timeout_ms"),
    sqlite3.SQLITE_FULL: ("the disk is full", "free some space; what is committed is safe"),
}
# The same, but the connection may be to a file that is none any more when it is over: it is opened again.
_AWAY = {
    sqlite3.SQLITE_IOERR: ("the disk does not answer as it should", "see whether it is full, or away"),
    sqlite3.SQLITE_READONLY: ("it cannot be written", "change its permissions, or give another path"),
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", "see whether its folder is there and can be written"),
}
_FINAL = {
    sqlite3.SQLITE_NOTADB: ("it is not a SQLite file", "give another path, or on_exists: rename"),
    sqlite3.SQLITE_CORRUPT: ("its content is damaged", "give another path, or on_exists: rename"),
}


@dataclass(frozen=True, slots=True)
class Pragmas:
    """How the file is written, in SQLite's words; `busy_timeout_ms` is how long a lock of others is waited for."""

    journal_mode: str = "WAL"
    synchronous: str = "NORMAL"
    busy_timeout_ms: int = 5000

    def checked(self, path: Path) -> Pragmas:
        """These, in capitals. Raises SinkError where SQLite has no such word, or one that risks committed data."""
        mode, synchronous = self.journal_mode.upper(), self.synchronous.upper()
        for option, value, words in (
            ("journal_mode", mode, _JOURNAL_MODES),
            ("synchronous", synchronous, _SYNCHRONOUS),
        ):
            if value not in words:
                raise SinkError(path, f"{option} cannot be {value!r}", f"use one of {', '.join(words)}")
        if self.busy_timeout_ms < 0:
            raise SinkError(path, f"busy_timeout_ms cannot be {self.busy_timeout_ms}", "use 0 or more")
        return Pragmas(mode, synchronous, self.busy_timeout_ms)


def _make_file(path: Path) -> None:
    """The file gets the mode that the user's umask asks for: SQLite would let no group write it, whatever that says."""
    # What is in the way SQLite says in its own words.
    with contextlib.suppress(OSError):
        # It is made where a link leads to, as SQLite would.
        os.close(os.open(os.path.realpath(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))


class Database:
    """One connection; every method raises SinkUnavailable where another try may succeed, SinkError where not."""

    def __init__(self, path: Path, pragmas: Pragmas) -> None:
        self.path = path
        self._pragmas = pragmas
        self._seen_bytes = 0
        _make_file(path)
        with self.explained():
            # The one thread that calls a writer need not be the same one all the time.
            self.connection = sqlite3.connect(
                path, timeout=pragmas.busy_timeout_ms / 1000, isolation_level=None, check_same_thread=False
            )
        try:
            with self.explained():
                execute = self.connection.execute
                execute(f"PRAGMA page_size = {_PAGE_BYTES}")
                self._set_journal_mode()
                execute(f"PRAGMA synchronous = {pragmas.synchronous}")
                execute(f"PRAGMA wal_autocheckpoint = {_LOG_BYTES // _PAGE_BYTES}")
                # macOS: a sync that reaches the medium. Without a meaning elsewhere.
                execute("PRAGMA fullfsync = ON")
                execute("PRAGMA checkpoint_fullfsync = ON")
        except BaseException:
            self.connection.close()
            raise

    def _set_journal_mode(self) -> None:
        """The one statement whose locks SQLite does not wait for by itself."""
        deadline = time.monotonic() + self._pragmas.busy_timeout_ms / 1000
        while True:
            try:
                self.connection.execute(f"PRAGMA journal_mode = {self._pragmas.journal_mode}")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                    raise
            time.sleep(_LOOK_AGAIN_S)

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """All that is done inside is in the file, or none of it; `durable` also syncs everything before it."""
        with self.explained():
            if durable:
                # In WAL mode this syncs the log, with all transactions that are in it, at the commit.
                self.connection.execute("PRAGMA synchronous = FULL")
            try:
                self.connection.execute("BEGIN IMMEDIATE")
                yield self.connection
                self.connection.execute("COMMIT")
            finally:
                if self.connection.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        self.connection.execute("ROLLBACK")
                if durable:
                    self.connection.execute(f"PRAGMA synchronous = {self._pragmas.synchronous}")

    def ensure_not_cut(self) -> None:
        """It is asked before a transaction: SQLite would write pages behind what was cut off, and zeros between them.

        Raises SinkError.
        """
        # What is away is said by who looks for it.
        with contextlib.suppress(OSError):
            there = self.path.stat().st_size
            if there < self._seen_bytes:
                raise shortened(self.path, there, self._seen_bytes)
            self._seen_bytes = there

    def make_one_file(self) -> str:
        """Write the log back into the file and end it; returns what is left to be said of it, empty if nothing is.

        Raises SinkUnavailable where there is no room for what the log holds, or a reader still needs it: it keeps that;
        SinkError where somebody has cut the file.
        """
        self.ensure_not_cut()
        with self.explained():
            # Whoever waits for it listens meanwhile.
            self.connection.execute("PRAGMA busy_timeout = 0")
            try:
                return self._fold_log()
            finally:
                self.connection.execute(f"PRAGMA busy_timeout = {self._pragmas.busy_timeout_ms}")

    def _fold_log(self) -> str:
        deadline = time.monotonic() + min(self._pragmas.busy_timeout_ms / 1000, _PASSING_READER_S)
        while True:
            # Frames of the log, and those of them that are in the file; -1 where there is no log.
            is_held, n_frames, n_written = self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not is_held:
                with contextlib.suppress(sqlite3.OperationalError):
                    self.connection.execute("PRAGMA journal_mode = DELETE")
                    return ""
            if time.monotonic() >= deadline:
                break
            time.sleep(_LOOK_AGAIN_S)
        if n_written < n_frames:
            raise SinkUnavailable(
                self.path,
                "another program reads it in a transaction that it keeps open: the last rows are in its -wal alone",
                "end that transaction; until then copy the file together with its -wal",
            )
        return "another program has it open, which keeps a -wal beside it; the file alone has every row"

    def _is_as_large_as_can_be(self) -> bool:
        """True if the file, or its log, may take no further page: SQLite calls that a failing or a full disk."""
        limit = largest_file(self.path)
        if limit is None:
            return False
        files = (self.path, *(self.path.with_name(self.path.name + ending) for ending in SIDE_SUFFIXES))
        return any(file.exists() and file.stat().st_size > limit[0] - 2 * _PAGE_BYTES for file in files)

    def close(self) -> None:
        """Give up the connection; what is not committed is forgotten. Never raises."""
        with contextlib.suppress(sqlite3.Error):
            self.connection.close()

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """An error of SQLite becomes one of ours."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in (*_AWAY, *_TEMPORARY) and self._is_as_large_as_can_be():
                raise FileTooLarge(self.path, *too_large(self.path)) from error
            if code in _TEMPORARY:
                message, remedy = _TEMPORARY[code]
                raise SinkUnavailable(self.path, f"{message} (SQLite: {error})", remedy) from error
            if code in _AWAY:
                message, remedy = _AWAY[code]
                raise OutputAway(self.path, f"{message} (SQLite: {error})", remedy) from error
            message, remedy = _FINAL.get(code, ("SQLite refuses", "see what it says"))
            raise SinkError(self.path, f"{message} (SQLite: {error})", remedy) from error
