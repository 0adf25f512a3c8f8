"""README and guide as sessions: what stands in their fenced blocks is written and run, in the order of the page.

`yaml`: a file, whose first line is its name as a comment (`# NAME.yaml`, or `# NAME.yaml on HOST`). `sh`: commands, one
a line. `python`: a program. `console`: commands of several machines, `HOST$ COMMAND`. `text`: nothing to run. A command
that is to end otherwise than with 0 says so in its comment (`# exit code 3: ...`).
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner
from free_ports import free_port
from plug_in_packages import path_with
from ready_commands import Command, Commands
from system import ctrl_c

from dtopipe.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "dtopipe" / "guide").glob("*.md"))]
_LANGUAGES = ("sh", "yaml", "python", "console", "text")
# What is run elsewhere, and where.
NOT_RUN = {
    "python3 scripts/demo.py": "it makes an environment, which takes minutes",
    "python3 scripts/test.py": "it is what runs this test",
    'pip install -e ".[parquet,postgres]"': "the environment of this test has it",
    "pytest": "tests/testing/test_new_plug_ins.py",
}
# Commands that start no process, and may be run in this one.
_IN_PROCESS = (
    "boards", "check", "convert", "init", "keys", "plugin", "repair", "report", "runs", "schema", "sinks", "status",
    "verify", "why",
)  # fmt: skip


@dataclass(frozen=True)
class Fence:
    """One fenced block."""

    language: str
    text: str
    line: int

    def commands(self) -> Iterator[tuple[str, str, int]]:
        """(host or empty, command, exit code that it is to end with) of each line."""
        for line in self.text.splitlines():
            command, _, comment = line.partition("#")
            host, _, rest = command.partition("$ ") if self.language == "console" else ("", "", command)
            code = re.match(r"\s*exit code (\d+)", comment)
            if rest.strip():
                yield host, rest.strip(), int(code[1]) if code else 0


def fences_of(page: Path) -> list[Fence]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Fence(found[1], found[2], text.count("\n", 0, found.start()) + 1)
        for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]


@dataclass
class Machine:
    """One of the machines of a page: a folder of its own, and keys of its own."""

    folder: Path
    env: dict[str, str]
    at: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.at = self.folder


class Session:
    """A page that is typed from its top to its end."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, commands: Commands) -> None:
        self._folder = folder
        self._commands = commands
        self._name = f"tried-{uuid.uuid4().hex[:8]}"
        self._monkeypatch = monkeypatch
        self._machines: dict[str, Machine] = {}
        self._background: list[Command] = []
        self._port = free_port()

    def run(self, fence: Fence) -> None:
        """What stands in one block."""
        if fence.language == "yaml":
            self._write(fence)
        elif fence.language == "python":
            self._program(fence.text, self._machine(""))
        elif fence.language in ("sh", "console"):
            for host, command, code in fence.commands():
                self._type(self._machine(host), command, code)
        else:
            assert fence.language == "text", f"line {fence.line}: one of {', '.join(_LANGUAGES)}"

    def end(self) -> None:
        """Whatever is left in the background ends."""
        for process in self._background:
            try:
                process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                ctrl_c(process)
                process.communicate(timeout=20)

    def _machine(self, host: str) -> Machine:
        if host not in self._machines:
            folder = self._folder / (host or "here")
            self._machines[host] = Machine(folder, {"DTOPIPE_KEYS_DIR": str(folder / "keys")})
        return self._machines[host]

    def _write(self, fence: Fence) -> None:
        named = re.match(r"# ([\w.-]+\.yaml)(?: on ([\w-]+))?\n", fence.text)
        assert named, f"line {fence.line}: a topology begins with its name, as in `# heat-flux.yaml`"
        path = self._machine(named[2] or "").folder / named[1]
        path.write_text(self._here(fence.text), encoding="utf-8")

    def _here(self, text: str) -> str:
        """Machines of this page are this one, at a port of its own; devices and streams are no other suite's."""
        text = text.replace('device: "0"', f'device: "{self._name}"').replace("eeg-lab-2", self._name)
        return text.replace("daq-pc:5700", f"127.0.0.1:{self._port}").replace("0.0.0.0:5700", f"127.0.0.1:{self._port}")

    def _type(self, machine: Machine, command: str, code: int) -> None:
        if command in NOT_RUN:
            return
        self._take_keys(machine)
        words = shlex.split(self._here(command))
        if words[0] == "cd":
            machine.at = (machine.at / words[1]).resolve()
        elif words[:3] == ["pip", "install", "-e"]:
            package = machine.at if words[3].startswith(".") else self._copy_of(ROOT / words[3])
            machine.env["PYTHONPATH"] = path_with(package, *map(Path, filter(None, [machine.env.get("PYTHONPATH")])))
        elif words == ["wait"]:
            while self._background:
                process = self._background.pop(0)
                _, stderr = process.communicate(timeout=120)
                assert process.wait() == code, f"what ran in the background ended with {process.wait()}: {stderr}"
        elif words[0] == "dtopipe":
            self._dtopipe(machine, words[1:], code)
        else:
            raise AssertionError(f"nobody knows how to run {command!r}: see NOT_RUN")

    def _copy_of(self, package: Path) -> Path:
        """A package of this checkout, in which nothing is written."""
        copy = self._folder / package.name
        shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
        return copy

    def _dtopipe(self, machine: Machine, words: list[str], code: int) -> None:
        env = {**os.environ, **machine.env}
        if words[-1] == "&":
            self._background.append(self._commands.start(words[:-1], machine.at, env))
        elif words[0] in _IN_PROCESS and "PYTHONPATH" not in machine.env:
            self._monkeypatch.chdir(machine.at)
            ended = CliRunner().invoke(main, words, env=machine.env)
            assert ended.exit_code == code, f"{words}: {ended.output}{ended.exception!r}"
        else:
            process = self._commands.start(words, machine.at, env)
            stdout, stderr = process.communicate(timeout=120)
            assert process.wait() == code, f"{words}: {process.wait()}\n{stdout}{stderr}"

    def _program(self, text: str, machine: Machine) -> None:
        done = subprocess.run(
            [sys.executable, "-c", text], cwd=machine.at, env={**os.environ, **machine.env}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, encoding="utf-8", timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"

    def _take_keys(self, machine: Machine) -> None:
        """As by mail: the public halves of the others lie in its folder."""
        for host, other in self._machines.items():
            for key in (other.folder / "keys").rglob(f"{host}.pub"):
                if other is not machine:
                    shutil.copy(key, machine.folder)
