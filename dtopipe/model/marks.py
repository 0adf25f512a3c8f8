"""Marks: moments of a run that somebody gave a name, such as `ignition`."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dtopipe.model.clock import iso_utc, utc_ns
from dtopipe.model.errors import UsageError
from dtopipe.model.facts import Facts

# A label stands in a table's cell and on a plot, a text below it.
LONGEST_LABEL, LONGEST_TEXT, LONGEST_WHO = 100, 2000, 200


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment of a run with a name.

    `number`: from 1 on, in the order in which they were set; it tells two marks with the same label apart.
    `sample_index`, `t_mono_ns`, `t_utc_ns`: the sample of that moment, and its times. `by`: who set it, `user@host`;
    `set_at_ns`: when that was typed, UTC in ns, which for a moment of the past is later.
    """

    number: int
    label: str
    sample_index: int
    t_mono_ns: int
    t_utc_ns: int
    text: str = ""
    by: str = ""
    set_at_ns: int = 0

    def to_json(self) -> dict[str, Any]:
        """As it stands in the run folder and in outputs; times in UTC are ISO 8601."""
        return {
            "number": self.number,
            "label": self.label,
            "text": self.text,
            "sample_index": self.sample_index,
            "t_mono_ns": self.t_mono_ns,
            "t_utc": iso_utc(self.t_utc_ns),
            "by": self.by,
            "set_at": iso_utc(self.set_at_ns),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Mark:
        """The mark that somebody wrote so. Raises ValueError (`Misfit`) for what is none."""
        facts = Facts(document)
        label = facts.text("label", most=LONGEST_LABEL)
        if not label.strip() or steers(label):
            raise facts.misfit("label", "is none that a mark can have")
        return cls(
            number=facts.count("number", least=1),
            label=label,
            sample_index=facts.count("sample_index"),
            t_mono_ns=facts.count("t_mono_ns"),
            t_utc_ns=utc_ns(facts.time("t_utc")),
            text=facts.text("text", default="", most=LONGEST_TEXT),
            by=facts.text("by", default="", most=LONGEST_WHO),
            set_at_ns=utc_ns(facts.time("set_at")),
        )


def checked_label(label: str) -> str:
    """The label without spaces around it. Raises UsageError where no mark can be called so."""
    stripped = label.strip()
    if not stripped:
        raise UsageError("a mark needs a label", "name the moment, such as: ignition")
    if len(stripped) > LONGEST_LABEL:
        what = f"the label of a mark has at most {LONGEST_LABEL} characters, not {len(stripped)}"
        raise UsageError(what, "give it a short name, and say the rest with -m TEXT (text=... in Python)")
    if steers(stripped):
        what = f"the label {stripped!a} has a character that cannot be shown"
        raise UsageError(what, "leave out line breaks and control characters; a longer text goes with -m TEXT")
    return stripped


def checked_text(text: str) -> str:
    """The text that belongs to a mark, of one line or more. Raises UsageError where it cannot be shown."""
    lines = text.strip().replace("\r\n", "\n")
    if len(lines) > LONGEST_TEXT:
        what = f"the text of a mark has at most {LONGEST_TEXT} characters, not {len(lines)}"
        raise UsageError(what, "keep what is longer in a file, and name that")
    if steers(lines.replace("\n", "").replace("\t", "")):
        raise UsageError("the text of the mark has a character that cannot be shown", "leave out control characters")
    return lines


def steers(text: str) -> bool:
    """True if something in it is no letter, digit, sign or space, but would steer a terminal or break a line."""
    return any(unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") for letter in text)
