"""Marks that are set by a key while a table is shown: of a run in this terminal, or of one that is looked at."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.text import Text

from dtopipe.cli.mark_prompt import MarkPrompt
from dtopipe.cli.terminal_keys import Keys, terminal_keys
from dtopipe.host.clock import mono_ns
from dtopipe.host.identity import who_is_here
from dtopipe.model.errors import DtopipeError
from dtopipe.wire.commands import Marked, Refused, SetMark


class LiveMarks:
    """`take` is called whenever the table may be drawn, and never waits for a key."""

    def __init__(self, set_mark: Callable[[SetMark], Marked | Refused] | None = None) -> None:
        self.set_mark = set_mark
        self._prompt = MarkPrompt()
        self._keys: Keys | None = None
        self._here = who_is_here()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Keys are heard while the block lasts, if there is a terminal to press them in."""
        with terminal_keys() as keys:
            self._keys = keys
            yield
            self._keys = None

    def take(self) -> bool:
        """Do what was pressed; True if the line below the table is another one now."""
        keys = "" if self._keys is None else self._keys()
        if not keys:
            return False
        now_ns = mono_ns()
        wanted = self._prompt.press(keys, now_ns)
        if wanted is not None and self.set_mark is not None:
            asked = SetMark(wanted.label, said_ns=wanted.said_ns, user=self._here.user, host=self._here.host)
            told, is_trouble = self._set(asked)
            self._prompt.tell(told, now_ns, is_trouble=is_trouble)
        return True

    def line(self) -> Text | None:
        """What stands below the table; None where no key can be pressed."""
        return None if self._keys is None else self._prompt.line(mono_ns())

    def _set(self, asked: SetMark) -> tuple[str, bool]:
        """What came of it, in words, and whether that is trouble."""
        if self.set_mark is None:
            return "", False
        try:
            answer = self.set_mark(asked)
        except DtopipeError as error:
            return error.headline, True
        if isinstance(answer, Refused):
            return f"not marked: {answer.message}", True
        mark = answer.mark
        if not answer.is_durable:
            return f"{mark.label}: the disk has no room, so that it is not safe yet", True
        return f"marked {mark.label} at sample {mark.sample_index:,}", False
