"""What a run had promised when the power went, and whether it is there."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cut_plans import CHANNELS, ROW_SAMPLES, Plan
from formula_recount import Found, opened_copy, recounted, recounted_server, together
from numpy.typing import NDArray

from dtopipe.model.errors import WireError
from dtopipe.wire.commit_snapshot import read_snapshot

Counts = Mapping[str, Found]


@dataclass(frozen=True, slots=True)
class Promise:
    """Of one output: the samples that were durable, and from where on it is kept (a journal may retire the others)."""

    name: str
    wanted: NDArray[np.int64]
    retained_from: int = 0


def promises_of(tree: Path, plan: Plan) -> list[Promise]:
    """What each file output of the run below `tree` says of itself, as programs saw it."""
    record = next(iter(sorted(tree.glob("runs/*/*"))), None)
    if record is None:
        return []
    sinks = {name: sink for name, sink in plan.topology["sinks"].items() if "path" in sink}
    promises = []
    for name, sink in sinks.items():
        parts = [_promise(name, sink["type"], file) for file in _files(record / sink["path"])]
        wanted = np.concatenate([np.zeros(0, np.int64), *(part.wanted for part in parts)])
        rows = wanted % ROW_SAMPLES == 0 if "every" in sink else np.ones(len(wanted), bool)
        promises.append(Promise(name, wanted[rows], max((part.retained_from for part in parts), default=0)))
    return promises


def _files(path: Path) -> list[Path]:
    """The output, or its parts, by the commit records that are there."""
    if "{part}" not in path.name:
        return [path]
    records = path.parent.glob(path.name.replace("{part}", "[0-9][0-9][0-9][0-9]") + ".dtopipe")
    return sorted(record.with_name(record.name.removesuffix(".dtopipe")) for record in records)


def server_promise(plan: Plan, dsn: str) -> Promise | None:
    """The same of the server, which keeps its power: all that is committed."""
    if plan.schema is None:
        return None
    return Promise("server", asyncio.run(_server_wanted(dsn, plan.schema)))


def before_commands(folder: Path, promised: Sequence[Promise], plan: Plan, dsn: str) -> Counts:
    """What is in each output now, by other readers than ours."""
    counts = {}
    for name, sink in plan.topology["sinks"].items():
        if "path" in sink:
            path = folder / sink["path"]
            files = sorted(path.parent.glob(path.name.replace("{part}", "[0-9][0-9][0-9][0-9]")))
            counts[name] = together(
                recounted(file, plan.channels, polled=plan.polled)
                for file in (files if "{part}" in path.name else [path])
            )
        else:
            table = "readings" if plan.polled else "samples"
            counts[name] = recounted_server(dsn, str(plan.schema), plan.channels, table)
    return counts


def broken_after(
    folder: Path, promised: Sequence[Promise], before: Sequence[Counts], plan: Plan, verdict: str, dsn: str
) -> Iterator[tuple[str, int, int]]:
    """Each promise that was not kept: a sentence, durable samples that are missing, 1 for an output with fewer."""
    after = before_commands(folder, promised, plan, dsn)
    kept_from = {promise.name: promise.retained_from for promise in promised}
    for promise in promised:
        lacking = after[promise.name].lacking(promise.wanted)
        if len(lacking):
            there = [len(counts[promise.name].lacking(promise.wanted)) for counts in before]
            yield (
                (
                    f"{promise.name}: {len(lacking)} of {len(promise.wanted)} durable samples are missing, from"
                    f" {lacking[0]} to {lacking[-1]} (before repair: {there})"
                ),
                len(lacking),
                0,
            )
    for name, found in after.items():
        first = kept_from.get(name, 0)
        most = max(counts[name].since(first) for counts in before)
        if found.since(first) < most:
            yield f"{name}: {found.since(first)} samples, before repair {most}", 0, 1
        if found.wrong:
            yield f"{name}: {found.wrong} rows are not the board's", 0, 0
        if found.doubled:
            yield f"{name}: {found.doubled} samples are there twice", 0, 0
    if verdict.startswith("GOOD"):
        yield from _of_good(folder, after, kept_from)


def _of_good(folder: Path, after: Counts, kept_from: Mapping[str, int]) -> Iterator[tuple[str, int, int]]:
    """GOOD means that nothing is absent."""
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    end = record["acquired"]["end_sample_index"]
    for name, found in after.items():
        first = max(kept_from.get(name, 0), record["sinks"][name].get("retained_from") or 0)
        is_view = record["sinks"][name].get("row_samples", 1) > 1
        wanted = np.arange(0, end, ROW_SAMPLES) if is_view else np.arange(first, end)
        if "untriggered" in record["sinks"][name]:
            kept = around_events(end, float(record["stream"]["rate_hz"]))
            wanted = wanted[kept[wanted]]
            # Of an event behind the end its sink may have known.
            before_end = end - round(float(record["stream"]["rate_hz"]) * 0.06)
            odd = int((~kept[found.index[found.index < before_end]]).sum())
            if odd:
                yield f"GOOD, but {name} has {odd} samples that are around no event", 0, 0
        lacking = found.lacking(wanted)
        if len(lacking):
            yield f"GOOD, but {name} lacks {len(lacking)} of {end} samples, from {lacking[0]}", 0, 0
        if len(found.index) and found.index[-1] >= end:
            yield f"GOOD with {end} samples, but {name} has sample {found.index[-1]}", 0, 0


def around_events(end: int, rate_hz: float) -> NDArray[np.bool_]:
    """(end,) which samples a triggered output is to have, by the formula of the board, sample by sample."""
    holding, pre, post = (round(rate_hz * ms / 1000) for ms in (20, 60, 40))
    holds = np.sin(CHANNELS[0].values(np.arange(end)) / 500) > 0.6
    kept = np.zeros(end, bool)
    held = 0
    for index in range(end):
        held = held + 1 if holds[index] else 0
        if held > holding:
            kept[max(0, index - pre) : index + post + 1] = True
    return kept


def _promise(name: str, sink_type: str, path: Path) -> Promise:
    if sink_type == "sqlite":
        return Promise(name, _sqlite_wanted(path))
    snapshot = None
    with contextlib.suppress(WireError, OSError):
        snapshot = read_snapshot(path)
    if snapshot is None:
        return Promise(name, np.zeros(0, np.int64))
    position = snapshot.position
    first = max(position.start, position.retained_from)
    return Promise(name, _without(first, position.durable, [(g.span.start, g.span.stop) for g in snapshot.gaps]), first)


def _sqlite_wanted(path: Path) -> NDArray[np.int64]:
    with contextlib.suppress(sqlite3.Error), opened_copy(path) as base:
        if base is not None:
            row = base.execute("SELECT start, durable FROM runs").fetchone()
            if row:
                return _without(row[0], row[1], base.execute("SELECT start, stop FROM gaps").fetchall())
    return np.zeros(0, np.int64)


async def _server_wanted(dsn: str, schema: str) -> NDArray[np.int64]:
    import asyncpg

    connection = await asyncpg.connect(dsn)
    try:
        with contextlib.suppress(asyncpg.UndefinedTableError):
            row = await connection.fetchrow(f'SELECT start, committed FROM "{schema}".runs')
            if row:
                gaps = await connection.fetch(f'SELECT start, stop FROM "{schema}".gaps')
                return _without(row[0], row[1], [(gap[0], gap[1]) for gap in gaps])
        return np.zeros(0, np.int64)
    finally:
        await connection.close()


def _without(start: int, stop: int, gaps: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    wanted = np.arange(start, stop)
    for first, end in gaps:
        wanted = wanted[(wanted < first) | (wanted >= end)]
    return wanted
