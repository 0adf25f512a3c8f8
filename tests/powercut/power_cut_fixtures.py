"""Disks that can be cut, where there is FUSE."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cut_bench import Bench
from cut_mounts import why_not
from marked_mounts import unmount_below
from ready_commands import Commands


@pytest.fixture
def needs_fuse() -> None:
    """Skips, with the reason, where nothing can be mounted."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture
def apart(needs_fuse: None) -> Iterator[Path]:
    """A folder for mounts. Not pytest's own, which no later test could clear if a mount should stay in it."""
    folder = Path(tempfile.mkdtemp(prefix="dtp-cut-"))
    yield folder
    unmount_below(folder)
    shutil.rmtree(folder)


@pytest.fixture
def bench(apart: Path, ready_commands: Commands) -> Bench:
    """A folder whose disk can be cut, and the commands of a user who has it."""
    return Bench(apart, Path(os.environ["DTOPIPE_RUNTIME_DIR"]), ready_commands)
