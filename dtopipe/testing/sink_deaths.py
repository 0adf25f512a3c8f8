"""What every sink promises to whoever comes after a death: nothing committed is lost, nothing is there twice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from dtopipe.testing.killed_writer import GAP, ROUND, ROUNDS, STREAM, Death, Said, round_of
from dtopipe.testing.recordings import gap
from dtopipe.testing.sink_suite import SinkSuite
from dtopipe.testing.sink_under_test import SinkUnderTest, expected

N_SAMPLES = ROUND * ROUNDS


class SinkDeaths(SinkSuite):
    """Writers killed by SIGKILL, and outputs whose end was torn off."""

    # Every step, unless there are more than these: then so many, evenly spread.
    most_deaths: ClassVar[int] = 120

    def test_a_writer_killed_at_any_step_loses_nothing_and_is_gone_on_with(self, file_sink: SinkUnderTest) -> None:
        _, (_, whole), *died = deaths_of(file_sink, most_deaths=self.most_deaths)
        assert whole.committed == N_SAMPLES
        assert died
        for death, said in died:
            sink = file_sink.at(Path(death.path))
            _assert_goes_on(sink, said.committed, f"killed at step {death.at_step} of {whole.steps}")

    def test_what_a_kill_left_of_half_a_commit_is_cut_off_wherever_it_is_torn(self, file_sink: SinkUnderTest) -> None:
        folder = file_sink.file.parent
        left = file_sink.at(folder / "left" / file_sink.file.name)
        ((_, said),) = deaths_of(file_sink, [Death(str(left.file), with_half_a_commit=True)])
        assert said.sizes_at_commit is not None
        assert said.sizes_at_death is not None
        for name, size in said.sizes_at_death.items():
            committed = said.sizes_at_commit.get(name, 0)
            for cut in sorted({*np.linspace(committed, size, 12).astype(int).tolist(), max(committed, size - 1)}):
                torn = folder / f"{name}-{cut}"
                shutil.copytree(left.file.parent, torn)
                os.truncate(torn / name, cut)
                sink = file_sink.at(torn / file_sink.file.name)
                _assert_goes_on(sink, said.committed, f"{name} was torn at byte {cut} of {size}", at_most=0)


def deaths_of(sink: SinkUnderTest, deaths: Sequence[Death] = (), *, most_deaths: int = 0) -> list[tuple[Death, Said]]:
    """What the writer of each death said last.

    With `most_deaths`: of two that live to their end, and then of so many, spread over all steps. Skips the test where
    no process can be forked.
    """
    if not hasattr(os, "fork"):
        pytest.skip("writers are killed in forked processes, which this system has not")
    made = sink.writer_class
    job = sink.file.parent / "deaths.json"
    wanted = {
        "writer": f"{made.__module__}:{getattr(made, '__qualname__', '')}",
        "options": dict(sink.options),
        "layout": sink.layout.value,
        "folder": str(sink.file.parent),
        "file_name": sink.file.name,
        "deaths": [asdict(death) for death in deaths],
        "most_deaths": most_deaths,
    }
    job.write_text(json.dumps(wanted), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "dtopipe.testing.killed_writer", str(job)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\nthe class must be importable by its module and name"
    found = [json.loads(line) for line in done.stdout.splitlines()]
    failed = [f"{each['death']}: {each['failed']}" for each in found if each["failed"]]
    assert not failed, "\n".join(failed)
    return [(Death(**each["death"]), Said(**each["said"])) for each in found]


def _assert_goes_on(sink: SinkUnderTest, said: int, what: str, at_most: int = ROUND) -> None:
    """A successor finds what was committed, goes on behind it, and the whole is as if nothing had been.

    `at_most`: samples that may be committed behind what was said, by a commit that could not be told of any more.
    """
    writer, position = sink.resumed(STREAM)
    try:
        assert said <= position.committed <= said + at_most, what
        assert position.committed % ROUND == 0, f"{what}: half a commit counts"
        rounds = position.committed // ROUND
        assert (position.start, position.gap_samples) == (0, rounds * GAP), what
        assert position.samples == rounds * (ROUND - GAP), what
        for number in range(rounds, ROUNDS):
            writer.append(round_of(number))
            writer.commit()
        assert writer.close().committed == N_SAMPLES, what
    except BaseException:
        writer.abandon()
        raise
    if sink.reader_class is None:
        return
    there = np.concatenate([np.arange(k * ROUND, (k + 1) * ROUND - GAP) for k in range(ROUNDS)])
    index, _, values = sink.rows(STREAM.run_id)
    assert np.array_equal(index, there), what
    assert np.array_equal(values, expected(STREAM, 0, N_SAMPLES)[:, there]), what
    gaps = [gap(STREAM, k * ROUND - GAP, k * ROUND) for k in range(1, ROUNDS + 1)]
    assert list(sink.reader(STREAM.run_id).gaps()) == gaps, what
