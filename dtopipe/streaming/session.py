"""A program's hold on a board."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import anyio

from dtopipe.boards.contract import Board
from dtopipe.boards.registry import SIMULATED, load_board
from dtopipe.model.board_events import Opened
from dtopipe.model.daq import DaqReading
from dtopipe.model.errors import TaskStateError
from dtopipe.model.plan import TaskPlan
from dtopipe.model.task_spec import DataFlow, TaskSpec
from dtopipe.streaming.board_thread import BoardThread
from dtopipe.streaming.readings import Poller, polled_task

_said_once = threading.Event()


class Session:
    """An open board with the task that it is to do; use it as an async context manager."""

    def __init__(self, spec: TaskSpec, board: Board, opened: Opened, thread: BoardThread, *, started: bool) -> None:
        self.spec = spec
        self.thread = thread
        self._board = board
        self._opened = opened
        self._started = started
        self._held_by: str | None = None
        self._is_open = True
        self._poller = Poller(spec.name, board, opened) if spec.data_flow is DataFlow.SINGLE_VALUE else None

    @property
    def device(self) -> str:
        """The board's name."""
        return self._opened.device

    @property
    def rate_hz(self) -> float | None:
        """The rate of the sample clock, as read back from the board; None for single values."""
        return None if self._poller is not None else self._opened.rate_hz

    def hold_poller(self, what: str) -> Poller:
        """The board's poller for `what`, nobody else's until `let_go`. Raises TaskStateError."""
        self.hold(what)
        if self._poller is None:
            self.let_go()
            raise TaskStateError(f"{what} requires data_flow=SINGLE_VALUE; got {self.spec.data_flow.value}")
        return self._poller

    async def poll(self) -> DaqReading:
        """One reading of every channel, now. Raises TaskStateError for a clocked task, BoardError."""
        poller = self.hold_poller("poll()")
        try:
            return await self.thread.call(poller.poll)
        finally:
            self.let_go()

    def hold(self, what: str) -> tuple[Board, Opened]:
        """The board for `what`, nobody else's until `let_go`. Raises TaskStateError."""
        self._check_open(what)
        if self._started:
            raise TaskStateError(f"{what} starts the board itself: open the session with autostart=False")
        if self._held_by is not None:
            raise TaskStateError(f"{what}: this session is in the middle of {self._held_by}")
        self._held_by = what
        return self._board, self._opened

    def let_go(self) -> None:
        """The board is stopped again."""
        self._held_by = None

    async def close(self) -> None:
        """Stop the board and let go of it. Harmless twice."""
        if self._is_open:
            self._is_open = False
            with anyio.CancelScope(shield=True):
                if self._held_by is None:
                    await self.thread.call(self._let_go_of_board)
            self.thread.end()

    async def __aenter__(self) -> Self:
        """It is open already."""
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Close it."""
        await self.close()

    def _let_go_of_board(self) -> None:
        self._board.stop()
        self._board.close()

    def _check_open(self, what: str) -> None:
        if not self._is_open:
            raise TaskStateError(f"{what}: the session is closed")


async def open_device(
    spec: TaskSpec,
    *,
    board: str | Callable[[Mapping[str, Any], TaskPlan | None], Board] | None = None,
    options: Mapping[str, Any] | None = None,
    autostart: bool = True,
) -> Session:
    """A session with a board that is to do this task; an async context manager.

    `board`: a type as in a topology (`dtopipe boards` lists them), or a class of yours; without one the simulated
    board is opened, with one warning. `options`: the board's own, as in a topology. `autostart`: a clocked task that
    `record()` is to have is opened with False, for it starts the clock itself.
    Raises BoardError, SpecError.
    """
    if board is None:
        board = SIMULATED
        if not _said_once.is_set():
            _said_once.set()
            warnings.warn(
                "open_device() without a board opens the simulated one: its samples are computed, not measured."
                " Name one, such as board='dtollib'",
                UserWarning,
                stacklevel=2,
            )
    made = load_board(board) if isinstance(board, str) else board
    single = spec.data_flow is DataFlow.SINGLE_VALUE
    given = dict(options or {})
    if spec.board is not None:
        given.setdefault("device", spec.board)
    if single and board == SIMULATED:
        # It is polled when the program says so.
        given.setdefault("pace", "max")
    chosen = made(given, polled_task(spec) if single else spec.plan())
    thread = BoardThread(f"board of {spec.name}")
    try:
        opened = await thread.call(chosen.open)
    except BaseException:
        thread.begin(chosen.close)
        thread.end()
        raise
    return Session(spec, chosen, opened, thread, started=autostart and not single)
