"""Writes runs into a SQLite file.

The database alone knows what is committed: `runs.committed` moves in the transaction of the data, from the value that
this writer left there, or not at all. `PATH.dtopipe` is the lock, so that two writers never meet, and says whose the
file is; the mark in it stays where the run began, for there is one truth, and the gaps stand in a table.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dtopipe.model.errors import OutputLocked, SinkError, SinkUnavailable
from dtopipe.model.instruments import InstrumentReading
from dtopipe.model.marks import Mark
from dtopipe.model.position import Position
from dtopipe.model.readings import Readings
from dtopipe.model.span import Gap, add
from dtopipe.model.stream import Block, Stream
from dtopipe.sinks.contract import OutputOptions, Stage
from dtopipe.sinks.file.commit_record import SUFFIX, CommitRecord, ensure_not_written, record_path
from dtopipe.sinks.file.errors import prepare
from dtopipe.sinks.sqlite.database import Database, Pragmas
from dtopipe.sinks.sqlite.notes import NoteRows
from dtopipe.sinks.sqlite.rows import BlockRows, GapRows, NullRows, ReadingRows
from dtopipe.sinks.sqlite.schema import (
    TableNames,
    check_channels,
    create_fixed_tables,
    create_tables,
    find_run,
    has_runs,
    holds_run,
    insert_channels,
    insert_run,
)
from dtopipe.sinks.sqlite.sink_type import SIDE_SUFFIXES


class SqliteWriter:
    """Rows in tables; one plain file at the close.

    `journal_mode`, `synchronous`, `busy_timeout_ms`: as SQLite's pragmas. Where another program holds the file for
    longer, SinkUnavailable is raised, nothing is forgotten, and the next `commit` tries again.
    """

    retries = True

    def __init__(
        self,
        output: OutputOptions,
        *,
        table_readings: str = "readings",
        table_blocks: str = "blocks",
        journal_mode: str = "WAL",
        synchronous: str = "NORMAL",
        busy_timeout_ms: int = 5000,
    ) -> None:
        if output.path is None:
            raise SinkError(None, "a sqlite sink writes to a file", "give it a path, such as path: run.db")
        self._path = output.path
        self._output = output
        self._tables = TableNames(table_readings, table_blocks).checked(self._path)
        self._pragmas = Pragmas(journal_mode, synchronous, busy_timeout_ms).checked(self._path)
        self.remark = ""
        self._record: CommitRecord | None = None
        self._database: Database | None = None
        self._rows: list[BlockRows | ReadingRows | GapRows | NullRows] = []
        # The kinds of rows that the run has, by `Stream.polled`; the first one's move the position.
        self._kinds: list[bool] = []
        self._run = 0
        self._pending: list[Block | Gap | Readings] = []
        self._notes: NoteRows | None = None
        self._position = Position()

    def open(self, stream: Stream, start: int, *, resume: bool) -> Position:
        """Lock and open the file, and find this run in it or begin it. Raises SinkError."""
        layout, tables = self._output.layout, self._tables
        check_channels(self._path, stream, layout)
        try:
            self._record, begun_before = self._taken(stream, start) if resume else (None, False)
            if self._record is None:
                ensure_not_written(self._path)
                prepare(self._path, self._output.on_exists, (*SIDE_SUFFIXES, SUFFIX))
                self._record = CommitRecord.begin(self._path, stream, "sqlite", start, 0)
            self._names_are_durable = False
            self._database = Database(self._path, self._pragmas)
            with self._database.transaction(durable=True) as connection:
                found = find_run(connection, stream.run_id) if begun_before and has_runs(connection) else None
                if found is None:
                    create_tables(connection, self._path, stream, layout, tables)
                    run = insert_run(connection, stream, layout, start, tables.data_table(stream, layout))
                    found = run, Position(start, start, start)
                else:
                    create_fixed_tables(connection, self._path, tables)
                self._run, self._position = found
            connection = self._database.connection
            self._rows = [GapRows(connection, self._run), NullRows(connection, self._run)]
            self._rows.append(self._rows_of(stream, self._database))
            self._kinds = [stream.polled]
            self._notes = NoteRows(self._path, self._run, stream.task, tables.readings)
        except BaseException:
            self.abandon()
            raise
        return self._position

    def _taken(self, stream: Stream, start: int) -> tuple[CommitRecord | None, bool]:
        """The lock of this run's database, and True; nothing and False where the run was not begun.

        The database alone knows what is committed: where its companion is lost or damaged, another one is made.
        """
        damage: SinkError | None = None
        try:
            record = CommitRecord.resume(self._path, stream.run_id)
        except (OutputLocked, SinkUnavailable):
            raise
        except SinkError as error:
            record, damage = None, error
        if record is not None:
            return record, True
        ensure_not_written(self._path)
        if holds_run(self._path, stream.run_id):
            return CommitRecord.begin(self._path, stream, "sqlite", start, 0), True
        if damage is not None:
            raise damage
        return None, False

    def files(self) -> Sequence[Path]:
        """As FileOutput.files."""
        return record_path(self._path), self._path

    def admit(self, stream: Stream) -> None:
        """Make ready for the other kind of rows as well, in the same run; harmless twice. Raises SinkError.

        `append` takes blocks and readings then; only those of the kind that the run was opened with move its position,
        and gaps are gaps among the blocks.
        """
        database = self._opened()
        if stream.polled in self._kinds:
            return
        layout, tables = self._output.layout, self._tables
        check_channels(self._path, stream, layout)
        with database.transaction() as connection:
            create_tables(connection, self._path, stream, layout, tables)
            insert_channels(connection, self._run, stream, tables.data_table(stream, layout))
        self._rows.append(self._rows_of(stream, database))
        self._kinds.append(stream.polled)

    def append(self, items: Sequence[Block | Gap | Readings]) -> None:
        """Keep them for the next commit, whose transaction they are."""
        self._opened()
        add(self._pending, items)

    def note(self, marks: Sequence[Mark], metadata: Mapping[str, Any] | None) -> None:
        """As NotingWriter.note: rows of `marks`, and `runs.metadata`."""
        self._noting().note(marks, metadata)

    def note_readings(self, readings: Sequence[InstrumentReading]) -> None:
        """As InstrumentsWriter.note_readings: rows of the table of readings, whose device is the instrument."""
        self._noting().note_readings(readings)

    def commit(self) -> Position:
        """Everything appended is in the file, in one transaction. Raises SinkUnavailable to be tried again."""
        database, notes = self._opened(), self._noting()
        if self._pending or notes:
            database.ensure_not_cut()
            target = self._position.after([item for item in self._pending if self._moves(item)])
            with database.transaction() as connection:
                self._move(connection, target)
                with self._output.doing(Stage.WRITE):
                    for rows in self._rows:
                        rows.insert(self._pending)
                notes.insert(connection)
            notes.done()
            self._position = target
            self._pending = []
        return self._position

    def sync(self) -> Position:
        """What is committed survives a power cut."""
        database = self._opened()
        if self._record is not None and not self._names_are_durable:
            self._record.make_name_durable()
            self._names_are_durable = True
        if self._position.durable < self._position.committed:
            target = replace(self._position, durable=self._position.committed)
            with database.transaction(durable=True) as connection:
                self._move(connection, target)
            self._position = target
        return self._position

    def close(self) -> Position:
        """Commit, say that the run is finished, and make one plain file of it."""
        self.commit()
        self.sync()
        database = self._opened()
        with database.transaction(durable=True) as connection:
            connection.execute("UPDATE runs SET finished = 1 WHERE run = ?", (self._run,))
        self.remark = "; ".join(filter(None, (self._noting().remark, database.make_one_file())))
        self.abandon()
        return self._position

    def abandon(self) -> None:
        """Give up file and lock; SQLite rolls back what was not committed."""
        self._pending = []
        self._rows = []
        self._notes = None
        if self._database is not None:
            self._database.close()
            self._database = None
        if self._record is not None:
            self._record.release()
            self._record = None

    def _rows_of(self, stream: Stream, database: Database) -> BlockRows | ReadingRows:
        if stream.polled:
            return ReadingRows(database.connection, self._run, stream, self._tables)
        return BlockRows(database.connection, self._run, stream, self._output.layout, self._tables, self._output.doing)

    def _moves(self, item: Block | Gap | Readings) -> bool:
        if isinstance(item, Gap):
            return self._kinds != [True, False]
        return isinstance(item, Readings) is self._kinds[0]

    def _noting(self) -> NoteRows:
        self._opened()
        if self._notes is None:
            raise SinkError(self._path, "is not open", "call open() first, and nothing after close()")
        return self._notes

    def _opened(self) -> Database:
        if self._database is None:
            raise SinkError(self._path, "is not open", "call open() first, and nothing after close()")
        return self._database

    def _move(self, connection: sqlite3.Connection, target: Position) -> None:
        """The commit mark, from where this writer left it: somebody else's mark is never moved."""
        moved = connection.execute(
            "UPDATE runs SET committed = ?, durable = ?, samples = ?, gap_samples = ?, dropped = ?"
            " WHERE run = ? AND committed = ?",
            (
                target.committed, target.durable, target.samples, target.gap_samples, target.dropped,
                self._run, self._position.committed,
            ),
        )  # fmt: skip
        if moved.rowcount != 1:
            raise SinkError(self._path, "another writer has gone on with this run", "let one sink write it")
