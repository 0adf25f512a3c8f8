"""Writes one recording and kills itself at a given step: `python -m dtopipe.testing.killed_writer JOB.json`.

It forks once for each death, so that a hundred of them take seconds. A step is a call of C code that may reach
beyond the process (a system call, a file, a database), before it and after it. What each child said before it died is
printed as a line of JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

from dtopipe.host.killing import KILL
from dtopipe.model.policy import Layout
from dtopipe.model.references import referred
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block
from dtopipe.testing.recordings import blocks, gap, recorded
from dtopipe.testing.sink_under_test import SinkUnderTest

STREAM = recorded(("a", "b", "c"))
# Of each round of samples, this many at its end are a gap; the run has so many rounds.
ROUND, GAP, ROUNDS = 200, 30, 6
# Calls within the process: whatever they did is gone with it.
_WITHIN = ("builtins", "numpy", "time", "math", "itertools", "functools", "_struct", "_thread", "_json", "_codecs")


@dataclass(frozen=True)
class Death:
    """Where one child dies: at a step, or with half of a commit appended; neither: it lives to its end."""

    path: str
    at_step: int | None = None
    with_half_a_commit: bool = False


@dataclass
class Said:
    """What is known of a child: the last commit that returned, the steps that it made, sizes of files in bytes.

    `modules`: what it had to import. `sizes_at_commit`, `sizes_at_death`: of every file beside the output, of a child
    that died with half a commit.
    """

    committed: int = 0
    steps: int = 0
    modules: Sequence[str] = ()
    sizes_at_commit: dict[str, int] | None = None
    sizes_at_death: dict[str, int] | None = None


def round_of(number: int) -> list[Block | Gap]:
    """The items of one commit."""
    start, stop = number * ROUND, (number + 1) * ROUND
    return [*blocks(STREAM, start, stop - GAP, 90), gap(STREAM, stop - GAP, stop)]


class _Steps:
    """Counts steps, and dies at one of them."""

    def __init__(self, at_step: int | None) -> None:
        self.count = 0
        self._at_step = at_step

    def profile(self, frame: FrameType, event: str, called: Any) -> None:
        if event not in ("c_call", "c_return"):
            return
        owner = getattr(called, "__self__", None)
        module = getattr(called, "__module__", None) or type(owner).__module__
        if str(module).partition(".")[0] in _WITHIN:
            return
        if self.count == self._at_step:
            os.kill(os.getpid(), KILL)
        self.count += 1


def _write(sink: SinkUnderTest, death: Death, said: int) -> None:
    """Open, append, commit, sync now and then, close."""
    steps = _Steps(death.at_step)
    told = Said()
    known = set(sys.modules)

    def tell() -> None:
        sys.setprofile(None)
        told.steps = steps.count
        os.write(said, json.dumps(asdict(told)).encode() + b"\n")
        sys.setprofile(steps.profile)

    sys.setprofile(steps.profile)
    writer = sink.writer()
    writer.open(STREAM, 0, resume=True)
    for number in range(ROUNDS):
        items = round_of(number)
        writer.append(items[:1])
        writer.append(items[1:])
        if death.with_half_a_commit and number == ROUNDS // 2:
            told.sizes_at_death = _sizes(sink)
            tell()
            os.kill(os.getpid(), KILL)
        told.committed = writer.commit().committed
        if number % 3 == 2:
            writer.sync()
        told.sizes_at_commit = _sizes(sink) if death.with_half_a_commit else None
        tell()
    writer.close()
    told.modules = sorted(set(sys.modules) - known)
    tell()
    sys.setprofile(None)


def _sizes(sink: SinkUnderTest) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in sorted(sink.file.parent.iterdir()) if path.is_file()}


def _last_words(sink: SinkUnderTest, death: Death) -> tuple[Said, str]:
    """What a child said last, and what it failed with; it is dead when this returns. Raises OSError."""
    if not hasattr(os, "fork"):
        raise OSError("this system forks no processes")
    listening, speaking = os.pipe()
    child = os.fork()
    if not child:
        os.close(listening)
        try:
            _write(sink, death, speaking)
        except BaseException as error:
            sys.setprofile(None)
            os.write(speaking, json.dumps({"failed": f"{type(error).__name__}: {error}"}).encode() + b"\n")
        os._exit(0)
    os.close(speaking)
    with os.fdopen(listening, "rb") as file:
        lines = file.read().splitlines()
    os.waitpid(child, 0)
    said, failed = Said(), ""
    for line in lines:
        words = json.loads(line)
        failed = words.pop("failed", "")
        said = Said(**words) if words else said
    return said, failed


def main(job: str) -> None:
    """Each death of the job in turn: those that it names, and `most_deaths` that are spread over all steps."""
    wanted = json.loads(Path(job).read_text(encoding="utf-8"))
    folder, name = Path(wanted["folder"]), str(wanted["file_name"])
    sink = SinkUnderTest(
        referred(wanted["writer"]), path=folder / name, layout=Layout(wanted["layout"]), options=wanted["options"]
    )
    deaths = [Death(**each) for each in wanted["deaths"]]
    if wanted["most_deaths"]:
        first = _died(sink, Death(str(folder / "first" / name)))
        for module in first.modules:
            # Once for all children, and no steps of theirs.
            with contextlib.suppress(ImportError):
                import_module(module)
        n_steps = _died(sink, Death(str(folder / "whole" / name))).steps
        n = min(wanted["most_deaths"], n_steps)
        steps = sorted({round(number * (n_steps - 1) / max(1, n - 1)) for number in range(n)})
        deaths += [Death(str(folder / f"step-{step}" / name), step) for step in steps]
    for death in deaths:
        _died(sink, death)


def _died(sink: SinkUnderTest, death: Death) -> Said:
    """What that child said last, printed as well."""
    path = Path(death.path)
    path.parent.mkdir(parents=True)
    said, failed = _last_words(sink.at(path), death)
    told = {"death": asdict(death), "said": {**asdict(said), "modules": []}, "failed": failed}
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
    return said


if __name__ == "__main__":
    main(sys.argv[1])
