"""Where runs are kept, as commands are told."""

from __future__ import annotations

from pathlib import Path

import click

# Who may not read it is told so once that matters: a run may be named by its whole path.
RUN_DIR = click.Path(path_type=Path, readable=False)
