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
    entries: Sequence[TypeEntry],
    wanted: str | None,
    what: str,
    everybodys: Sequence[Option],
    every_channels: Sequence[Option] = (),
    *,
    as_json: bool,
) -> None:
    """All types of `what`, boards or sinks, or one with its options. Raises UsageError.

    `everybodys` are options that each of them has; `every_channels` those of each channel, whatever its board.
    """
    known = [entry.name for entry in entries]
    if wanted is not None and wanted not in known:
        raise UsageError(f"there is no type {wanted!r}", nearest(wanted, known))
    chosen = [entry for entry in entries if wanted in (None, entry.name)]
    if as_json:
        common = {"common_options": [asdict(option) for option in everybodys]}
        if every_channels:
            common["common_channel_options"] = [asdict(option) for option in every_channels]
        print_json([asdict(entry) | common for entry in chosen])
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
    (entry,) = chosen
    console.print(Text.assemble((entry.name, "bold"), f"  {entry.meaning}"))
    console.print(_options(entry.options, "its own options"))
    console.print(_options(everybodys, f"options of every {what}"))
    if entry.look:
        console.print(Text(f"to look at an output:\n{entry.look.format(path='PATH', python='python')}"), soft_wrap=True)
    if entry.kinds:
        _show_channels(console, entry, every_channels)


def _show_channels(console: Console, entry: TypeEntry, every_channels: Sequence[Option]) -> None:
    """What may stand in `task.channels` for this board."""
    if entry.channel_options:
        console.print(_options(entry.channel_options, "options of its channels"))
    elif entry.channel_options is None:
        console.print(Text("other keys of a channel go to the board as they are"))
    console.print(_options(every_channels, "options of every channel"))
    console.print(Text(f"kinds of channels: {', '.join(entry.kinds)}"))


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
