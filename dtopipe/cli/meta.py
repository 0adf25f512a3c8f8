"""`dtopipe meta`: shows a run's metadata, and changes them while it goes on or afterwards."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from dtopipe.cli.as_owner import go_on_as_owner
from dtopipe.cli.console import Console
from dtopipe.cli.output import print_json
from dtopipe.cli.outside import outside_option
from dtopipe.cli.run_dir import RUN_DIR
from dtopipe.cli.whole_table import Keeps, WholeTable
from dtopipe.core.metadata_changes import MetadataChanges, metadata_of
from dtopipe.host.closed import owner_of
from dtopipe.host.identity import who_is_here
from dtopipe.host.run_folder import RunFolder, find_run
from dtopipe.host.run_life import ensure_over, ensure_reached, reached
from dtopipe.model.errors import UsageError
from dtopipe.model.shown import json_text, shown
from dtopipe.transport.run_link import ask_run
from dtopipe.verify.remedy import run_word
from dtopipe.wire.commands import ChangeMetadata, MetadataChanged


@click.command()
@click.argument("run")
@click.argument("values", nargs=-1, metavar="[K=V]...")
@outside_option
@click.option("--run-dir", type=RUN_DIR, default=Path("runs"), help="Where runs are kept.")
@click.option("--json", "as_json", is_flag=True, help="Print the metadata, and what was changed of them, as JSON.")
def meta(run: str, values: tuple[str, ...], outside: bool, run_dir: Path, as_json: bool) -> None:
    r"""Show what is known of a run besides its samples, or say more of it: sample, operator, what went wrong.

    With K=V it is changed, of a run in progress as of one that has ended; the former value stays on record, with when
    it was changed and by whom. It is in the run's record at once. Databases have it at once too if the run has ended,
    and every output has it at its close if not; a file that is complete is not written again. RUN is a run folder,
    NAME, NAME/START or NAME/latest.

    \b
    Example:
      dtopipe meta heat-flux/latest
      dtopipe meta heat-flux/latest sample=A8 note="the second half is without cooling"
    """
    given = dict(map(_pair, values))
    folder = find_run(run, run_dir, outside=outside)
    if not given:
        _show(folder, metadata_of(folder.read_record()), as_json=as_json)
        return
    here = who_is_here()
    answer = ask_run(folder, ChangeMetadata(given, here.user, here.host), MetadataChanged)
    if answer is not None:
        changed = MetadataChanges(dict(answer.metadata), tuple(answer.changes))
        _show(folder, changed, as_json=as_json, note="every output has it once it is closed")
        return
    _change_ended(folder, given, f"{here.user}@{here.host}", as_json=as_json)


def _change_ended(folder: RunFolder, given: dict[str, Any], by: str, *, as_json: bool) -> None:
    if reached(folder) is not None or folder.read_record().get("verdict") is None:
        ensure_reached(folder, "meta")
        ensure_over(folder)
    go_on_as_owner(folder)
    if owner := owner_of(folder.path):
        message = f"{folder.path} is a run of {owner}"
        raise UsageError(
            message, f"let them type: dtopipe meta {folder.path} {' '.join(f'{key}=...' for key in given)}"
        )
    # It takes longer to import than to be done.
    from dtopipe.repair.metadata import change_ended_run

    done = change_ended_run(folder, given, by)
    untold = {name: f"not changed: {why}" for name, why in done.untold.items()}
    outputs = {**dict.fromkeys(done.told, "changed"), **untold}
    _show(folder, done.metadata, as_json=as_json, outputs=outputs)
    sys.exit(1 if untold else 0)


def _pair(word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not (key and equals):
        raise UsageError(f"{word!a} is no key and value", "write key=value, such as sample=A7")
    return key, value


def _show(
    folder: RunFolder,
    metadata: MetadataChanges,
    *,
    as_json: bool,
    note: str = "",
    outputs: dict[str, str] | None = None,
) -> None:
    if as_json:
        document = {"metadata": dict(metadata.values), "metadata_changes": list(metadata.changes)}
        print_json({"folder": str(folder.path), **document, **({} if outputs is None else {"outputs": outputs})})
    console = Console(stderr=as_json)
    if not as_json:
        table = WholeTable()
        table.add_column("key")
        table.add_column("value", keeps=Keeps.LETTERS)
        for key, value in metadata.values.items():
            table.add_row(Text(shown(key)), Text(_text(value)))
        console.print(table if metadata.values else f"the run {run_word(folder.path)} has no metadata")
        for change in metadata.changes:
            was = f"was {_text(change['was'])}" if "was" in change else "was not given"
            line = f"{change.get('key', '')} {was}; changed {change.get('at', '')} by {change.get('by', '')}"
            console.print(Text(shown(line), style="dim"), soft_wrap=True)
    for name, how in (outputs or {}).items():
        console.print(Text(shown(f"{name}: {how}")), soft_wrap=True)
    if note:
        console.print(note, soft_wrap=True)


def _text(value: Any) -> str:
    return shown(value) if isinstance(value, str) else shown(json_text(value))
