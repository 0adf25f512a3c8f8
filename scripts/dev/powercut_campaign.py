"""Many power cuts, on a file system of our own that forgets what was not synced, and what became of them.

    python scripts/dev/powercut_campaign.py                                     # 300 cuts, in all three modes
    python scripts/dev/powercut_campaign.py --cuts 30 --mode ordered --json
    python scripts/dev/powercut_campaign.py --cuts 1 --seed 17 --mode strict --moment close     # one of them again

Each is a real run of the counter with a journal (hbuf, in segments or one file, with retention or without), CSV, JSONL,
SQLite, Parquet and HDF5, each synced in its own way, or a polled one; in every third (--postgres-every) a real
PostgreSQL server takes part, which is outside of that file system and keeps its power and its data. The power goes at a
random moment or at one of ten chosen ones; every process is killed, shared memory and runtime folder are lost, what the
disk held is put in place; then `runs`, `verify`, `repair`, `verify` and `repair` once more. What was durable at the cut
is looked for by other readers than ours, value by value against the board's formula.

It needs FUSE (Debian: apt-get install fuse3) and the extra `test`. Images of failures are kept, under --keep.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from private_postgres import private_server
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "powercut"))

from cut_bench import Bench
from cut_mounts import why_not
from cut_plans import MOMENTS, Plan, planned
from cut_runs import Outcome, as_document, cut_run
from forgetful_disk import Mode
from ready_commands import StartedCommands


def plans(options: argparse.Namespace) -> Iterator[Plan]:
    """One after the other through modes and moments; half of the cuts are at random moments."""
    modes = list(Mode) if options.mode == "all" else [Mode(options.mode)]
    moments = [options.moment] if options.moment else [m for moment in MOMENTS[1:] for m in (moment, MOMENTS[0])]
    for number in range(options.cuts):
        turn = number // len(modes)
        yield planned(
            options.seed + number, modes[number % len(modes)], moments[turn % len(moments)],
            with_server=bool(options.postgres_every) and turn % options.postgres_every == 0,
        )  # fmt: skip


def one(plan: Plan, dsn: str, keep: Path) -> Outcome:
    """One cut, in folders of its own; kept if anything did not hold."""
    folder, runtime = (Path(tempfile.mkdtemp(prefix=prefix)) for prefix in ("dtp-cut-", "dtp-"))
    try:
        try:
            outcome = cut_run(plan, Bench(folder, runtime, StartedCommands(), dsn))
        except Exception:
            outcome = Outcome(plan, broken=[f"the cut could not be done: {traceback.format_exc()}"])
        if outcome.broken:
            kept = keep / f"{plan.mode}-{plan.moment.replace(' ', '-')}-{plan.seed}"
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(folder, kept)
            (kept / "outcome.json").write_text(json.dumps(as_document(outcome), indent=2), encoding="utf-8")
        return outcome
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(runtime, ignore_errors=True)


def again(plan: Plan) -> str:
    """The command that has this cut once more, as far as processes are at the same place in the same moment."""
    words = f"--cuts 1 --seed {plan.seed} --mode {plan.mode} --moment '{plan.moment}'"
    return f"python scripts/dev/powercut_campaign.py {words} --postgres-every {int(plan.schema is not None)}"


def summary(outcomes: list[Outcome]) -> dict[str, Any]:
    """The sums by mode, and every failure with the command that has it again."""
    sums = {}
    for mode in [*Mode, "all"]:
        own = [outcome for outcome in outcomes if mode in (outcome.plan.mode, "all")]
        if own:
            sums[str(mode)] = {
                "cuts": len(own),
                "with_retention": sum("retention" in o.plan.topology["sinks"].get("archive", {}) for o in own),
                "with_postgres": sum(o.plan.schema is not None for o in own),
                "durable": sum(o.durable for o in own),
                "missing": sum(o.missing for o in own),
                "fewer": sum(o.fewer for o in own),
                "tracebacks": sum(o.tracebacks for o in own),
                "other": sum(bool(o.broken) and not (o.missing or o.fewer or o.tracebacks) for o in own),
            }
    failures = [{**as_document(outcome), "again": again(outcome.plan)} for outcome in outcomes if outcome.broken]
    return {"modes": sums, "failures": failures}


def show(found: dict[str, Any], keep: Path) -> None:
    """For people."""
    console = Console()
    for failure in found["failures"]:
        console.print(f"FAILED  {failure['again']}", markup=False, highlight=False, soft_wrap=True)
        for sentence in failure["broken"]:
            console.print(f"    {sentence}", markup=False, highlight=False, soft_wrap=True)
    table = Table("", *found["modes"], title="what became of them", title_justify="left")
    facts = {
        "cuts": "cuts", "with_retention": "with retention", "with_postgres": "with postgres",
        "durable": "durable samples at the cut", "missing": "of them missing after repair",
        "fewer": "outputs with fewer than before it", "tracebacks": "tracebacks", "other": "cuts with other failures",
    }  # fmt: skip
    for fact, words in facts.items():
        table.add_row(words, *(f"{sums[fact]:,}" for sums in found["modes"].values()))
    console.print(table)
    if found["failures"]:
        console.print(f"images of the failures: {keep}", soft_wrap=True)


def main() -> int:
    """Cut, sum up; 1 if anything that is promised did not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=300, help="how many, each with its own seed")
    parser.add_argument("--mode", choices=[*Mode, "all"], default="all", help="what the disk may forget")
    parser.add_argument("--moment", choices=MOMENTS, help="only this one")
    parser.add_argument("--seed", type=int, default=0, help="of the first cut")
    parser.add_argument("--postgres-every", type=int, default=3, metavar="N", help="0: never")
    parser.add_argument("--jobs", type=int, default=3, help="cuts at a time")
    parser.add_argument("--keep", type=Path, default=Path("powercut-failures"), help="where failures are kept")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    reason = why_not()
    if reason is not None:
        print(reason, file=sys.stderr)
        return 1
    outcomes = []
    with ExitStack() as stack:
        dsn = stack.enter_context(private_server()).dsn if options.postgres_every else ""
        pool = stack.enter_context(ThreadPoolExecutor(options.jobs))
        work = [pool.submit(one, plan, dsn, options.keep) for plan in plans(options)]
        for number, done in enumerate(as_completed(work), 1):
            outcomes.append(done.result())
            said = "; ".join(outcomes[-1].broken) or outcomes[-1].verdict or "no run yet"
            plan = outcomes[-1].plan
            print(f"{number}  {plan.mode} {plan.moment} {plan.seed}: {said}", file=sys.stderr, flush=True)
    outcomes.sort(key=lambda outcome: outcome.plan.seed)
    found = summary(outcomes)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        show(found, options.keep)
    return 1 if found["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
