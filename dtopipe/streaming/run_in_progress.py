"""A run in progress as programs beside it see it: they mark moments, and give it the readings of slow instruments."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from dtopipe.host.clock import mono_ns
from dtopipe.host.identity import who_is_here
from dtopipe.host.run_folder import RunFolder, find_living_run
from dtopipe.host.run_life import ensure_reached, reached
from dtopipe.host.run_lock import run_lock_is_held
from dtopipe.model.errors import DtopipeError, RunOver
from dtopipe.model.instruments import InstrumentReading, checked_instrument, checked_values
from dtopipe.model.marks import Mark, checked_label, checked_text
from dtopipe.model.moments import moment_of
from dtopipe.transport.control import ControlClient
from dtopipe.transport.run_link import answer_of, control_of
from dtopipe.wire.commands import ANSWERED, Answered, Asked, Marked, NoteReading, ReadingNoted, Refused, SetMark
from dtopipe.wire.message_fields import TypedMessage

A = TypeVar("A", bound=TypedMessage)
_RUNS = Path("runs")
_PATIENCE_S, _LOOK_S = 10.0, 0.25


class RunInProgress:
    """One run of this user on this machine. Any thread may call it, and nothing that it does holds the run up.

    The line to the run is made with the first call, and lasts until `close`.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder: Path = folder.path
        self._run_folder = folder
        self._control: ControlClient | None = None
        self._lock = threading.Lock()
        here = who_is_here()
        self._user, self._host = here.user, here.host

    def __enter__(self) -> RunInProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_over(self) -> bool:
        """True once the run has ended, or was killed."""
        try:
            return not run_lock_is_held(self.folder)
        except OSError:
            # Its disk is away: who cannot see does not say that it is over.
            return False

    def mark(self, label: str, text: str = "", at: str | int | datetime | None = None) -> Mark:
        """Give a moment a name: now, or `at`: `"-3s"`, a sample index, a time with its zone. It is on the disk then.

        Raises UsageError for a label that cannot be, and for a moment outside of the run; RunOver; DtopipeError.
        """
        said_ns = mono_ns()
        moment = moment_of(at)
        asked = SetMark(
            checked_label(label), checked_text(text), moment.before_s, moment.sample_index, moment.t_utc_ns, said_ns,
            self._user, self._host,
        )  # fmt: skip
        answer = self._ask(asked, Marked)
        if not answer.is_durable:
            raise DtopipeError(
                f"the disk of {self.folder} has no room: the mark is known to the run, and not on the disk yet",
                "free some space: it is written then, and need not be set again",
            )
        return answer.mark

    def reading(
        self,
        instrument: str,
        /,
        *,
        units: Mapping[str, str] | None = None,
        t_mono_ns: int | None = None,
        **values: Any,
    ) -> InstrumentReading:
        """Note what an instrument says: `run.reading("balance", mass=12.34, units={"mass": "g"})`.

        `t_mono_ns`: when it said so, on the clock of `dtopipe.mono_ns()`; without it, now. It is in the run folder
        once this returns, and in the table of readings with the next commit of each database. Raises UsageError for
        values that cannot be, RunOver, DtopipeError.
        """
        when_ns = mono_ns() if t_mono_ns is None else t_mono_ns
        name = checked_instrument(instrument)
        known, of = checked_values(values, units)
        answer = self._ask(NoteReading(name, known, of, when_ns), ReadingNoted)
        return InstrumentReading(answer.number, name, answer.sample_index, when_ns, answer.t_utc_ns, known, of)

    def close(self) -> None:
        """Let the line go. Harmless twice; a later call makes another one."""
        with self._lock:
            self._drop()

    def _ask(self, asked: Asked, wanted: type[A]) -> A:
        with self._lock:
            try:
                answer = self._answer(asked)
            except BaseException:
                # An answer that comes too late must not be taken for that to another question.
                self._drop()
                raise
        if isinstance(answer, Refused) and answer.is_over:
            raise RunOver(answer.message, answer.remedy)
        return answer_of(answer, wanted)

    def _answer(self, asked: Asked) -> Answered:
        control = self._connected()
        control.send(asked)
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            answer = control.receive(ANSWERED, _LOOK_S)
            if answer is not None:
                return answer
            if self.is_over:
                raise _over(self.folder)
        raise DtopipeError(f"the run {self.folder} did not answer within {_PATIENCE_S:g} s")

    def _connected(self) -> ControlClient:
        if self._control is None:
            facts = reached(self._run_folder)
            if facts is None:
                ensure_reached(self._run_folder, "status")
                raise _over(self.folder)
            self._control = control_of(facts)
        return self._control

    def _drop(self) -> None:
        control, self._control = self._control, None
        if control is not None:
            with contextlib.suppress(OSError):
                control.close()


def run_in_progress(
    run: str | os.PathLike[str] | None = None, *, run_dir: str | os.PathLike[str] = _RUNS
) -> RunInProgress:
    """A run in progress, to mark moments of it and to give it readings: `with dtopipe.run_in_progress() as run:`.

    `run`: a run folder, `name`, `name/<start>` or `name/latest`; without it, the only run in progress. Raises
    UsageError if there is none, RunOver if it has ended.
    """
    found = RunInProgress(find_living_run(None if run is None else os.fspath(run), Path(run_dir)))
    if found.is_over:
        ensure_reached(RunFolder(found.folder), "status")
        raise _over(found.folder)
    return found


def mark(
    run: str | os.PathLike[str] | None,
    label: str,
    text: str = "",
    at: str | int | datetime | None = None,
    *,
    run_dir: str | os.PathLike[str] = _RUNS,
) -> Mark:
    """Give a moment of a run in progress a name, as `dtopipe mark` does: `dtopipe.mark("heat-flux", "ignition")`.

    `run` as of `run_in_progress`. Raises UsageError, RunOver, DtopipeError.
    """
    with run_in_progress(run, run_dir=run_dir) as found:
        return found.mark(label, text, at)


def _over(folder: Path) -> RunOver:
    name = f"{folder.parent.name}/{folder.name}"
    return RunOver(f"the run {name} is over: nothing can be noted of it any more", f"its record: {folder}")
