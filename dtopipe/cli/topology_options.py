"""What `up` and `check` have in common: FILE, and the options that override it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from dtopipe.topology.load import load_plan


def topology_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command FILE and its options; it is called with `plan`. Raises TopologyError."""

    @click.argument("file", type=click.Path(path_type=Path))
    @click.option("--duration", help="Board time after which the run ends, such as 60s.")
    @click.option("--set", "sets", multiple=True, metavar="A.B=C", help="Override a key of the file; may be repeated.")
    @click.option("--meta", multiple=True, metavar="K=V", help="Metadata of this run; may be repeated.")
    @click.option("--run-dir", type=click.Path(path_type=Path), help="Where runs are kept.")
    @click.option("--name", help="Name of the run.")
    @click.option("--simulate", is_flag=True, help="Rehearse on the simulated board.")
    @functools.wraps(command)
    def with_plan(
        file: Path,
        duration: str | None,
        sets: tuple[str, ...],
        meta: tuple[str, ...],
        run_dir: Path | None,
        name: str | None,
        simulate: bool,
        **others: Any,
    ) -> Any:
        plan = load_plan(file, sets=sets, meta=meta, run_dir=run_dir, name=name, duration=duration, simulate=simulate)
        return command(plan=plan, **others)

    return with_plan
