"""`dtopipe attach`: one more sink for a run in progress, here or on another machine."""

from __future__ import annotations

import sys
import time
from collections.abc import Container
from pathlib import Path
from typing import Any

import click

from dtopipe.boards.registry import following_type
from dtopipe.cli.console import Console
from dtopipe.cli.endpoint import endpoint_options, host_of, link_of, link_option
from dtopipe.cli.foreground import run_in_foreground
from dtopipe.cli.output import print_json
from dtopipe.cli.run_dir import RUN_DIR
from dtopipe.host.run_folder import RunFolder, find_living_run
from dtopipe.host.run_life import ensure_reached, reached
from dtopipe.model.errors import DtopipeError, UsageError
from dtopipe.sinks.registry import EXAMPLE
from dtopipe.topology.attachment import load_attachment, load_follower, sink_of_options, sinks_of_file
from dtopipe.topology.source_locations import Placed
from dtopipe.transport.run_link import ask_run
from dtopipe.transport.source_link import is_endpoint
from dtopipe.wire.commands import AskAttachment, Attaching, Attachment, AttachSinks

_LOOK_EVERY_S = 0.05
_FILE_ENDINGS = (".yaml", ".yml", ".json")


@click.command()
@click.argument("words", nargs=-1, metavar="[RUN or ENDPOINT] [FILE]")
@click.option("--sink", metavar="TYPE", help="The sink's type, as `dtopipe sinks` lists them.")
@click.option("--path", metavar="P", help="Where it writes; without it a file in the run folder.")
@click.option("--name", metavar="N", help="Its name in the run; without it its type.")
@click.option("--policy", metavar="P", help="block (default), drop, drop_newest.")
@click.option("-o", "options", multiple=True, metavar="KEY=VALUE", help="Another key of the sink; may be repeated.")
@click.option(
    "--from", "since", metavar="WHERE",
    help="latest: what comes from now on, the default for a run here; earliest: all that the journal has, or else the "
    "ring, the default for an endpoint; or a sample index.",
)  # fmt: skip
@endpoint_options
@link_option
@click.option("--run-dir", type=RUN_DIR, default=Path("runs"), help="Where runs are kept.")
@click.option("--json", "as_json", is_flag=True, help="Print how the sinks are then, as JSON.")
def attach(
    words: tuple[str, ...],
    sink: str | None,
    path: str | None,
    name: str | None,
    policy: str | None,
    options: tuple[str, ...],
    since: str | None,
    server_key: Path | None,
    insecure: bool,
    link: tuple[str, ...],
    run_dir: Path,
    as_json: bool,
) -> None:
    r"""Add a sink to a run in progress: a process of its own, under the same supervisor.

    It is in the run record, is restarted, drained and verified like those that were there from the start. RUN is a run
    folder, NAME, NAME/START or NAME/latest; without it, the only run in progress. FILE is a file with a `sinks:`
    section; variables in it come from your environment. Paths on the command line are relative to the current folder,
    those in a file to the run folder.

    ENDPOINT is where another machine serves its run (listen: in its topology), or NATS servers to which it publishes
    it (a sink jetstream; extra nats). Then the sink is that of a run of its
    own, in the foreground: with the other run's samples, indices and times, until that ends, or Ctrl-C does.

    \b
    Example:
      dtopipe attach --sink csv --path look.csv
      dtopipe attach heat-flux --sink parquet --from earliest
      dtopipe attach heat-flux more-sinks.yaml --from 120000
      dtopipe attach --sink postgres -o dsn='${LAB_DSN}' --policy drop
      dtopipe attach tcp://daq-pc:5700 --sink parquet --path run.parquet
      dtopipe attach nats://server:4222 --link run_name=heat-flux --sink parquet
    """
    run, file = _run_and_file(words, sink)
    if run is not None and is_endpoint(run):
        placed = sinks_of_file(file) if file else _one_sink(sink, path, name, policy, options, {})
        of_link = link_of(run, server_key, link, insecure=insecure)
        board = {"type": following_type(run).name, "start": _since(since or "earliest"), **of_link}
        plan = load_follower(placed, board, host_of(run), run_dir.absolute())
        sys.exit(run_in_foreground(plan, as_json=as_json))
    if server_key is not None or insecure or link:
        raise UsageError("--server-key, --insecure and --link are for an ENDPOINT, such as tcp://daq-pc:5700")
    folder = find_living_run(run, run_dir)
    record = _record(folder)
    placed = sinks_of_file(file) if file else _one_sink(sink, path, name, policy, options, record["sinks"])
    attached = load_attachment(placed, record, folder.path)
    request = AttachSinks(tuple(attached.sinks), dict(attached.document), _since(since or "latest"))
    answer = ask_run(folder, request, Attaching)
    if answer is None:
        raise _over(folder)
    names = answer.names
    console = Console(stderr=as_json)
    with console.status(f"waiting for {', '.join(names)}"):
        begun = {each: _begun(folder, each) for each in names}
    if as_json:
        print_json(begun)
    for each, facts in begun.items():
        where = f"from sample {facts['start']:,} on"
        console.print(f"{each} is {facts['state']}, {where}", soft_wrap=True, highlight=False, markup=False)
    sys.exit(0)


def _run_and_file(words: tuple[str, ...], sink: str | None) -> tuple[str | None, Path | None]:
    files = [word for word in words if word.endswith(_FILE_ENDINGS)]
    runs = [word for word in words if word not in files]
    if len(runs) > 1 or len(files) > 1:
        raise UsageError("name one run, or one endpoint, and one file", "dtopipe attach [RUN or ENDPOINT] [FILE]")
    if bool(files) == bool(sink):
        raise UsageError(
            "say what to attach: --sink TYPE, or a file with a sinks: section",
            f"such as: dtopipe attach --sink {EXAMPLE} --path look.{EXAMPLE}",
        )
    return (runs[0] if runs else None), (Path(files[0]) if files else None)


def _one_sink(
    kind: str | None,
    path: str | None,
    name: str | None,
    policy: str | None,
    options: tuple[str, ...],
    taken: Container[str],
) -> Placed:
    kind = kind or ""
    number, chosen = 1, name or kind
    while name is None and chosen in taken:
        number += 1
        chosen = f"{kind}-{number}"
    return sink_of_options(kind, path, chosen, policy, options, Path.cwd())


def _record(folder: RunFolder) -> dict[str, Any]:
    """The run's record as it is now. Raises DtopipeError if the run is over, or has not begun."""
    if reached(folder) is None:
        ensure_reached(folder, "attach")
        raise _over(folder)
    record = folder.read_record()
    if not record.get("stream"):
        raise UsageError("the run has not begun yet", "ask again once dtopipe status says running")
    return record


def _since(text: str) -> str | int:
    if text in ("latest", "earliest"):
        return text
    try:
        return int(text.replace("_", "").replace(",", ""))
    except ValueError:
        raise UsageError(
            f"--from {text}: is no place to start from", "write latest, earliest, or a sample index"
        ) from None


def _begun(folder: RunFolder, name: str) -> dict[str, Any]:
    """How a sink is once it has begun. Raises UsageError if it could not."""
    while True:
        answer = ask_run(folder, AskAttachment(name), Attachment)
        if answer is None:
            sink = folder.read_record()["sinks"].get(name)
            if sink is None:
                raise _over(folder)
            return {"state": sink["state"], "start": sink["start"]}
        if not answer.is_under_way:
            return {"state": answer.state, "start": answer.start}
        time.sleep(_LOOK_EVERY_S)


def _over(folder: RunFolder) -> DtopipeError:
    return DtopipeError(
        f"the run {folder.path} is over", f"its samples go into any other output with: dtopipe convert {folder.path}"
    )
