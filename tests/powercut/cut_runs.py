"""Does one cut: a real run on a disk that is cut, nothing left but that disk, then every command, and a judgement."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from cut_bench import PATIENCE_S, Bench, Command
from cut_plans import Plan
from promises import Promise, before_commands, broken_after, promises_of, server_promise
from ready_commands import Command as RunningCommand
from system import ctrl_c

# What a trigger waits for may never come; then the power goes all the same.
_LATEST_S = 15.0
_RUNNING = 'says:"running":1:0'
_EXIT_CODES = {"GOOD": 0, "INCOMPLETE": 3, "DEGRADED": 4, "ABORTED": 5, "INTERRUPTED": 5}


@dataclass
class Outcome:
    """What became of one cut. `missing`: durable samples not there after repair; `fewer`: outputs with fewer."""

    plan: Plan
    why: list[str] = field(default_factory=list)
    durable: int = 0
    missing: int = 0
    fewer: int = 0
    tracebacks: int = 0
    broken: list[str] = field(default_factory=list)
    verdict: str = ""


def cut_run(plan: Plan, bench: Bench) -> Outcome:
    """Run, cut, repair, judge."""
    outcome = Outcome(plan)
    if plan.moment == "fetch":
        with _served(bench, plan, outcome) as (promised, source):
            _repairs(plan, bench, outcome, promised, plan.cut_at, ("--from", source, "--insecure"))
        return outcome
    promised = _run_and_cut(plan, bench, outcome)
    _repairs(plan, bench, outcome, promised, plan.cut_at[1:], ())
    return outcome


def _run_and_cut(plan: Plan, bench: Bench, outcome: Outcome) -> list[Promise]:
    (bench.folder / "cut.yaml").write_text(yaml.safe_dump(plan.topology, sort_keys=False), encoding="utf-8")
    with bench.cut_disk(plan, plan.cut_at[0], notice=_RUNNING) as mount:
        process = bench.start("up", "cut.yaml", "--run-dir", str(bench.disk / "runs"), "--json")
        mount.wait_for_notice(lambda: process.poll() is None)
        if plan.stop_after_s is not None:
            mount.wait_for_cut(lambda: process.poll() is None, plan.stop_after_s)
            ctrl_c(process)
        mount.wait_for_cut(lambda: process.poll() is None, plan.cut_after_s if plan.cut_at[0] is None else _LATEST_S)
        _note_output(outcome, "up", bench.power_goes(mount, process))
        outcome.why.append(json.loads((mount.image / "cut.json").read_text())["why"])
        return promises_of(mount.image / "live", plan)


def _repairs(
    plan: Plan,
    bench: Bench,
    outcome: Outcome,
    promised: list[Promise],
    cuts: tuple[str | None, ...],
    words: tuple[str, ...],
) -> None:
    """`runs`, `verify`, repairs that are cut, `repair`, `verify`, `repair`; then what was promised is looked for."""
    server = server_promise(plan, bench.dsn)
    promised = [*promised, *([server] if server else [])]
    outcome.durable = sum(len(promise.wanted) for promise in promised)
    folder = bench.run_folder
    _look(bench, outcome, folder)
    counts = [before_commands(folder, promised, plan, bench.dsn)]
    for cut_at in cuts:
        begin_with = bench.folder / "begin"
        shutil.rmtree(begin_with, ignore_errors=True)
        bench.disk.rename(begin_with)
        with bench.cut_disk(plan, cut_at, begin_with=begin_with) as mount:
            process = bench.start("repair", str(folder), *words, "--json")
            mount.wait_for_cut(partial(_is_running, process))
            _note_output(outcome, "repair that was cut", bench.power_goes(mount, process))
            outcome.why.append(json.loads((mount.image / "cut.json").read_text())["why"])
        counts.append(before_commands(folder, promised, plan, bench.dsn))
    _final_repair(plan, bench, outcome, folder, words)
    for sentence, missing, fewer in broken_after(folder, promised, counts, plan, outcome.verdict, bench.dsn):
        outcome.broken.append(sentence)
        outcome.missing += missing
        outcome.fewer += fewer


def _is_running(process: RunningCommand) -> bool:
    return process.poll() is None


def _look(bench: Bench, outcome: Outcome, folder: Path) -> None:
    runs = bench.run("runs", "--run-dir", str(bench.disk / "runs"))
    _note_output(outcome, "runs", runs.stdout + runs.stderr)
    if runs.code:
        outcome.broken.append(f"runs ended with {runs.code}: {_last(runs.stderr)}")
    if folder.exists():
        _verified(bench, outcome, folder, "verify")


def _final_repair(plan: Plan, bench: Bench, outcome: Outcome, folder: Path, words: tuple[str, ...]) -> None:
    if not folder.exists():
        if outcome.durable:
            outcome.broken.append(f"there is no run any more, and {outcome.durable} samples were durable")
            outcome.missing += outcome.durable
        return
    repaired = bench.run("repair", str(folder), *words, "--json")
    _note_output(outcome, "repair", repaired.stdout + repaired.stderr)
    document = repaired.document
    if document is None:
        if outcome.durable:
            outcome.broken.append(f"repair ended with {repaired.code}: {_last(repaired.stderr)}")
        return
    failures = [f"{output['name']}: {output['failure']}" for output in document["outputs"] if output.get("failure")]
    outcome.broken += [f"repair failed: {failure}" for failure in failures]
    outcome.verdict = repaired.state
    if repaired.code != _code_of(repaired.state):
        outcome.broken.append(f"repair says {repaired.state} and ended with {repaired.code}")
    verified = _verified(bench, outcome, folder, "verify after repair")
    if verified.state != repaired.state:
        outcome.broken.append(f"repair says {repaired.state}, verify {verified.state or _last(verified.stderr)}")
    before = _hashes(folder)
    again = bench.run("repair", str(folder), *words, "--json")
    _note_output(outcome, "second repair", again.stdout + again.stderr)
    changed = sorted(
        name for name in before.keys() | _hashes(folder).keys() if before.get(name) != _hashes(folder).get(name)
    )
    if changed and not failures:
        outcome.broken.append(f"a second repair changes {', '.join(changed)}")


def _verified(bench: Bench, outcome: Outcome, folder: Path, what: str) -> Command:
    verified = bench.run("verify", str(folder), "--json")
    _note_output(outcome, what, verified.stdout + verified.stderr)
    if verified.state and verified.code != _code_of(verified.state):
        outcome.broken.append(f"{what} says {verified.state} and ended with {verified.code}")
    if not verified.state and outcome.durable:
        outcome.broken.append(f"{what} ended with {verified.code}: {_last(verified.stderr)}")
    return verified


def _code_of(state: str) -> int:
    return _EXIT_CODES.get(state.split()[0], -1) if state else -1


def _note_output(outcome: Outcome, what: str, text: str) -> None:
    if "Traceback" in text:
        outcome.tracebacks += 1
        outcome.broken.append(f"{what} ended in a traceback: {_last(text)}")


def _last(text: str) -> str:
    return " / ".join(text.strip().splitlines()[-3:])[:400]


def _hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@contextlib.contextmanager
def _served(bench: Bench, plan: Plan, outcome: Outcome) -> Iterator[tuple[list[Promise], str]]:
    """A run that another machine has whole, and that lacks outputs here: its promises, and where to fetch it."""
    whole = bench.folder / "whole"
    (bench.folder / "cut.yaml").write_text(yaml.safe_dump(plan.topology, sort_keys=False), encoding="utf-8")
    ended = bench.run("up", "cut.yaml", "--run-dir", str(whole / "runs"), "--json")
    if ended.code:
        raise RuntimeError(f"the run to be fetched ended with {ended.code}: {_last(ended.stderr)}")
    there = next(whole.glob("runs/*/*/run.json")).parent
    promised = promises_of(whole, plan)
    shutil.copytree(whole, bench.disk)
    here = bench.disk / there.relative_to(whole)
    for pattern in ("archive*", "text*.csv*"):
        for path in here.glob(pattern):
            path.unlink()
    lines = here / "lines.jsonl"
    os.truncate(lines, lines.stat().st_size // 2)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    # Another machine keeps its power.
    its_own = bench.runtime.with_name(bench.runtime.name + "-2")
    its_own.mkdir(mode=0o700, exist_ok=True)
    service = bench.start("serve", str(there), "--endpoint", endpoint, "--insecure", runtime=its_own)
    try:
        yield promised, endpoint
    finally:
        ctrl_c(service)
        try:
            service.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            service.kill()
            service.communicate()
        shutil.rmtree(its_own, ignore_errors=True)


def as_document(outcome: Outcome) -> Mapping[str, Any]:
    """For machines."""
    plan = outcome.plan
    return {
        "seed": plan.seed, "mode": plan.mode, "moment": plan.moment, "cut": outcome.why, "durable": outcome.durable,
        "missing": outcome.missing, "fewer": outcome.fewer, "tracebacks": outcome.tracebacks,
        "verdict": outcome.verdict, "broken": outcome.broken,
    }  # fmt: skip
