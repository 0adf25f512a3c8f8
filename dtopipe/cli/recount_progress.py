"""How far a recount, or what else reads outputs, is, on stderr: which output, how much of it, and how long yet."""

from __future__ import annotations

from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from dtopipe.cli.pipe_safe_console import PipeSafeConsole

# Who is done sooner needs no bar.
_SHOWN_AFTER_S = 0.5


class RecountProgress:
    """A bar an output, shown once it takes longer than a moment. Called with each output's rows so far, and in all."""

    def __init__(self, doing: str = "recounting") -> None:
        self._progress = Progress(
            TextColumn(doing + " {task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.completed:,} rows"),
            TimeRemainingColumn(),
            console=PipeSafeConsole(stderr=True),
            transient=True,
            refresh_per_second=1 / _SHOWN_AFTER_S,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> RecountProgress:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, name: str, rows: int, expected: int) -> None:
        """Output `name` has been counted up to so many of its rows."""
        if name not in self._tasks:
            for task in self._tasks.values():
                self._progress.update(task, visible=False)
            self._tasks[name] = self._progress.add_task(name, total=expected or None)
        self._progress.update(self._tasks[name], completed=rows, total=max(rows, expected) or None)
