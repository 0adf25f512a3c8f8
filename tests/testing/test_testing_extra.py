"""`dtopipe.testing` is what needs pytest, and nothing else of dtopipe does."""

from __future__ import annotations

import subprocess
import sys

WITHOUT_PYTEST = "import sys; sys.modules['pytest'] = None\n"


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", WITHOUT_PYTEST + program], capture_output=True, text=True, check=False)


def test_without_pytest_the_suites_say_what_to_install() -> None:
    ended = run("import dtopipe.testing")
    assert ended.returncode == 1
    assert "pip install 'dtopipe[testing]'" in ended.stderr


def test_without_pytest_plug_ins_are_written_and_listed() -> None:
    ended = run("import dtopipe.plug_ins.new, dtopipe.cli.plugin, dtopipe.cli.sinks, dtopipe.sinks, dtopipe.streaming")
    assert ended.returncode == 0, ended.stderr
