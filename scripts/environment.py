"""The checkout's own virtual environments: made once, brought up to date when pyproject.toml changes.

Standard library only, and words that an old Python still reads: whoever starts a script with one is told what to do.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST = (3, 11)
_STAMP = "dtopipe-stamp.json"


class EnvironmentFailed(Exception):
    """The environment could not be made; the message says what to do."""


def say(message: str) -> None:
    """One line of progress."""
    print("--", message, flush=True)


def ensure(folder_name: str, python: str, extras: set[str]) -> Path:
    """The Python of an environment that has this checkout with these extras; quick when it is up to date already.

    `python`: the interpreter to make it with. Raises EnvironmentFailed.
    """
    folder = ROOT / folder_name
    inside = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if version_of(str(inside)) is None:
        say(f"making {folder_name} with Python {version_of(python)} ...")
        _run([python, "-m", "venv", "--clear", str(folder)], "on Debian and Ubuntu: apt install python3-venv")
    stamp = folder / _STAMP
    fingerprint = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + str(ROOT).encode()).hexdigest()
    installed = _installed(stamp, fingerprint)
    if installed is None or not extras <= installed:
        wanted = sorted(extras | (installed or set()))
        say(f"installing dtopipe[{','.join(wanted)}] into {folder_name}, which may take a minute or two ...")
        _run(
            [str(inside), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
             "--editable", f"{ROOT}[{','.join(wanted)}]"],
            "is there a connection to the package index?",
        )  # fmt: skip
        stamp.write_text(json.dumps({"fingerprint": fingerprint, "extras": wanted}), encoding="utf-8")
    return inside


def suitable_python() -> str:
    """The interpreter that runs us, or a newer one of this machine if it is too old. Raises EnvironmentFailed."""
    if sys.version_info >= OLDEST:
        return sys.executable
    for version in ("3.13", "3.12", "3.11"):
        found = find_python(version)
        if found:
            return found
    raise EnvironmentFailed(
        f"dtopipe needs Python {OLDEST[0]}.{OLDEST[1]} or newer; this is {sys.version.split()[0]}\n"
        "    install one from https://www.python.org/downloads/"
    )


def find_python(version: str) -> str | None:
    """The interpreter of that version (`3.13`), from PATH, pyenv, or Windows' `py`."""
    candidates = [shutil.which(f"python{version}"), shutil.which("python3"), shutil.which("python")]
    candidates += _of_pyenv(f"versions/{version}*/bin/python") + _of_pyenv(f"pyenv-win/versions/{version}*/python.exe")
    launcher = shutil.which("py")
    if launcher:
        candidates.append(_output([launcher, f"-{version}", "-c", "import sys; print(sys.executable)"]))
    for candidate in candidates:
        if candidate and (version_of(candidate) or "").startswith(version + "."):
            return candidate
    return None


def _of_pyenv(pattern: str) -> list[str]:
    """The interpreters in pyenv's folder, newest first; none where there is no such folder, or it is another user's."""
    try:
        root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
        return [str(path) for path in sorted(root.glob(pattern), reverse=True)]
    # RuntimeError: this user has no home.
    except (OSError, RuntimeError):
        return []


def version_of(python: str) -> str | None:
    """`3.11.7`; None if it does not run (a pyenv shim may stand for nothing)."""
    return _output([python, "-c", "import sys; print('.'.join(map(str, sys.version_info[:3])))"])


def _output(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _installed(stamp: Path, fingerprint: str) -> set[str] | None:
    """The extras that are installed; None if it was another pyproject.toml, or another checkout."""
    try:
        document = json.loads(stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return set(document["extras"]) if document.get("fingerprint") == fingerprint else None


def _run(command: list[str], remedy: str) -> None:
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise EnvironmentFailed(f"{done.stdout}\nfailed: {' '.join(command)}\n    {remedy}")
