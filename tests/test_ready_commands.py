"""Commands that are forked are as those that start from nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from leftovers import module_of, processes_with
from ready_commands import Commands, StartedCommands
from system import KILLED, ctrl_c

from dtopipe.cli.recovery import recover_killed
from dtopipe.host.process_end import words_of_exit

TOPOLOGY = """board: {type: simulated}
task: {rate_hz: 1000, samples_per_block: 100, channels: [{name: a}]}
sinks: {t: {type: csv, path: t, flush_interval: 50ms}}
"""


@pytest.fixture(params=["ready", "started"])
def commands(request: pytest.FixtureRequest, ready_commands: Commands) -> Commands:
    """Of either kind."""
    return StartedCommands() if request.param == "started" else ready_commands


def test_a_command_has_its_own_folder_environment_output_and_exit_code(commands: Commands, tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(TOPOLOGY + "metadata: {operator: '${NOBODY}'}\n")
    absent = commands.start(["check", "t.yaml"], tmp_path, os.environ)
    _, said = absent.communicate(timeout=60)
    assert (absent.wait(), "NOBODY" in said) == (2, True)
    named = commands.start(["check", "t.yaml", "--json"], tmp_path, {**os.environ, "NOBODY": "Zoë"})
    told, _ = named.communicate(timeout=60)
    assert named.poll() == 0
    assert told.startswith("{")
    assert named.communicate(timeout=0) == (told, "")


def test_a_command_that_goes_on_is_waited_for_and_hears_signals(
    commands: Commands, tmp_path: Path, wait_for: Callable[..., None]
) -> None:
    (tmp_path / "t.yaml").write_text(TOPOLOGY)
    stopped, killed = (commands.start(["up", "t.yaml", "--name", name], tmp_path, os.environ) for name in "ab")
    with pytest.raises(subprocess.TimeoutExpired):
        killed.wait(0.0)
    for name in "ab":
        outputs = tmp_path / "runs" / name
        wait_for(lambda outputs=outputs: any(path.stat().st_size > 1000 for path in outputs.glob("*/t")))
    assert stopped.poll() is killed.poll() is None
    mine = processes_with("DTOPIPE_RUNTIME_DIR", os.environ["DTOPIPE_RUNTIME_DIR"])
    workers = [process for process in mine if module_of(process.cmdline()).startswith("dtopipe.workers.")]
    assert sorted(module_of(process.cmdline()) for process in workers) == [
        *["dtopipe.workers.acquirer"] * 2,
        *["dtopipe.workers.sink_worker"] * 2,
    ]
    # The terminal's signals are not theirs.
    assert all(os.getsid(process.pid) == process.pid for process in workers)
    ctrl_c(stopped)
    killed.kill()
    assert stopped.wait(60) == 0
    assert words_of_exit(killed.wait(60)).startswith(KILLED)
    for command in (stopped, killed):
        command.kill()
        command.communicate(timeout=60)
    # They end by themselves once their supervisor is gone; what it left is cleared away as by the next run.
    psutil.wait_procs(workers, 60)
    recover_killed()
