"""What every command that looks at runs does first: complete the records of runs that were killed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from dtopipe.host.run_folder import RunFolder
from dtopipe.model.shown import shown
from dtopipe.supervisor.recover import complete_unfinished, recover_killed_runs


def recover(run_dir: Path) -> None:
    """Complete what killed runs left; runs below `run_dir` that a power cut ended are completed too."""
    recover_killed()
    _say(complete_unfinished(run_dir, _read_output))


def recover_killed() -> None:
    """Clear away what runs of this user left whose processes were all killed, and complete their records."""
    _say(recover_killed_runs(_read_output))


def _read_output(*arguments: Any) -> Any:
    # Half of what these commands cost to start, and a run that was killed is rare.
    from dtopipe.verify.outputs import read_output

    return read_output(*arguments)


def _say(folders: Sequence[RunFolder]) -> None:
    for folder in folders:
        click.echo(f"completed the record of a run that was killed: {shown(str(folder.path))}", err=True)
