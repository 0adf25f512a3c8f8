"""What is cut, and when: a topology and a moment, both from one seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from forgetful_disk import Mode
from formula_recount import Channel

RUN_MOMENTS = (
    "random", "start", "first commit", "row group", "segment change", "retention", "drain", "close",
)  # fmt: skip
REPAIR_MOMENTS = ("repair", "second repair", "fetch")
MOMENTS = (*RUN_MOMENTS, *REPAIR_MOMENTS)
CHANNELS = (Channel("force", 0), Channel("flux", 1, (-10.0, 10.0)), Channel("tc1", 2, (-0.1, 0.1)))
DSN_VARIABLE = "POWERCUT_DSN"
_SYNCS = ("none", "200ms", "1s", "every")
_LONGEST_S = 4.0
# Of a view: its rows are samples of the board, as they are.
ROW_SAMPLES = 100
# Of a triggered sink: an event every 3142 samples of the counter.
TRIGGER = {"when": "sin(force / 500) > 0.6 for 20ms", "pre": "60ms", "post": "40ms"}


@dataclass(frozen=True, slots=True)
class Plan:
    """One cut. `cut_at`: triggers of the file systems, one after the other; None: `cut_after_s`, or when it is done."""

    seed: int
    mode: Mode
    moment: str
    topology: dict[str, Any]
    cut_at: tuple[str | None, ...]
    cut_after_s: float
    stop_after_s: float | None

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Of its board."""
        return CHANNELS[: len(self.topology["task"]["channels"])]

    @property
    def polled(self) -> bool:
        """True if it takes readings."""
        return bool(self.topology["task"].get("mode") == "polled")

    @property
    def schema(self) -> str | None:
        """Of the PostgreSQL server; None without one."""
        schema: str | None = self.topology["sinks"].get("server", {}).get("schema")
        return schema


def planned(
    seed: int,
    mode: Mode,
    moment: str,
    *,
    with_server: bool = False,
    retains: bool | None = None,
    rate_hz: float = 5000.0,
) -> Plan:
    """The cut of this seed. `retains`: whether the journal retires segments; None: as the dice say."""
    dice = random.Random(f"{seed} {mode} {moment}")
    if retains is None:
        retains = moment == "retention" or dice.random() < 0.3
    polled = (
        not retains and not with_server and moment in ("random", "start", "close", "repair") and dice.random() < 0.15
    )
    topology = _topology(dice, rate_hz, with_segments=moment == "segment change", retains=retains, polled=polled)
    if with_server:
        schema = f"cut {seed} {mode} {moment}"
        topology["sinks"]["server"] = {"type": "postgres", "dsn": f"${{{DSN_VARIABLE}}}", "schema": schema}
    # Dice of its own: what a seed stands for otherwise stays as it was.
    if random.Random(f"dialect {seed} {mode} {moment}").random() < 0.4:
        topology["sinks"]["text"] |= {"dialect": "excel", "decimal": ","}
    stop_after_s = None
    if moment == "drain":
        stop_after_s = dice.uniform(0.2, 2.0)
    elif moment in ("close", "fetch"):
        topology["duration"] = "1500ms"
    triggers = _triggers(moment, dice, list(topology["sinks"]))
    return Plan(seed, mode, moment, topology, triggers, dice.uniform(0.0, _LONGEST_S), stop_after_s)


def _topology(
    dice: random.Random, rate_hz: float, *, with_segments: bool, retains: bool, polled: bool
) -> dict[str, Any]:
    n_channels = dice.choice((1, 2, 3))
    channels = []
    for channel in CHANNELS[:n_channels]:
        kind = {"kind": "raw"} if channel.limits is None else {"range": list(channel.limits), "unit": "V"}
        channels.append({"name": channel.name, "physical_channel": channel.number, **kind})
    task: dict[str, Any] = {"rate_hz": rate_hz, "channels": channels}
    flush = {"flush_interval": dice.choice(("50ms", "200ms", "500ms"))}
    sinks: dict[str, Any] = {
        "archive": {"type": "hbuf", "path": "archive.dt-raw", **flush},
        "text": {"type": "csv", "path": "text.csv", **flush},
        "lines": {"type": "jsonl", "path": "lines.jsonl"},
        "base": {"type": "sqlite", "path": "base.db", **flush},
        "columns": {"type": "parquet", "path": "columns.parquet", "row_group_size": dice.choice((700, 3000)), **flush},
    }
    sinks["arrays"] = {"type": "hdf5", "path": "arrays.h5", "chunk_rows": dice.choice((150, 700)), **flush}
    for name, sink in sinks.items():
        if dice.random() < 0.7:
            sink["sync"] = dice.choice(_SYNCS[1:] if retains or name == "archive" else _SYNCS)
    if dice.random() < 0.4:
        sinks["text"] |= {"path": "text-{part}.csv", "split": dice.choice(("150ms", "400ms", "30kB"))}
    if dice.random() < 0.3:
        sinks["columns"] |= {"path": "columns-{part}.parquet", "split": dice.choice(("300ms", "700ms"))}
    if not polled and dice.random() < 0.3:
        sinks["lines"] |= {"every": f"{ROW_SAMPLES / rate_hz * 1000:g}ms", "reduce": "first"}
    for name in ("text", "base", "arrays"):
        if not polled and dice.random() < 0.3:
            sinks[name] |= TRIGGER
    if polled:
        del sinks["archive"]
        sinks["columns"]["row_group_size"] = 30
        sinks["arrays"]["chunk_rows"] = 8
        task |= {"mode": "polled", "rate_hz": 100.0}
    else:
        task["samples_per_block"] = dice.choice((50, 125, 250))
        # The FIFO of a board that can wait: a machine that is busy with other things is not the test.
        task["driver_buffers"] = round(20 * rate_hz / task["samples_per_block"])
        if retains or with_segments or dice.random() < 0.4:
            sinks["archive"]["segment"] = dice.choice(("8kB", "20kB"))
        if retains:
            sinks["archive"]["retention"] = {"until": "durable"}
    return {
        "name": "cut", "board": {"type": "simulated", "waveform": "counter"}, "task": task,
        "ring": {"seconds": 4}, "sinks": sinks,
    }  # fmt: skip


def _triggers(moment: str, dice: random.Random, sinks: list[str]) -> tuple[str | None, ...]:
    """One a file system: of the run, then of each repair."""
    number = dice.randint
    output = dice.choice(("archive", "text", "lines", "base", "columns", "arrays"))
    in_repair = f"any:*:{dice.choice((number(1, 20), number(1, 300)))}:0"
    segment, retired = f"archive.000{number(2, 4)}.dt-raw", f"archive.000{number(1, 3)}.dt-raw"
    retention = dice.choice((f"unlink:{retired}:1:{number(0, 15)}", f"create:{segment}:1:{number(0, 60)}"))
    closings = (
        f'says:"done":{number(1, len(sinks))}:{number(0, 30)}',
        f"unlink:base.db-wal:1:{number(0, 4)}",
        f'says:"finished":1:{number(0, 20)}',
    )
    chosen: dict[str, tuple[str | None, ...]] = {
        "random": (None,),
        "start": (f"any:*:{number(1, 120)}:0",),
        "first commit": (f"write:{output}*:{number(2, 8)}:{number(0, 12)}",),
        "row group": (f"write:{dice.choice(('columns*.parquet', 'arrays.h5'))}:{number(2, 30)}:{number(0, 8)}",),
        "segment change": (f"create:{segment}:1:{number(0, 15)}",),
        "retention": (retention,),
        "drain": (f'says:"draining":1:{number(0, 60)}',),
        "close": (dice.choice(closings),),
        "repair": (None, in_repair),
        "second repair": (None, in_repair, f"any:*:{number(1, 200)}:0"),
        "fetch": (in_repair,),
    }
    return chosen[moment]
