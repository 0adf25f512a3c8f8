"""Many runs under faults, one after the other, on generated topologies, and what became of them.

    python scripts/dev/chaos_campaign.py                              # ten runs of every variant
    python scripts/dev/chaos_campaign.py --variants no-journal --runs 50 --json
    python scripts/dev/chaos_campaign.py --variants sinks --seed 17 --runs 1      # the run of that seed again

Each run has a journal (hbuf), CSV, JSONL, SQLite, Parquet, HDF5 and a real PostgreSQL server, all BLOCK, the counter at
100 kS/s in total, and is one `dtopipe chaos` with faults of every kind: kills, stops for longer than the ring, a full
disk (a tmpfs, which only root on Linux can mount), cut connections and the server's own death.

    sinks           sinks, journal and database are the victims: nothing is to be absent
    acquirer        the acquirer too, of a clocked board: exactly the ranges named acquirer_restart are absent
    acquirer-max    the acquirer too, of a board that waits: nothing is to be absent
    triggered       the same as `sinks`, and every sink but the journal writes only what is around events
    no-journal      the same victims as `sinks`: what is absent is a range with its cause
    journal         the journal is killed 20 times in 60 s, its disk is away for 30 s while other sinks begin anew, and
                    sinks are killed and stopped beside that: nothing is to be absent
    board           the board is away, for up to 25 s, and the wall clock is set, by up to ten years: exactly the ranges
                    named board_away are absent, and no time of a sample moves
    sessions        the runtime folder and the name of the memory are swept, sinks begin anew, another session looks at
                    the run and would repair it: nothing is to be absent

Run folders of failures are kept, under --keep.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml
from private_postgres import private_server

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "powercut"))

from marked_mounts import clear_dead_mounts, own_source

# What is injected in each; what stands there twice is twice as likely.
_ORDINARY = "kill,kill,stop,full,server"
FAULTS = {
    "sinks": _ORDINARY,
    "triggered": _ORDINARY,
    "acquirer": f"{_ORDINARY},acquirer,acquirer",
    "acquirer-max": f"{_ORDINARY},acquirer,acquirer",
    "no-journal": _ORDINARY,
    "journal": "kill,stop,journal,journal_disk",
    "board": "kill,stop,board,clock",
    "sessions": "kill,swept,session",
}
VARIANTS = tuple(FAULTS)
TOTAL_RATE_HZ = 100_000
# What a disk of this size takes lasts for a run of a minute.
DISK = "size=900m"
GOOD = {"acquirer": ("acquirer_restart",), "no-journal": ("board_overrun",), "board": ("board_away",)}


@dataclass
class Result:
    """What became of one run. `broken`: what did not hold; `overrun_samples`: per channel, lost by the board."""

    variant: str
    seed: int
    verdict: str = ""
    faults: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    ring_s: float = 0.0
    overrun_samples: int = 0
    restart_samples: int = 0
    samples: int = 0
    broken: list[str] = field(default_factory=list)
    folder: str = ""


def topology(variant: str, dice: random.Random, dsn: str) -> dict[str, Any]:
    """Seven BLOCK sinks behind a counter; everything that the dice may choose without making it another test."""
    n_channels = dice.choice((2, 4, 5, 8, 16))
    rate_hz = TOTAL_RATE_HZ / n_channels
    samples_per_block = max(1, round(rate_hz * dice.choice((0.005, 0.02, 0.05))))
    path = "disk/raw.dt-raw" if variant == "journal" else "raw.dt-raw"
    hbuf: dict[str, Any] = {"type": "hbuf", "path": path, "flush_interval": dice.choice(("50ms", "200ms"))}
    if dice.random() < 0.5:
        hbuf["segment"] = dice.choice(("100KiB", "400KiB"))
    board: dict[str, Any] = {"type": "simulated", "waveform": "counter"}
    if variant == "acquirer-max":
        board["pace"] = "max"
        # As fast as the realtime board, more or less: it is not speed that is tested.
        hbuf["delay_per_block"] = f"{samples_per_block / rate_hz / 1.5:.6f}s"
    if variant == "no-journal":
        hbuf["journal"] = False
    group = max(1000, round(rate_hz * dice.choice((0.7, 2.0))))
    flush = dice.choice(("100ms", "500ms"))
    sinks = {
        "raw": hbuf,
        "table": {"type": "csv", "path": "table.csv", "flush_interval": flush},
        "lines": {"type": "jsonl", "path": "lines.jsonl"},
        "base": {"type": "sqlite", "path": "base.db", "flush_interval": flush},
        "columns": {"type": "parquet", "path": "columns.parquet", "row_group_size": group, "flush_interval": flush},
        "arrays": {"type": "hdf5", "path": "arrays.h5", "chunk_rows": max(100, group // 8), "flush_interval": flush},
        "server": {"type": "postgres", "dsn": dsn, "schema": f"campaign {dice.randrange(10**9)}"},
    }
    # Some as views, or in parts; a view of a database is one of few rows.
    window = f"{max(2, round(rate_hz * dice.choice((0.02, 0.3)))) / rate_hz * 1000:.6f}ms"
    for name in dice.sample(("table", "columns", "arrays", "lines"), 2):
        sinks[name] |= (
            {"every": window, "reduce": dice.choice(("mean", "minmax", "first"))} if dice.random() < 0.5 else {}
        )
        sinks[name] |= {"split": dice.choice(("400ms", "3s", "200kB"))} if dice.random() < 0.6 else {}
    kind = dice.choice(("raw", "voltage"))
    if variant == "triggered":
        limit = 20_000 if kind == "raw" else 6
        times = {word: dice.choice(("0s", "100ms", "1500ms")) for word in ("pre", "post")}
        for name in sinks.keys() - {"raw"}:
            sinks[name] |= {"when": f"ch1 > {limit} for {dice.choice(('0s', '30ms'))}", **times}
    # The FIFO of a board that can wait for a while: a machine that is busy with other things is not the test. Without a
    # journal the stop of a sink is to cost something; a journal's disk that is away for 30 s is to cost nothing.
    fifo_s = {"no-journal": 0.2, "journal": 60.0}.get(variant, 20.0)
    return {
        "name": f"{variant}",
        "drain_limit": "120s",
        "board": board,
        "task": {
            "rate_hz": rate_hz,
            "samples_per_block": samples_per_block,
            "driver_buffers": max(4, round(fifo_s * rate_hz / samples_per_block)),
            "channels": [{"name": f"ch{c}", "kind": kind, "physical_channel": c} for c in range(n_channels)],
        },
        "ring": {"seconds": dice.choice((1, 2))},
        "sinks": sinks,
    }


def one_run(variant: str, seed: int, duration: str, run_dir: Path, server: Any, log: Path) -> Result:
    """One `dtopipe chaos`, to its end."""
    result = Result(variant, seed)
    file = run_dir / "campaign.yaml"
    file.write_text(yaml.safe_dump(topology(variant, random.Random(seed), server.dsn)), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "dtopipe", "chaos", str(file), "--seed", str(seed), "--duration", duration,
         "--faults", FAULTS[variant], "--run-dir", str(run_dir), "--server-death", server.death, "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    log.write_text(done.stderr, encoding="utf-8")
    result.folder = str(max(run_dir.glob("*/2*"), default=run_dir))
    try:
        found = json.loads(done.stdout)
    except ValueError:
        result.broken = [f"the command ended with {done.returncode}: {done.stderr[-2000:].strip()}"]
        return result
    result.verdict = found["record"]["verdict"]["state"]
    result.faults, result.skipped, result.broken = found["faults"], found["skipped"], found["broken"]
    result.samples = found["record"]["acquired"]["samples"]
    result.ring_s = found["record"]["topology"]["ring"]["seconds"]
    lost, allowed = lost_by_the_board(Path(found["folder"])), GOOD.get(variant, ())
    result.overrun_samples, result.restart_samples = lost["board_overrun"], lost["acquirer_restart"]
    result.broken += [f"the board lost {n} samples: {cause}" for cause, n in lost.items() if cause not in allowed]
    if result.verdict not in ("GOOD", "INCOMPLETE"):
        result.broken.append(f"{result.verdict}: {found['record']['verdict']['text']}")
    return result


def lost_by_the_board(folder: Path) -> Counter[str]:
    """Samples per channel by cause."""
    lost: Counter[str] = Counter()
    for line in (folder / "gaps.jsonl").read_text(encoding="utf-8").splitlines():
        gap = json.loads(line)
        if gap["sink"] is None:
            lost[gap["cause"]] += gap["stop"] - gap["start"]
    return lost


@contextlib.contextmanager
def small_disk(wanted: bool) -> Iterator[Path]:
    """A folder for runs, on a disk that can be filled where that can be had."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        mounted = False
        clear_dead_mounts()
        if wanted and sys.platform == "linux" and os.geteuid() == 0:
            done = subprocess.run(["mount", "-t", "tmpfs", "-o", DISK, own_source(), folder], check=False)
            mounted = done.returncode == 0
        try:
            yield Path(folder)
        finally:
            if mounted:
                subprocess.run(["umount", "-l", folder], check=True)


def summary(results: list[Result], duration: str) -> dict[str, Any]:
    """The sums, and every failure with the command that has it again."""
    sums: dict[str, Any] = {}
    for variant in dict.fromkeys(result.variant for result in results):
        runs = [result for result in results if result.variant == variant]
        faults = [fault for result in runs for fault in result.faults]
        sums[variant] = {
            "runs": len(runs),
            "faults": len(faults),
            "by_kind_and_victim": dict(sorted(Counter(f"{f['kind']} {f['victim']}" for f in faults).items())),
            "by_moment": dict(sorted(Counter(f["moment"] for f in faults).items())),
            "in_the_first_second": sum(f["at_s"] < 1 for f in faults),
            "two_at_once": sum(at_once(result.faults) for result in runs),
            "stopped_longer_than_the_ring": sum(f["lasted_s"] > r.ring_s for r in runs for f in r.faults),
            "verdicts": dict(Counter(result.verdict for result in runs)),
            "samples": sum(result.samples for result in runs),
            "overrun_samples": sum(result.overrun_samples for result in runs),
            "restart_samples": sum(result.restart_samples for result in runs),
            "skipped": sorted({reason for result in runs for reason in result.skipped}),
        }
    failures = [{**asdict(result), "again": again(result, duration)} for result in results if result.broken]
    return {"variants": sums, "failures": failures}


def at_once(faults: list[dict[str, Any]]) -> int:
    """How often two processes were hurt in the same moment."""
    return sum(n > 1 for n in Counter((fault["at_s"], fault["kind"]) for fault in faults).values())


def again(result: Result, duration: str) -> str:
    """The command that has this run once more."""
    words = f"--variants {result.variant} --seed {result.seed} --duration {duration} --runs 1"
    return f"python scripts/dev/chaos_campaign.py {words}"


def show(found: dict[str, Any]) -> None:
    """For people."""
    for variant, sums in found["variants"].items():
        verdicts = ", ".join(f"{state} {n}" for state, n in sums["verdicts"].items())
        print(f"{variant}: {sums['runs']} runs, {sums['faults']} faults, {sums['samples']:,} samples; {verdicts}")
        print(f"    {', '.join(f'{what} {n}' for what, n in sums['by_kind_and_victim'].items())}")
        print(f"    {', '.join(f'{when} {n}' for when, n in sums['by_moment'].items())}")
        print(
            f"    {sums['in_the_first_second']} in the first second, {sums['two_at_once']} times two at once, "
            f"{sums['stopped_longer_than_the_ring']} stops longer than the ring"
        )
        print(f"    lost by the board: {sums['overrun_samples']} overrun, {sums['restart_samples']} acquirer_restart")
    for failure in found["failures"]:
        print(f"FAILED  {failure['again']}\n    {failure['folder']}")
        for sentence in failure["broken"]:
            print(f"    {sentence}")
    if not found["failures"]:
        print("every promise was kept")


def main() -> int:
    """Run, sum up; 1 if anything that is promised did not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", default=",".join(VARIANTS), help="default: %(default)s")
    parser.add_argument("--runs", type=int, default=10, help="of each variant, with as many seeds")
    parser.add_argument("--seed", type=int, default=0, help="of the first run")
    parser.add_argument("--duration", default="20s", help="how long faults are injected in each run")
    parser.add_argument("--large-disk", action="store_true", help="runs on an ordinary disk, which is never full")
    parser.add_argument("--keep", type=Path, default=Path("chaos-failures"), help="where failures are kept")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = []
    with private_server() as server:
        for variant in options.variants.split(","):
            if variant not in VARIANTS:
                parser.error(f"there is no variant {variant!r}; there are {', '.join(VARIANTS)}")
            for seed in range(options.seed, options.seed + options.runs):
                with small_disk(wanted=not options.large_disk) as run_dir:
                    log = run_dir / "chaos.log"
                    result = one_run(variant, seed, options.duration, run_dir, server, log)
                    if result.broken:
                        kept = options.keep / f"{variant}-{seed}"
                        shutil.rmtree(kept, ignore_errors=True)
                        shutil.copytree(run_dir, kept, ignore=shutil.ignore_patterns("ballast"))
                        result.folder = str(kept)
                results.append(result)
                said = f"BROKEN {'; '.join(result.broken)}" if result.broken else result.verdict
                print(f"{variant} {seed}: {len(result.faults)} faults, {said}", file=sys.stderr, flush=True)
    found = summary(results, options.duration)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        show(found)
    return 1 if found["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
