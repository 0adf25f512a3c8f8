"""What login sessions do to a run: one ends and takes its folders along, another one looks, repairs and stops."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator

from dtopipe.chaos.faults import Fault, Kind
from dtopipe.chaos.scene import Scene
from dtopipe.host.own_python import own_command, own_environment
from dtopipe.host.run_life import reached
from dtopipe.model.errors import DtopipeError
from dtopipe.shm.segment import names, unlink

_VICTIM_AFTER_S = (0.0, 3.0)
_COMMAND_LIMIT_S = 60.0


class Swept:
    """Its runtime entry and the name of its shared memory are taken away, as a logout does; then a sink is killed."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def why_not(self) -> str:
        """Windows has neither."""
        return "" if sys.platform == "linux" else "the names of shared memory are taken away on Linux only"

    def inject(self, at_s: Callable[[], float]) -> Iterator[Fault]:
        """The fault is injected; a successor finds memory and links all the same."""
        scene = self._scene
        entry, facts = scene.run.folder.entry(), reached(scene.run.folder)
        if facts is None:
            return
        if entry is not None:
            shutil.rmtree(entry.folder, ignore_errors=True)
        if facts.segment in names():
            unlink(facts.segment)
        yield Fault(at_s(), Kind.SWEPT, "session")
        victim = scene.dice.choice([sink.name for sink in scene.plan.sinks])
        if scene.passes(scene.dice.uniform(*_VICTIM_AFTER_S)) and scene.kill(victim):
            yield Fault(at_s(), Kind.KILL, victim)


class AnotherSession:
    """A session that sees nothing of the run's looks at it, would repair it, and completes what was killed."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def why_not(self) -> str:
        """Everybody may look."""
        return ""

    def inject(self, at_s: Callable[[], float]) -> Iterator[Fault]:
        """Raises DtopipeError if the run is taken for one that was killed."""
        folder = str(self._scene.run.folder.path)
        began_s = at_s()
        with tempfile.TemporaryDirectory(prefix="dtopipe-") as session:
            status = self._typed(session, "status", folder, "--json")
            repair = self._typed(session, "repair", folder)
            self._typed(session, "stop", "nobody")
        if not self._scene.run.goes_on() or self._scene.run.folder.read_record().get("verdict") is not None:
            # It has ended meanwhile.
            return
        verdict = None
        with contextlib.suppress(ValueError):
            verdict = json.loads(status.stdout).get("verdict")
        if verdict is not None or repair.returncode != 2 or "in progress" not in repair.stderr:
            raise DtopipeError(f"another session took the run for one that is over: {status.stdout} {repair.stderr}")
        yield Fault(began_s, Kind.SESSION, "another session", at_s() - began_s)

    @staticmethod
    def _typed(session: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            own_command("dtopipe", *words),
            env=own_environment({"DTOPIPE_RUNTIME_DIR": session}), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, encoding="utf-8", timeout=_COMMAND_LIMIT_S, check=False,
        )  # fmt: skip
