"""`dtopipe check`: validates a topology without starting anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import click
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from dtopipe.boards.registry import known_board_type
from dtopipe.cli.console import Console
from dtopipe.cli.limit_lines import command_text, limit_text
from dtopipe.cli.output import print_json
from dtopipe.cli.topology_options import PlanRequest, topology_request
from dtopipe.cli.whole_table import Keeps, WholeTable
from dtopipe.core.disk import duration_text
from dtopipe.model.errors import DtopipeError, Problem, TopologyError, UsageError
from dtopipe.model.plan import RunPlan, SinkPlan
from dtopipe.model.quantities import spelled
from dtopipe.sinks.registry import known_sink_type
from dtopipe.topology.cost import Cost, estimate, size_text
from dtopipe.topology.graph import DRAWN
from dtopipe.transport.key_folder import KeyFolder, keys_dir


@click.command()
@topology_request
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", *DRAWN]),
    default="text",
    show_default=True,
    help="Print the graph alone, for Mermaid or Graphviz to draw.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: the plan and its cost, or the problems.")
def check(request: PlanRequest, form: str, as_json: bool) -> None:
    r"""Validate a topology without starting it: graph, data rates, memory, disk, headroom.

    \b
    Example:
      dtopipe check heat-flux.yaml
      dtopipe check heat-flux.yaml --set task.rate_hz=20000 --json
      dtopipe check heat-flux.yaml --format dot
    """
    if as_json and form != "text":
        raise UsageError("--json and --format are two ways to print a plan", "give one of them")
    try:
        plan = request.plan(rehearsal=True)
        _ensure_key(plan)
    except TopologyError as error:
        if as_json:
            print_json({"ok": False, "problems": [_problem(problem) for problem in error.problems]})
        raise
    if form != "text":
        click.echo(DRAWN[form](plan), nl=False)
        return
    # What another machine's run takes is known once it is there.
    cost = None if known_board_type(plan.board.type).follows else estimate(plan)
    asked = [key for key, value in plan.metadata.items() if value is None]
    if as_json:
        print_json(_document(plan, cost, asked))
        return
    console = Console()
    console.print(_graph(plan))
    if cost is None:
        console.print(f"what it takes is known once {plan.board.options['endpoint']} is there", markup=False)
    else:
        console.print(_sinks(cost))
        console.print(_totals(cost))
    for words in _promises(plan):
        console.print(Text(words))
    for warning in plan.warnings:
        console.print(Text(f"warning: {warning}"))
    if asked:
        console.print(f"up will ask for {' '.join(f'--meta {key}=...' for key in asked)}", markup=False)


def _promises(plan: RunPlan) -> Iterator[str]:
    """What a commit is worth in an output that does not keep it as a disk does."""
    for sink in plan.sinks:
        server = known_sink_type(sink.type).server
        if server is not None and server.promise:
            is_covered = any(other.is_journal for other in plan.sinks)
            then = "it is sent again from the journal" if is_covered else "without a journal that is a gap"
            yield f"{sink.name}: {server.promise}; {then}"


def _shape(sink: SinkPlan) -> str:
    """What of a journal, a view, parts or a trigger is to be said."""
    journal = ", journal" if sink.is_journal else ""
    view = f", a row for {spelled(sink.every_s)} ({sink.reduce})" if sink.every_s is not None else ""
    parts = f", a part after {sink.split}" if sink.split is not None else ""
    return journal + view + parts + (f", when {sink.trigger.when}" if sink.trigger is not None else "")


def _ensure_key(plan: RunPlan) -> None:
    """Raises TopologyError where a link needs this user's own key, and there is none."""
    listens = plan.listen is not None and not plan.listen.insecure
    kind = known_board_type(plan.board.type)
    follows = kind.follows and kind.links and not plan.board.options.get("insecure")
    if not (listens or follows):
        return
    key = "listen.endpoint" if listens else "board"
    try:
        KeyFolder(keys_dir()).own()
    except DtopipeError as error:
        raise TopologyError([Problem(plan.places.get(key), key, error.headline, error.remedy)]) from error


def _problem(problem: Problem) -> dict[str, Any]:
    place = problem.place
    where = {"file": place.file, "line": place.line, "column": place.column} if place else {}
    return {**where, "key": problem.key, "message": problem.message, "remedy": problem.remedy}


def _document(plan: RunPlan, cost: Cost | None, asked: list[str]) -> dict[str, Any]:
    return {
        "ok": True,
        "name": plan.name,
        "board": plan.board.type,
        "simulated": plan.simulated,
        "run_dir": str(plan.run_root),
        "metadata_asked_for": asked,
        "insecure": plan.insecure,
        "limits": [asdict(limit) for limit in plan.limits],
        "on": {kind: {"program": str(each.program), "argv": list(each.argv)} for kind, each in plan.on.items()},
        "warnings": [_problem(warning) for warning in plan.warnings],
        "cost": asdict(cost) if cost else None,
    }


def _graph(plan: RunPlan) -> Tree:
    simulated = "  SIMULATED BOARD" if plan.simulated else ""
    insecure = "  INSECURE LINK" if plan.insecure else ""
    tree = Tree(Text.assemble((plan.name, "bold"), (simulated, "bold magenta"), (insecure, "bold red")))
    ring = tree.add(Text(f"board {plan.board.type}")).add("ring")
    if plan.listen is not None:
        ring.add(Text(f"served at {plan.listen.endpoint}"))
    for sink in plan.sinks:
        ring.add(
            Text(f"{sink.name}: {sink.type}, {sink.policy.value}{_shape(sink)} -> {sink.path or sink.target or '-'}")
        )
    if plan.limits:
        limits = ring.add(Text("limits"))
        for limit in plan.limits:
            limits.add(Text(limit_text(limit)))
    for kind, command in plan.on.items():
        tree.add(Text(command_text(kind, command)))
    return tree


def _sinks(cost: Cost) -> WholeTable:
    table = WholeTable()
    table.add_column("sink")
    table.add_column("type", keeps=Keeps.WORDS)
    table.add_column("policy")
    table.add_numbers("samples/s", "about MB/s", "GB an hour")
    for sink in cost.sinks:
        rates = (f"{sink.samples_per_s:,.0f}", f"{sink.bytes_per_s / 1e6:.3g}", f"{sink.gb_per_hour:.3g}")
        table.add_row(Text(sink.name), sink.type, sink.policy.value, *rates)
    return table


def _visible(cost: Cost) -> str:
    """When other programs see the rows of each sink, those with the same answer together."""
    named: dict[str, list[str]] = {}
    for sink in cost.sinks:
        # What waits for a row group is in the file at the end of the run at the latest.
        ends_before = cost.length_s is not None and cost.length_s < sink.visible_after_s
        when = "at the end" if ends_before else f"after about {duration_text(max(1.0, sink.visible_after_s))}"
        named.setdefault(when, []).append(sink.name)
    texts = [f"{when} ({', '.join(names)})" for when, names in named.items()]
    return f"rows can be read {'; '.join(texts)}"


def _headroom(cost: Cost, held_up: str) -> str:
    if not cost.held_by:
        return "no BLOCK sink can hold the board"
    return f"{cost.headroom_s:.3g} s: so long may {_named(cost.held_by, 'or')} stop until {held_up}"


def _named(names: Sequence[str], joint: str = "and") -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {joint} {names[-1]}"


def _totals(cost: Cost) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    held_up = "this board is held up, which loses nothing" if cost.waits else "the board loses samples"
    table.add_row("data rate", f"{cost.samples_per_s:,.0f} samples/s, {cost.bytes_per_s / 1e6:.3g} MB/s raw")
    table.add_row("ring", f"{size_text(cost.ring_bytes)}: {cost.ring_slots} blocks, {cost.ring_seconds:.3g} s")
    table.add_row("headroom", Text(_headroom(cost, held_up)))
    if cost.covered and cost.covered_s is not None:
        lag = f"about {duration_text(cost.covered_s)}: so long may {_named(cost.covered)} lag, which the journal covers"
        table.add_row("", Text(f"{lag}, until its disk is full"))
    table.add_row("visible", Text(_visible(cost)))
    for disk in cost.disks:
        full = "" if disk.full_after_h is None else f", full after {duration_text(disk.full_after_h * 3600)}"
        text = f"about {disk.gb_per_hour:.3g} GB an hour to {disk.folder}, where {disk.free_gb:.1f} GB are free{full}"
        table.add_row("disk", Text(text))
    for limit in cost.largest_files:
        then = "goes on in its next file" if limit.goes_on else "can write no more"
        when = duration_text(limit.after_h * 3600)
        text = f"{limit.sink} has {size_text(limit.n_bytes)} after about {when}, as {limit.whose} allows, and {then}"
        table.add_row("largest file", Text(text))
    if cost.length_s is not None:
        gb = cost.disk_gb_per_hour * cost.length_s / 3600
        table.add_row("the run", f"ends after {cost.length_s:,.3g} s of board time, with about {gb:.3g} GB")
    return table
