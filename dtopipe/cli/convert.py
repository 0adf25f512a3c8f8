"""`dtopipe convert`: a run or a `.dt-raw` file into any sink."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from dtopipe.cli.output import print_json
from dtopipe.cli.outside import outside_option
from dtopipe.cli.pipe_safe_console import PipeSafeConsole
from dtopipe.cli.run_dir import RUN_DIR
from dtopipe.host.run_folder import RunFolder, find_run, through_latest
from dtopipe.model.errors import Problem, UsageError
from dtopipe.model.quantities import seconds
from dtopipe.model.reduction import REDUCTIONS
from dtopipe.model.shown import shown
from dtopipe.model.stream import Stream
from dtopipe.topology.recalibration import recalibration
from dtopipe.topology.single_sink import convertible_options
from dtopipe.verify.convert import convert as convert_file
from dtopipe.verify.convert import output_at, raw_file_of
from dtopipe.verify.noted import noted_of_run
from dtopipe.wire.raw_files import is_in_segments


def _time(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    try:
        found = None if value is None else seconds(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    if found == 0:
        raise click.BadParameter("a row stands for some time, such as 1s")
    return found


@click.command()
@click.argument("source", metavar="RUN_OR_FILE")
@click.option("--to", "sink", required=True, metavar="SINK", help="The sink's type, as `dtopipe sinks` lists them.")
@click.option("--path", type=click.Path(path_type=Path), help="Where to write; not for a database.")
@click.option("--layout", type=click.Choice(["wide", "long"]), default="wide", show_default=True)
@click.option(
    "--on-exists", type=click.Choice(["error", "rename", "overwrite", "append"]), default="error", show_default=True
)
@click.option("-o", "options", multiple=True, metavar="KEY=VALUE", help="An option of the sink; may be repeated.")
@click.option(
    "--calibration",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Other calibrations for the raw codes: {tc1: {thermocouple: K, cjc: 25}, ...}. The output names both.",
)
@click.option(
    "--every", callback=_time, metavar="TIME", help="A row for so much time, such as 1s, instead of a sample."
)
@click.option(
    "--reduce",
    type=click.Choice(REDUCTIONS),
    default="mean",
    show_default=True,
    help="With --every: what a row has of its samples.",
)
@outside_option
@click.option("--run-dir", type=RUN_DIR, default=Path("runs"), help="Where runs are kept.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def convert(
    source: str,
    sink: str,
    path: Path | None,
    layout: str,
    on_exists: str,
    options: tuple[str, ...],
    calibration: Path | None,
    every: float | None,
    reduce: str,
    outside: bool,
    run_dir: Path,
    as_json: bool,
) -> None:
    r"""Write a run's raw file, or any .dt-raw file, into another kind of output, with its own times and gaps.

    \b
    Example:
      dtopipe convert heat-flux/latest --to parquet --path heat-flux.parquet
      dtopipe convert archive.dt-raw --to csv --path archive.csv --layout long
      dtopipe convert heat-flux/latest --to parquet --path fixed.parquet --calibration new.yaml
      dtopipe convert heat-flux/latest --to csv --path trend.csv --every 1s --reduce minmax
      dtopipe convert archive.dt-raw --to postgres -o dsn="$PG_DSN" -o schema=archive
    """
    file, folder = _raw_file(source, run_dir, outside=outside)
    noted = None if folder is None else noted_of_run(folder, folder.read_record())
    own = convertible_options(sink, options)
    warnings: list[Problem] = []
    remarks: list[str] = []

    def recalibrated(stream: Stream) -> Stream:
        if calibration is None:
            return stream
        found = recalibration(calibration, stream)
        warnings.extend(found.warnings)
        return found.stream

    console = PipeSafeConsole(stderr=True)
    columns = (
        TextColumn("converting {task.description}", markup=False),
        TextColumn("{task.completed:,} samples per channel", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(file.name)
        position = convert_file(
            file,
            sink,
            output_at(path, layout, on_exists),
            own,
            lambda samples: progress.update(task, completed=samples),
            noted,
            recalibrated,
            every,
            reduce,
            remarks.append,
        )
    for remark in remarks:
        click.echo(f"dtopipe: warning: {shown(str(path or sink))}: {remark}", err=True)
    for warning in warnings:
        click.echo(f"dtopipe: warning: {warning}", err=True)
    if as_json:
        print_json({"path": str(path.absolute()) if path else None, **asdict(position)})
        return
    gaps = f", {position.gap_samples:,} in gaps" if position.gap_samples else ""
    start = f" from sample {position.start:,} on, where the journal is retained from" if position.start else ""
    click.echo(f"{shown(str(path or sink))}: {position.samples:,} samples per channel{start}{gaps}")


def _raw_file(source: str, run_dir: Path, *, outside: bool) -> tuple[Path, RunFolder | None]:
    """The file itself, also in a run that is named as runs are, or the raw file of a run, and that run."""
    for place in (Path(source), run_dir / source):
        file = through_latest(place)
        if (file.is_file() and file.name != "run.json") or is_in_segments(file):
            return file, None
        if not file.exists() and (file.parent / "run.json").is_file():
            raw = raw_file_of(find_run(str(file.parent), run_dir, outside=outside))
            raise UsageError(f"the run {file.parent} has no file {file.name}", f"its raw file is {raw}")
    try:
        folder = find_run(source, run_dir, outside=outside)
    except UsageError as error:
        if Path(source).suffix:
            raise UsageError(f"{error.headline}, and no such file", error.remedy) from error
        raise
    return raw_file_of(folder), folder
