"""How `boards` and `sinks` show what is installed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from rich.text import Text

from dtopipe.cli.console import Console
from dtopipe.cli.output import print_json
from dtopipe.cli.whole_table import Keeps, WholeTable
from dtopipe.model.errors import UsageError
from dtopipe.model.suggestions import nearest
from dtopipe.topology.catalog import Option, TypeEntry


def show_types(
    entries: Sequence[TypeEntry], wanted: str | None, everybodys: Sequence[Option], *, as_json: bool
) -> None:
    """All types, or one with its options; `everybodys` are options that each of them has. Raises UsageError."""
    known = [entry.name for entry in entries]
    if wanted is not None and wanted not in known:
        raise UsageError(f"there is no type {wanted!r}", nearest(wanted, known))
    chosen = [entry for entry in entries if wanted in (None, entry.name)]
    if as_json:
        print_json([asdict(entry) | {"common_options": [asdict(o) for o in everybodys]} for entry in chosen])
        return
    console = Console()
    if wanted is None:
        table = WholeTable()
        table.add_column("type")
        table.add_column("what it is", keeps=Keeps.LETTERS)
        for entry in chosen:
            table.add_row(Text(entry.name), Text(entry.meaning))
        console.print(table)
        return
    console.print(Text.assemble((chosen[0].name, "bold"), f"  {chosen[0].meaning}"))
    console.print(_options(chosen[0].options, "its own options"))
    if everybodys:
        console.print(_options(everybodys, "options of every sink"))


def _options(options: Sequence[Option], title: str) -> WholeTable:
    table = WholeTable(title)
    table.add_column("option")
    table.add_column("type", keeps=Keeps.LETTERS)
    table.add_column("default", keeps=Keeps.LETTERS)
    table.add_column("meaning", keeps=Keeps.LETTERS)
    for option in options:
        table.add_row(Text(option.name), Text(option.type), Text(_default(option)), Text(option.meaning))
    return table


def _default(option: Option) -> str:
    """As a topology would say it."""
    default = option.default
    if option.required:
        return "required"
    if isinstance(default, dict):
        return f"{{{', '.join(f'{key}: {value}' for key, value in default.items())}}}"
    if default in (None, []):
        return "-"
    return str(default).lower() if isinstance(default, bool) else str(default)
