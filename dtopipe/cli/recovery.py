"""What the commands that complete and clear away do about runs that were killed, and what the others show of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from dtopipe.host.run_folder import RunFolder
from dtopipe.host.run_life import holder_of
from dtopipe.model.errors import SinkError
from dtopipe.model.shown import shown
from dtopipe.supervisor.recover import completed_record, own_reader, recover_killed_runs, recover_run
from dtopipe.verify.remedy import command_for


@dataclass(frozen=True, slots=True)
class Seen:
    """A run as its record has it, or would have it if that were complete.

    `held`: who still has it, in words, where there is no verdict; empty if it is over. `remedy`: what to type about it.
    """

    record: dict[str, Any]
    held: str = ""
    remedy: str = ""


def recover_killed() -> None:
    """Complete the records of this user's killed runs and clear away what they left. Never raises for their sake."""
    for recovery in recover_killed_runs(_read_output):
        if recovery.trouble:
            lines = f"a killed run waits: {recovery.folder.path}: {recovery.trouble}".splitlines()
            click.echo("\n".join(map(shown, lines)), err=True)
        else:
            _say(recovery.folder)


def recover_one(folder: RunFolder) -> None:
    """The same for this run, if it was killed. Raises UsageError if it is in progress or another user's, SinkError."""
    try:
        if recover_run(folder, _read_output):
            _say(folder)
    except OSError as error:
        message = f"the run folder cannot be written to: {error.strerror}"
        raise SinkError(folder.path, message, "copy it to where there is room, and repair the copy") from error


def seen(folder: RunFolder) -> Seen:
    """How a run is, for those who only look. Raises UsageError if it has no record that can be read."""
    record = folder.read_record()
    if record.get("verdict") is not None:
        return Seen(record)
    holder = holder_of(folder)
    if holder is not None:
        return Seen(record, holder.words, holder.remedy)
    entry = folder.entry()
    facts = entry.read() if entry is not None else None
    completed, _ = completed_record(folder, own_reader(folder, _read_file, facts), facts.segment if facts else "")
    return Seen(completed, remedy=command_for("repair", completed, folder.path))


def _read_output(record: Mapping[str, Any], name: str, folder: Path, *, outside: bool) -> Any:
    # Half of what these commands cost to start, and a run that was killed is rare.
    from dtopipe.verify.outputs import read_output

    return read_output(record, name, folder, outside=outside)


def _read_file(record: Mapping[str, Any], name: str, folder: Path, *, outside: bool) -> Any:
    """It reads files only: of a database the record tells enough, and a list of runs must not wait for a server."""
    return None if record["sinks"][name]["path"] is None else _read_output(record, name, folder, outside=outside)


def _say(folder: RunFolder) -> None:
    click.echo(f"completed the record of a run that was killed: {shown(str(folder.path))}", err=True)
