"""Runs the whole test suite in an environment of its own: `python3 scripts/test.py [pytest's arguments]`.

The tests marked `python313` run once more under Python 3.13 where this machine has one: the driver library needs it.
With CI=true a machine without one fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from environment import ROOT, EnvironmentFailed, ensure, find_python, say, suitable_python, version_of

NO_TESTS_COLLECTED = 5
# Most of a test's time is the start of real processes, or waiting for a board's clock: more tests at a time than
# a small machine has cores.
SIDE_BY_SIDE = ("--numprocesses=4", "--dist=worksteal")


def main(arguments: list[str]) -> int:
    """Make what is missing, run, and return an exit code: 0 if every test passed."""
    try:
        python = ensure(".venv", suitable_python(), {"test", "lint", "dtol"})
        say("running the tests ...")
        code = pytest(python, *arguments)
        return code or under_python_313(str(python), arguments)
    except EnvironmentFailed as error:
        print(error, file=sys.stderr)
        return 1


def under_python_313(python: str, arguments: list[str]) -> int:
    """The marked tests under 3.13, unless all of them ran under it already."""
    if (version_of(python) or "").startswith("3.13."):
        return 0
    newer = find_python("3.13")
    if newer is None:
        say("Python 3.13 was not found: what needs the driver library dtollib was NOT tested")
        return 1 if os.environ.get("CI", "").lower() == "true" else 0
    python_313 = ensure(".venv-313", newer, {"test", "dtol"})
    say("running the tests marked python313 under Python 3.13 ...")
    code = pytest(python_313, "-m", "python313", *arguments)
    # Whoever asks for some tests only may have asked for none of these.
    return 0 if arguments and code == NO_TESTS_COLLECTED else code


def pytest(python: Path, *arguments: str) -> int:
    """Its exit code. Some thousand processes are started: what each one compiles, all of them would compile anew."""
    compiled_once = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    command = [str(python), "-m", "pytest", *SIDE_BY_SIDE, *arguments]
    return subprocess.call(command, cwd=ROOT, env=compiled_once)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
