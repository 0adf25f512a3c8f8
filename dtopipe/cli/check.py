"""`dtopipe check`: validates a topology without starting anything."""

from __future__ import annotations

from dataclasses import asdict

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from dtopipe.cli.output import print_json
from dtopipe.cli.topology_options import topology_options
from dtopipe.model.plan import RunPlan
from dtopipe.topology.cost import Cost, estimate, sized


@click.command()
@topology_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(plan: RunPlan, as_json: bool) -> None:
    r"""Validate a topology without starting it: graph, data rates, memory, disk, headroom.

    \b
    Example:
      dtopipe check heat-flux.yaml
      dtopipe check heat-flux.yaml --set task.rate_hz=20000 --json
    """
    cost = estimate(plan) if sized(plan) else None
    if as_json:
        print_json({"name": plan.name, "board": plan.board.type, "cost": None if cost is None else asdict(cost)})
        return
    console = Console()
    console.print(_graph(plan))
    if cost is None:
        console.print("this board says its rate only once it is open")
        return
    console.print(_sinks(cost))
    console.print(_totals(cost))


def _graph(plan: RunPlan) -> Tree:
    simulated = "  SIMULATED BOARD" if plan.simulated else ""
    tree = Tree(Text.assemble((plan.name, "bold"), (simulated, "bold magenta")))
    ring = tree.add(Text(f"board {plan.board.type}")).add("ring")
    for sink in plan.sinks:
        ring.add(Text(f"{sink.name}: {sink.type}, {sink.policy.value} -> {sink.path or '-'}"))
    return tree


def _sinks(cost: Cost) -> Table:
    table = Table(box=SIMPLE_HEAD, header_style="bold")
    for title in ("sink", "type", "policy"):
        table.add_column(title)
    for title in ("samples/s", "about MB/s", "GB an hour"):
        table.add_column(title, justify="right")
    for sink in cost.sinks:
        rates = (f"{sink.samples_per_s:,.0f}", f"{sink.bytes_per_s / 1e6:.3g}", f"{sink.gb_per_hour:.3g}")
        table.add_row(Text(sink.name), sink.type, sink.policy.value, *rates)
    return table


def _totals(cost: Cost) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    full = f", full after {cost.disk_full_after_h:,.1f} h" if cost.disk_full_after_h else ""
    for what, text in (
        ("data rate", f"{cost.samples_per_s:,.0f} samples/s, {cost.bytes_per_s / 1e6:.3g} MB/s raw"),
        ("ring", f"{cost.ring_bytes / 2**20:.1f} MiB: {cost.ring_slots} blocks, {cost.ring_seconds:.3g} s"),
        ("headroom", f"{cost.headroom_s:.3g} s: so long may a BLOCK sink stop until the board loses samples"),
        ("disk", f"about {cost.disk_gb_per_hour:.3g} GB an hour; {cost.disk_free_gb:.1f} GB are free{full}"),
    ):
        table.add_row(what, text)
    return table
