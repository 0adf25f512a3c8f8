"""What would steer a terminal is shown, in text, in messages, in JSON and in logs."""

from __future__ import annotations

import json
import logging

from dtopipe.host.log_lines import LogLines
from dtopipe.model.shown import json_text, shown, shown_lines

HOSTILE = "\x1b[31m \x07 \x9b2J \x7f \u202egood \u2066 \u2028 \r"


def test_each_steering_character_is_its_escape() -> None:
    assert shown(HOSTILE) == r"\x1b[31m \x07 \x9b2J \x7f \u202egood \u2066 \u2028 \r"
    assert shown("a\nb\tc\ud800") == r"a\nb\tc\ud800"


def test_letters_of_any_language_stay() -> None:
    text = "Zoë 温度 درجة حرارة ∆T/µm 🌡️"
    assert shown(text) == shown_lines(text) == text


def test_a_line_of_somebody_elses_is_no_line_of_its_own() -> None:
    assert shown_lines("sink x\nGOOD  everything\n    remedy") == "sink x\n    GOOD  everything\n    remedy"


def test_json_is_the_same_document_without_steering_characters() -> None:
    document = {"device": HOSTILE, "name": "Zoë\ud800"}
    text = json_text(document)
    assert json.loads(text) == document
    assert shown(text) == text.replace("\ud800", r"\ud800")
    assert "Zoë" in text


def test_a_name_makes_no_line_of_a_log() -> None:
    record = logging.LogRecord("x", logging.INFO, "f", 1, "sink %s: gone", ("a\n2026 INFO all is well\x1b[2J",), None)
    line = LogLines().format(record)
    assert line.endswith(r"INFO sink a\n2026 INFO all is well\x1b[2J: gone")
    assert "\n" not in line


def test_a_traceback_is_indented_below_its_line() -> None:
    try:
        raise ValueError("a\nb\x1b")
    except ValueError as error:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "failed", (), (type(error), error, None))
    lines = LogLines().format(record).splitlines()
    assert all(line.startswith("    ") for line in lines[1:])
    assert "\x1b" not in "".join(lines)
