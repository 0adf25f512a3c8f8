"""Writes runs into a schema of a Postgres database.

The database alone knows what is committed: `runs.committed` moves in the transaction of the data, from the value that
this writer left there, or not at all. An advisory lock of the run keeps two writers apart; it lasts as long as the
connection. Where the connection is lost during a commit, the next one asks the database whether that commit was done.
What is committed is durable as far as the server is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dtopipe.model.errors import OutputExists, SinkError
from dtopipe.model.instruments import InstrumentReading
from dtopipe.model.marks import Mark
from dtopipe.model.policy import OnExists
from dtopipe.model.position import Position
from dtopipe.model.readings import Readings
from dtopipe.model.span import Gap, add
from dtopipe.model.stream import Block, Stream
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.postgres.config import PostgresConfig
from dtopipe.sinks.postgres.connection import PostgresConnection, advisory_key
from dtopipe.sinks.postgres.notes import NoteRows
from dtopipe.sinks.postgres.rows import BlockPieces, GapPieces, NullPieces, ReadingPieces, copy, has_grown, insert
from dtopipe.sinks.postgres.schema import (
    Tables,
    check_channels,
    delete_run,
    ensure_tables,
    find_run,
    insert_channels,
    insert_run,
    lock_tables,
    move_aside,
    text,
)
from dtopipe.sinks.postgres.second_connection import Companion, first_half


class PostgresWriter:
    """Rows in the tables of one schema; the keyword arguments are those of PostgresConfig.

    Where the server is away, SinkUnavailable is raised, nothing is forgotten, and the next `commit` tries again.
    """

    retries = True

    def __init__(
        self,
        output: OutputOptions,
        *,
        dsn: str | None = None,
        host: str | None = None,
        port: int = 5432,
        user: str | None = None,
        password: str | None = None,
        database: str | None = None,
        schema: str = "public",
        table_readings: str = "readings",
        table_blocks: str = "blocks",
        pool_min_size: int = 1,
        pool_max_size: int = 4,
        statement_timeout_ms: int = 30_000,
        command_timeout_s: float = 10.0,
        create_tables: bool = True,
        use_copy: bool = True,
    ) -> None:
        self._config = PostgresConfig(
            dsn, host, port, user, password, database, schema, table_readings, table_blocks, pool_min_size,
            pool_max_size, statement_timeout_ms, command_timeout_s, create_tables, use_copy,
        )  # fmt: skip
        self._output = output
        self._tables = Tables(self._config)
        self._tables.check()
        self._target = self._config.target()
        self._server = PostgresConnection(self._config)
        self._key = 0
        self._companion = Companion(self._server, self._key)
        self._may_pair = use_copy and pool_max_size > 1
        self._run = 0
        self._notes = NoteRows(self._tables, 0, "")
        self.remark = ""
        self._is_open = False
        self._rows: list[BlockPieces | ReadingPieces | GapPieces | NullPieces] = []
        # The kinds of rows that the run has, by `Stream.polled`; the first one's move the position.
        self._kinds: list[bool] = []
        self._pending: list[Block | Gap | Readings] = []
        self._position = Position()
        # Commits of this run so far: also one that moves no position is told from one that was not done.
        self._commits = 0
        # How many of `_pending` were in the last attempt to commit, and where it would have led.
        self._attempt: tuple[int, Position] | None = None

    def open(self, stream: Stream, start: int, *, resume: bool) -> Position:
        """Connect, and find this run in the database or begin it. Raises SinkError."""
        check_channels(stream, self._output.layout)
        self._key = advisory_key("run", self._config.schema, stream.run_id)
        try:
            self._server.connect()
            self._server.lock(self._key)
            self._server.remember()
            self._companion = Companion(self._server, advisory_key("companion", self._config.schema, stream.run_id))
            self._companion.ensure_settled()
            self._run, self._position, self._commits = self._server.transaction(
                lambda c: self._begin(c, stream, start, resume=resume)
            )
        except BaseException:
            self._server.close()
            raise
        self._notes = NoteRows(self._tables, self._run, text(stream.task))
        self._rows = [GapPieces(self._run), NullPieces(self._run), self._rows_of(stream)]
        self._kinds = [stream.polled]
        self._is_open = True
        return self._position

    def admit(self, stream: Stream) -> None:
        """Make ready for the other kind of rows as well, in the same run; harmless twice. Raises SinkError.

        `append` takes blocks and readings then; only those of the kind that the run was opened with move its position,
        and gaps are gaps among the blocks.
        """
        self._check_open()
        if stream.polled in self._kinds:
            return
        layout, tables = self._output.layout, self._tables
        check_channels(stream, layout)

        async def work(connection: Any) -> None:
            await ensure_tables(connection, tables, stream, layout)
            await insert_channels(connection, tables, self._run, stream, layout)

        self._connected()
        self._server.transaction(work)
        self._rows.append(self._rows_of(stream))
        self._kinds.append(stream.polled)

    def append(self, items: Sequence[Block | Gap | Readings]) -> None:
        """Keep them for the next commit."""
        self._check_open()
        # What was in an attempt is counted by its items.
        self._pending = [*self._pending, *items] if self._attempt else add(self._pending, items)

    def note(self, marks: Sequence[Mark], metadata: Mapping[str, Any] | None) -> None:
        """As NotingWriter.note: rows of `marks`, and `runs.metadata`."""
        self._check_open()
        self._notes.note(marks, metadata)

    def note_readings(self, readings: Sequence[InstrumentReading]) -> None:
        """As InstrumentsWriter.note_readings: rows of the table of readings, whose device is the instrument."""
        self._check_open()
        self._notes.note_readings(readings)

    def commit(self) -> Position:
        """Everything appended is in the database. Raises SinkUnavailable to be tried again.

        One transaction, or two where there is much of it: then either may fail by itself, but not the first one alone.
        """
        self._check_open()
        self._connected()
        if self._pending:
            may_pair = self._may_pair and not self._server.is_pooled
            n_first = first_half(self._pending) if may_pair else len(self._pending)
            first, rest = self._pending[:n_first], self._pending[n_first:]
            if rest and not self._companion.begin(lambda c: self._send(c, rest)):
                first, rest = first + rest, []
            try:
                self._attempt = (len(first), self._behind(first))
                self._server.transaction(lambda c: self._write(c, first))
                self._settle()
                if rest:
                    self._companion.copied()
                    self._attempt = (len(rest), self._behind(rest))
                    self._companion.commit(self._mark)
                    self._settle()
            except BaseException:
                self._companion.drop()
                raise
        if self._notes:
            self._server.transaction(self._notes.insert)
            self._notes.done()
        return self._position

    def sync(self) -> Position:
        """What is committed is durable already."""
        self._check_open()
        return self._position

    def close(self) -> Position:
        """Commit, and say that the run is finished."""
        position = self.commit()
        self.remark = self._notes.remark
        self._server.transaction(
            lambda c: c.execute(f"UPDATE {self._tables.path('runs')} SET finished = true WHERE run = $1", self._run)
        )
        self.abandon()
        return position

    def abandon(self) -> None:
        """Give up connection and lock; the server rolls back what was not committed."""
        self._is_open = False
        self._pending = []
        self._companion.close()
        self._server.close()

    def take_over(self, written_as: str, run_id: str) -> None:
        """The run `written_as`, which is closed, becomes the run `run_id`, whose former rows go. Raises SinkError.

        One transaction: at any instant one of them is the run, whole.
        """

        async def work(connection: Any) -> None:
            new = await find_run(connection, self._tables, written_as)
            if new is None:
                raise SinkError(self._target, f"has no run {written_as}", "write it first")
            while former := await find_run(connection, self._tables, run_id):
                await delete_run(connection, self._tables, former[0])
            runs = self._tables.path("runs")
            await connection.execute(f"UPDATE {runs} SET run_id = $2 WHERE run = $1", new[0], run_id)

        try:
            self._server.connect()
            self._server.lock(advisory_key("run", self._config.schema, run_id))
            self._server.transaction(work)
        finally:
            self._server.close()

    async def _begin(self, connection: Any, stream: Stream, start: int, *, resume: bool) -> tuple[int, Position, int]:
        tables, layout = self._tables, self._output.layout
        await lock_tables(connection, tables)
        found = await find_run(connection, tables, stream.run_id)
        if found and not resume:
            await self._make_way(connection, found[0], stream.run_id)
            found = None
        await ensure_tables(connection, tables, stream, layout)
        if found:
            return found
        run = await insert_run(connection, tables, stream, layout, start)
        return run, Position(start, start, start), 0

    async def _make_way(self, connection: Any, run: int, run_id: str) -> None:
        """What becomes of this run's rows, if it is there already."""
        if self._output.on_exists is OnExists.ERROR:
            raise OutputExists(
                self._target,
                f"the run {run_id} is there already",
                "set another schema, or on_exists: rename, overwrite or append",
            )
        if self._output.on_exists is OnExists.OVERWRITE:
            await delete_run(connection, self._tables, run)
        elif self._output.on_exists is OnExists.RENAME:
            await move_aside(connection, self._tables, run, run_id)

    def _connected(self) -> None:
        """Connect again after a loss, and find out what became of the last commit. Raises SinkUnavailable."""
        if self._server.is_connected and not self._attempt:
            return
        try:
            # While a former connection of ours has its lock, what became of the last commit is not settled.
            if not self._server.is_connected:
                self._server.connect()
                self._server.end_former(self._key)
                self._server.lock(self._key)
                self._server.remember()
            self._companion.ensure_settled()
            runs = self._tables.path("runs")
            query = f"SELECT commits FROM {runs} WHERE run = $1"
            commits = self._server.transaction(lambda c: c.fetchval(query, self._run))
        except BaseException:
            # Half a reconnection is none: nothing may be written without the lock.
            self._server.drop()
            raise
        if self._attempt and commits == self._commits + 1:
            self._settle()
        elif commits != self._commits:
            self._refuse_another_writer()
        self._attempt = None

    def _settle(self) -> None:
        """The last attempt to commit was done."""
        if self._attempt:
            n_items, self._position = self._attempt
            del self._pending[:n_items]
            self._attempt = None
            self._commits += 1

    async def _write(self, connection: Any, items: Sequence[Block | Gap | Readings]) -> None:
        await self._mark(connection)
        if items and isinstance(items[0], Gap) and await has_grown(connection, self._tables, self._run, items[0]):
            items = items[1:]
        await self._send(connection, items)

    async def _mark(self, connection: Any) -> None:
        """Move the commit mark to where the attempt leads, from where this writer left it: nobody else's is moved."""
        _, target = self._attempt or (0, self._position)
        runs = self._tables.path("runs")
        moved = await connection.fetchval(
            f"UPDATE {runs} SET committed = $1, durable = $2, samples = $3, gap_samples = $4, dropped = $5,"
            " commits = commits + 1 WHERE run = $6 AND committed = $7 AND commits = $8 RETURNING run",
            target.committed, target.durable, target.samples, target.gap_samples, target.dropped,
            self._run, self._position.committed, self._commits,
        )  # fmt: skip
        if moved is None:
            self._refuse_another_writer()

    async def _send(self, connection: Any, items: Sequence[Block | Gap | Readings]) -> None:
        send = copy if self._config.use_copy else insert
        for rows in self._rows:
            await send(connection, self._tables, rows.pieces(items))

    def _behind(self, items: Sequence[Block | Gap | Readings]) -> Position:
        return _durable(self._position.after([item for item in items if self._moves(item)]))

    def _refuse_another_writer(self) -> None:
        raise SinkError(self._target, "another writer has gone on with this run", "let one sink write it")

    def _rows_of(self, stream: Stream) -> BlockPieces | ReadingPieces:
        if stream.polled:
            return ReadingPieces(self._run, stream, self._tables)
        return BlockPieces(self._run, stream, self._output.layout, self._tables)

    def _moves(self, item: Block | Gap | Readings) -> bool:
        if isinstance(item, Gap):
            return self._kinds != [True, False]
        return isinstance(item, Readings) is self._kinds[0]

    def _check_open(self) -> None:
        if not self._is_open:
            raise SinkError(self._target, "is not open", "call open() first, and nothing after close()")


def _durable(position: Position) -> Position:
    return Position(
        position.start, position.committed, position.committed, position.samples, position.gap_samples, position.dropped
    )
