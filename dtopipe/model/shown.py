"""Text of others as a terminal may have it: what would steer the terminal, or hide what stands there, is shown."""

from __future__ import annotations

import json
import re
from typing import Any

from dtopipe.model.facts import finite

# C0 and DEL, C1, what changes the direction of writing or has no width, the ends of lines and paragraphs, and halves
# of characters, which no terminal can be sent.
_STEERING = "\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff"
_ANY = re.compile(f"[{_STEERING}]")
_BUT_LINES = re.compile(f"(?!\n)[{_STEERING}]")
# In JSON the text stays the same text; halves of characters are written as the encoding of the file has them.
_IN_JSON = re.compile(r"[\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")


def shown(text: str) -> str:
    r"""The text on one line, each steering character as its escape: `\x1b`, `\n`, `\u202e`."""
    return _ANY.sub(_escape, text)


def shown_lines(text: str) -> str:
    """A message of ours in its own lines; whatever begins a line besides the first is indented as a remedy is."""
    first, *more = _BUT_LINES.sub(_escape, text).split("\n")
    return "\n".join([first, *(line if line.startswith("    ") or not line else f"    {line}" for line in more)])


def json_text(document: Any, indent: int | None = None) -> str:
    """A document as JSON: any letters, but what steers a terminal or ends a line by its escape.

    A number that is none, as a channel's greatest value may be, is null.
    """
    text = json.dumps(finite(document), indent=indent, ensure_ascii=False, default=str, allow_nan=False)
    return _IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _escape(found: re.Match[str]) -> str:
    named = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}.get(found[0])
    code = ord(found[0])
    return named or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
