"""What keys mean below the live table: `m` asks for a label, and the moment that gets it is the one of the key."""

from __future__ import annotations

from dataclasses import dataclass

from rich.text import Text

from dtopipe.model.marks import LONGEST_LABEL, steers
from dtopipe.model.shown import shown

_KEY = "m"
_ENTER, _ERASE, _CLEAR, _CANCEL = "\r\n", "\x7f\x08", "\x15", "\x1b\x04"
_TOLD_FOR_NS = 8_000_000_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """A mark that somebody typed: its label, and when the key was pressed, on the steady clock."""

    label: str
    said_ns: int


class MarkPrompt:
    """Takes keys in the order in which they were pressed; time comes in."""

    def __init__(self) -> None:
        # The label so far, while one is asked for.
        self._typed: str | None = None
        self._asked_ns = self._told_ns = 0
        self._told = ""
        self._is_trouble = False

    def press(self, keys: str, now_ns: int) -> Wanted | None:
        """The mark that is wanted once the label is complete. Keys that mean nothing are passed over."""
        if keys.startswith("\x1b") and len(keys) > 1:
            # An arrow or the like: what it consists of is no letters.
            return None
        for key in keys:
            if self._typed is None:
                if key == _KEY:
                    self._typed, self._asked_ns = "", now_ns
            elif key in _ENTER:
                label, self._typed = self._typed.strip(), None
                if label:
                    return Wanted(label, self._asked_ns)
            elif key in _CANCEL:
                self._typed = None
            elif key in _ERASE:
                self._typed = self._typed[:-1]
            elif key in _CLEAR:
                self._typed = ""
            elif not steers(key) and len(self._typed) < LONGEST_LABEL:
                self._typed += key
        return None

    def tell(self, what: str, now_ns: int, *, is_trouble: bool = False) -> None:
        """What came of it; shown for a while."""
        self._told, self._told_ns, self._is_trouble = what, now_ns, is_trouble

    def line(self, now_ns: int) -> Text:
        """What stands below the table now."""
        if self._typed is not None:
            ago_s = (now_ns - self._asked_ns) / 1e9
            hint = f"   {ago_s:.0f} s ago; Enter sets it, Esc does not"
            return Text.assemble(("mark: ", "bold"), shown(self._typed), ("_", "blink"), (hint, "dim"))
        if self._told and now_ns - self._told_ns < _TOLD_FOR_NS:
            return Text(shown(self._told), style="red" if self._is_trouble else "green")
        return Text("m marks this moment", style="dim")
