"""What `up` and `check` have in common: FILE, and the options that override it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from dtopipe.model.plan import RunPlan
from dtopipe.topology.load import load_plan


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """A topology file and what the command line overrides in it."""

    file: Path
    duration: str | None
    sets: tuple[str, ...]
    meta: tuple[str, ...]
    run_dir: Path | None
    name: str | None
    simulate: bool

    def plan(self, *, rehearsal: bool = False) -> RunPlan:
        """The plan to run, or under `rehearsal` only to look at. Raises TopologyError."""
        return load_plan(
            self.file,
            sets=self.sets,
            meta=self.meta,
            run_dir=self.run_dir,
            name=self.name,
            duration=self.duration,
            simulate=self.simulate,
            rehearsal=rehearsal,
        )


def topology_request(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command FILE and its options; it is called with `request`, a PlanRequest."""

    @click.argument("file", type=click.Path(path_type=Path))
    @click.option("--duration", metavar="TIME", help="Board time after which the run ends, such as 60s.")
    @click.option("--set", "sets", multiple=True, metavar="A.B=C", help="Override a key of the file; may be repeated.")
    @click.option("--meta", multiple=True, metavar="K=V", help="Metadata of this run; may be repeated.")
    @click.option("--run-dir", type=click.Path(path_type=Path), metavar="DIR", help="Where runs are kept.")
    @click.option("--name", help="Name of the run.")
    @click.option("--simulate", is_flag=True, help="Rehearse on the simulated board.")
    @functools.wraps(command)
    def with_request(
        file: Path,
        duration: str | None,
        sets: tuple[str, ...],
        meta: tuple[str, ...],
        run_dir: Path | None,
        name: str | None,
        simulate: bool,
        **others: Any,
    ) -> Any:
        return command(request=PlanRequest(file, duration, sets, meta, run_dir, name, simulate), **others)

    return with_request
