"""A run in the foreground, with a live table and the verdict; of followed runs one after the other."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import FrameType
from typing import Any, Protocol

from rich.live import Live

from dtopipe.cli.channel_lines import ChannelLines
from dtopipe.cli.console import Console
from dtopipe.cli.hangup import hangup_is_ignored
from dtopipe.cli.limit_lines import limit_lines
from dtopipe.cli.live_marks import LiveMarks
from dtopipe.cli.live_table import disk_lines, drain_hint, headline
from dtopipe.cli.live_view import LiveView
from dtopipe.cli.output import print_json
from dtopipe.cli.pipe_safe_console import PipeSafeConsole
from dtopipe.cli.recovery import recover_killed
from dtopipe.cli.remedy_lines import print_remedy
from dtopipe.cli.verdict_text import exit_code, outputs_table, verdict_line
from dtopipe.core.board_condition import BoardCondition
from dtopipe.core.ending import BY_CLOSED_TERMINAL, BY_CTRL_C, BY_SIGTERM, EndedBy
from dtopipe.model.errors import NothingFollowed
from dtopipe.model.newest import NewestValues
from dtopipe.model.plan import RunPlan
from dtopipe.supervisor.supervisor import Supervisor
from dtopipe.verify.remedy import command_for

_DRAW_EVERY_S = 0.25
_LOOK_EVERY_S = 1.0
# Somebody waits for the end.
_BY_HAND = (EndedBy.CTRL_C, EndedBy.STOP)
# Without a terminal a line now and then shows that the run goes on.
_LINE_EVERY_S = 10.0
_SIGNALS = {"SIGINT": BY_CTRL_C, "SIGTERM": BY_SIGTERM, "SIGHUP": BY_CLOSED_TERMINAL, "SIGBREAK": BY_CTRL_C}


class Page(Protocol):
    """What shows the run elsewhere."""

    def see(self, status: Mapping[str, Any]) -> None:
        """One turn of the run."""

    def last_words(self) -> str:
        """What there is to say of it at the end; empty if nothing."""


def run_in_foreground(plan: RunPlan, page: Page | None = None, *, as_json: bool) -> int:
    """Run a plan to its end, or the runs that it follows until somebody stops that; the worst exit code.

    What this user's killed runs have left is completed and cleared away first. Prints the record as JSON, of
    `runs: every` a list of them. Raises DtopipeError.
    """
    recover_killed()
    console = PipeSafeConsole(stderr=as_json)
    if plan.board.options.get("runs") != "every":
        record, _ = _one_run(plan, console, page)
        if as_json:
            print_json(record)
        return exit_code(record)
    records: list[dict[str, Any]] = []
    is_stopped = False
    while not is_stopped:
        options = {**plan.board.options, "followed": [record["run_id"] for record in records]}
        if records:
            # Whatever was there of the first one: the next one begins while somebody waits for it.
            options["start"] = "earliest"
        try:
            record, is_stopped = _one_run(replace(plan, board=replace(plan.board, options=options)), console, page)
        except NothingFollowed:
            if not records:
                raise
            break
        records.append(record)
    if as_json:
        print_json(records)
    return max(exit_code(record) for record in records)


def _one_run(plan: RunPlan, console: Console, page: Page | None) -> tuple[dict[str, Any], bool]:
    """Its record, and whether somebody stopped it."""
    keys = LiveMarks()
    with _display(console, keys, lambda: supervisor.newest_values(0.0)) as show:
        shown = _while_the_terminal_lasts(show)
        supervisor = Supervisor(plan, shown if page is None else _on_both(shown, page))
        keys.set_mark = supervisor.mark
        stop_on_signals(supervisor)
        record = supervisor.run()
    folder = supervisor.folder
    console.print(outputs_table(record))
    console.print(verdict_line(record), soft_wrap=True)
    for words in (*supervisor.left_undone, *filter(None, [page.last_words() if page else ""])):
        console.print(words, soft_wrap=True, highlight=False, markup=False)
    console.print(f"run folder: {folder}", soft_wrap=True, highlight=False)
    print_remedy(console, record, folder)
    if exit_code(record):
        look = command_for("verify", record, folder)
        console.print(f"see what is missing with: {look}", soft_wrap=True, highlight=False)
    return record, supervisor.was_stopped


def stop_on_signals(supervisor: Supervisor) -> None:
    """Ctrl-C, a closed terminal and a polite kill all end the run in order, from now to the end of the process.

    Under nohup a closed terminal does not. A script's `dtopipe up ... &` is started with Ctrl-C ignored: it is heard
    all the same, for `kill -INT` is how such a run is ended, and a Ctrl-C that ends the script ends its runs in order.
    """
    known = {getattr(signal, name): by for name, by in _SIGNALS.items() if hasattr(signal, name)}

    def stop(number: int, frame: FrameType | None) -> None:
        supervisor.request_stop(known[number])

    for number in known:
        if not hangup_is_ignored(number):
            signal.signal(number, stop)


def _while_the_terminal_lasts(show: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    """A terminal that is closed must not disturb the run that it showed."""

    def shown(status: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            show(status)

    return shown


def _on_both(show: Callable[[dict[str, Any]], None], page: Page) -> Callable[[dict[str, Any]], None]:
    def shown(status: dict[str, Any]) -> None:
        page.see(status)
        show(status)

    return shown


@contextlib.contextmanager
def _display(
    console: Console, marks: LiveMarks, newest: Callable[[], NewestValues | None]
) -> Iterator[Callable[[dict[str, Any]], None]]:
    """What is called with a snapshot each turn: a live table on a terminal, a line now and then elsewhere."""
    drawn_s, told_then = 0.0, ""
    if not console.is_terminal:

        def say(status: dict[str, Any]) -> None:
            nonlocal drawn_s, told_then
            board = status["board"]
            away = board["state"] if board.get("condition") in (BoardCondition.AWAY, BoardCondition.SILENT) else ""
            # At once: it may be all that happens for long.
            told = away or (drain_hint(status) if status.get("ended_by", {}).get("by") in _BY_HAND else "")
            if told != told_then or time.monotonic() - drawn_s > _LINE_EVERY_S:
                drawn_s, told_then = time.monotonic(), told
                line = headline(status)
                line.append(f"  {status['board']['end_sample_index']:,} samples per channel")
                if away:
                    line.append(f"  {away}")
                console.print(line, soft_wrap=True)
                for warning in (*limit_lines(status), *disk_lines(status)):
                    console.print(warning, soft_wrap=True)

        yield say
        return

    channels, values, looked_s = ChannelLines(), None, 0.0

    with marks.listening(), Live(console=console, auto_refresh=False, transient=False) as live:

        def draw(status: dict[str, Any]) -> None:
            nonlocal drawn_s, values, looked_s
            is_over = status["phase"] == "finished"
            if marks.take() or time.monotonic() - drawn_s > _DRAW_EVERY_S or is_over:
                drawn_s = time.monotonic()
                if drawn_s - looked_s > _LOOK_EVERY_S and not is_over:
                    looked_s, values = drawn_s, newest()
                    channels.see(values)
                below = None if is_over else marks.line()
                live.update(LiveView(status, channels, values, below=below), refresh=True)

        yield draw
