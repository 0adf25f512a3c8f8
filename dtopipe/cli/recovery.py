"""What every command that looks at runs does first: complete the records of runs that were killed."""

from __future__ import annotations

from pathlib import Path

import click

from dtopipe.supervisor.recover import complete_unfinished, recover_killed_runs
from dtopipe.verify.outputs import read_output


def recover(run_dir: Path) -> None:
    """Clear away what killed runs left, and say so; runs below `run_dir` that a power cut ended are completed too."""
    folders = [*recover_killed_runs(read_output), *complete_unfinished(run_dir, read_output)]
    for folder in folders:
        click.echo(f"completed the record of a run that was killed: {folder.path}", err=True)
