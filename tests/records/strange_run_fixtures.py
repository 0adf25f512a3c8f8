"""A real run, copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from strange_runs import Watch, World, make_base

from dtopipe.cli.main import main


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with an output of each file type, a hole in it."""
    return make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def hearing() -> Watch:
    """What this process opens, and connects to; once for all tests, for it cannot be taken away again."""
    return Watch()


@pytest.fixture
def watch(hearing: Watch) -> Iterator[Watch]:
    yield hearing
    hearing.world = None


@pytest.fixture
def run(base: Path, tmp_path: Path) -> Path:
    """A copy of the run, in a folder of runs."""
    folder = tmp_path / "runs" / "lab" / "20261122T234100Z"
    shutil.copytree(base, folder)
    return folder


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "w")


@pytest.fixture
def dtopipe() -> Callable[..., Any]:
    """Calls a command in this process."""
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])
