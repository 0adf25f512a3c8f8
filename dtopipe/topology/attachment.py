"""Sinks that are to be attached to a run in progress: from a file's `sinks:` section, or from a command line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dtopipe.boards.recorded_task import channel_plan
from dtopipe.boards.registry import SIMULATED, known_board_type
from dtopipe.model.errors import Place, Problem, TopologyError
from dtopipe.model.plan import RunPlan, SinkPlan
from dtopipe.model.policy import OnExists
from dtopipe.sinks.registry import EXAMPLE, known_sink_type
from dtopipe.topology.calibrations import channel_document
from dtopipe.topology.load import load_placed
from dtopipe.topology.overrides import put
from dtopipe.topology.source_locations import Placed, parse_value, read_yaml
from dtopipe.wire.describe import stream_from


@dataclass(frozen=True, slots=True)
class Attached:
    """The plans of sinks, and the same as a topology has them: `${...}` unresolved, no password."""

    sinks: tuple[SinkPlan, ...]
    document: Mapping[str, Any]


def sinks_of_file(file: Path) -> Placed:
    """The `sinks:` section of a topology file, with its places. Raises TopologyError."""
    placed = read_yaml(file)
    problems = [problem for problem in placed.problems if problem.key.startswith("sinks")]
    sinks = placed.document.get("sinks")
    if not isinstance(sinks, dict) or not sinks:
        place = placed.places.get("sinks") or Place(str(file), 1, 1)
        raise TopologyError(
            [Problem(place, "sinks", "names no sink", f"write a section: sinks: {{copy: {{type: {EXAMPLE}}}}}")]
        )
    places = {key: at for key, at in placed.places.items() if key.startswith("sinks")}
    return Placed({"sinks": sinks}, places, problems)


def sink_of_options(
    kind: str, path: str | None, name: str, policy: str | None, options: Sequence[str], folder: Path
) -> Placed:
    """One sink from `--sink`, `--path`, `--policy` and `-o key=value`; `folder` is what a path is relative to.

    Raises TopologyError.
    """
    placed = Placed({"sinks": {name: {"type": kind}}})
    base = f"sinks.{name}"
    placed.places |= {base: Place("--name", 0, 0), f"{base}.type": Place("--sink", 0, 0)}
    if path is not None:
        try:
            put(placed, f"{base}.path", str((folder / Path(path).expanduser()).absolute()), "--path")
        except RuntimeError as error:
            message = f"{path}: there is no home folder for {Path(path).parts[0]}"
            raise TopologyError(
                [Problem(Place("--path", 0, 0), f"{base}.path", message, "set HOME, or write the whole path")]
            ) from error
    if policy is not None:
        put(placed, f"{base}.policy", policy, "--policy")
    problems = []
    for text in options:
        key, equals, value = text.partition("=")
        source = f"-o {key}"
        if not (key and equals):
            problems.append(Problem(Place(source, 0, 0), "", "has no value", "write -o key=value"))
        elif problem := put(placed, f"{base}.{key}", parse_value(value, source), source):
            problems.append(problem)
    if problems:
        raise TopologyError(problems)
    return placed


def load_attachment(
    placed: Placed, record: Mapping[str, Any], run_folder: Path, environ: Mapping[str, str] = os.environ
) -> Attached:
    """The sinks in `placed`, checked as a topology's are, beside those that the run on `record` has already.

    Variables come from `environ`. A file sink without a path writes into the run folder, under its own name.
    Raises TopologyError with every problem at once.
    """
    sinks = placed.document["sinks"]
    problems = [
        Problem(placed.places.get(f"sinks.{name}"), f"sinks.{name}", "the run has a sink of this name already",
                "choose another name")
        for name in sinks if name in record["sinks"]
    ]  # fmt: skip
    for name, sink in sinks.items():
        if isinstance(sink, dict):
            problems += _journal_problems(name, sink, placed)
    _give_paths(sinks)
    whole = Placed({**_surroundings(record), "sinks": sinks}, placed.places, placed.problems)
    there = [sink for sink in _there(record) if sink.name not in sinks]
    try:
        plan = load_placed(
            run_folder / "topology.yaml", whole, run_dir=run_folder.parent.parent, environ=environ, there=there
        )
    except TopologyError as error:
        raise TopologyError([*problems, *error.problems]) from error
    if problems:
        raise TopologyError(problems)
    return Attached(plan.sinks, {name: plan.document["sinks"][name] for name in sinks})


def load_follower(
    placed: Placed, board: Mapping[str, Any], name: str, run_dir: Path, environ: Mapping[str, str] = os.environ
) -> RunPlan:
    """A run of its own, of these sinks behind a `board` that is another machine, as if it stood in a topology.

    Raises TopologyError.
    """
    sinks = placed.document["sinks"]
    _give_paths(sinks)
    drops = all(isinstance(sink, dict) and str(sink.get("policy", "block")) != "block" for sink in sinks.values())
    # Servers keep what they have, however slow a sink is.
    policy = {"policy": "drop" if drops else "block"} if known_board_type(board["type"]).links else {}
    whole = {"name": name, "board": {**board, **policy}, "sinks": sinks}
    file = Path.cwd() / f"{name}.yaml"
    return load_placed(file, Placed(whole, placed.places, placed.problems), run_dir=run_dir, environ=environ)


def _give_paths(sinks: Mapping[str, Any]) -> None:
    """A file sink without a path writes into the run folder, under its own name."""
    for name, sink in sinks.items():
        if isinstance(sink, dict) and "path" not in sink:
            kind = known_sink_type(sink.get("type"))
            if kind.server is None:
                sink["path"] = name + (kind.suffix or f".{kind.name}")


def _journal_problems(name: str, sink: dict[str, Any], placed: Placed) -> list[Problem]:
    """A run's journal is there from its first sample on, or never."""
    if not known_sink_type(sink.get("type")).is_raw:
        return []
    if sink.get("journal") is True:
        key = f"sinks.{name}.journal"
        remedy = "take it out: this one is a copy that others do not read"
        return [Problem(placed.places.get(key), key, "a journal cannot come later than the run", remedy)]
    sink["journal"] = False
    return []


def _surroundings(record: Mapping[str, Any]) -> dict[str, Any]:
    """A topology with the run's channels, for the checks of what its sinks can hold."""
    stream = stream_from(record["stream"])
    return {
        "name": record["name"],
        "board": {"type": SIMULATED},
        "task": {
            "mode": "polled" if stream.polled else "continuous",
            "rate_hz": stream.rate_hz,
            "channels": [channel_document(channel_plan(channel)) for channel in (*stream.channels, *stream.virtual)],
        },
    }


def _there(record: Mapping[str, Any]) -> Iterator[SinkPlan]:
    """The run's own sinks that write files, as far as others can meet them."""
    for name, sink in record["sinks"].items():
        if sink["path"] is None:
            continue
        options = {"segment": 2**30, "retention": {"until": "durable"}} if "retained_from" in sink else {}
        yield SinkPlan(
            name, str(sink["type"]), path=str(sink["path"]), is_journal=bool(options), sync_s=1.0,
            on_exists=OnExists.OVERWRITE, options=options,
        )  # fmt: skip
