"""How a run ends on the terminal: the verdict first, then each output, then where it all is."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from dtopipe.cli.whole_table import Keeps, WholeTable
from dtopipe.core.verdict import VerdictState
from dtopipe.model.shown import shown, shown_lines

_COLOURS = {
    VerdictState.GOOD: "bold green",
    VerdictState.REPAIRED: "bold green",
    VerdictState.INCOMPLETE: "bold yellow",
    VerdictState.DEGRADED: "bold yellow",
    VerdictState.ABORTED: "bold red",
    VerdictState.INTERRUPTED: "bold red",
}


def verdict_line(record: dict[str, Any], ended_by: str = "") -> Text:
    """`GOOD  60000 samples per channel, whole in 4 outputs`; with a word of what ended it `GOOD  Ctrl-C  60000 ...`."""
    verdict = record["verdict"]
    if verdict is None:
        return Text("in progress", style="bold")
    state = VerdictState(verdict["state"])
    told = f"{ended_by}  " if ended_by else ""
    insecure = "INSECURE LINK  " if record.get("insecure") else ""
    text = shown_lines(verdict["text"])
    return Text.assemble((verdict["state"], _COLOURS[state]), "  ", (insecure, "bold red"), told, text)


def outputs_table(record: dict[str, Any]) -> WholeTable:
    """One row an output: what is in it, and what is not."""
    table = WholeTable()
    table.add_column("output")
    table.add_column("path", keeps=Keeps.LETTERS)
    table.add_column("state", keeps=Keeps.WORDS)
    table.add_numbers("samples", "gaps", "dropped", "restarts")
    for name, sink in record["sinks"].items():
        counts = (f"{sink[key]:,}" for key in ("samples", "gaps", "dropped", "restarts"))
        place = sink["path"] or sink.get("target") or "-"
        table.add_row(*(Text(shown(text)) for text in (name, place, sink["state"])), *counts)
    return table


def exit_code(record: dict[str, Any]) -> int:
    """The exit code of a verdict; 0 for a run in progress."""
    verdict = record["verdict"]
    return 0 if verdict is None else VerdictState(verdict["state"]).exit_code
