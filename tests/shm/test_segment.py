"""One piece of named shared memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dtopipe.model.clock import Anchor
from dtopipe.model.errors import RingError
from dtopipe.model.policy import Policy
from dtopipe.shm.layout import Layout
from dtopipe.shm.reader import RingReader
from dtopipe.shm.ring import Ring
from dtopipe.shm.segment import Segment, names, new_name, unlink
from dtopipe.shm.table import SubscriberTable
from dtopipe.shm.writer import RingWriter

SIZE = 3 * 4096
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into Linux's /dev/shm")


@pytest.fixture
def name() -> Iterator[str]:
    """A name, free again afterwards."""
    chosen = new_name()
    yield chosen
    unlink(chosen)


def test_what_one_mapping_writes_another_reads(name: str) -> None:
    made = Segment.create(name, SIZE)
    assert not any(made.buffer)
    attached = Segment.attach(name)
    made.buffer[SIZE - 1] = 7
    assert attached.buffer[SIZE - 1] == 7
    assert len(attached.buffer) >= SIZE
    attached.close()
    made.close()


def test_another_process_that_comes_and_goes_leaves_the_segment_as_it_is(name: str) -> None:
    made = Segment.create(name, SIZE)
    code = f"from dtopipe.shm.segment import Segment; Segment.attach({name!r}).buffer[5] = 42"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert made.buffer[5] == 42
    Segment.attach(name).close()
    made.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows frees a segment with its last handle")
def test_a_name_that_is_taken_away_leaves_its_mappings_and_cannot_be_attached_to(name: str) -> None:
    made = Segment.create(name, SIZE)
    attached = Segment.attach(name)
    unlink(name)
    unlink(name)
    assert name not in names()
    made.buffer[0] = 1
    assert attached.buffer[0] == 1
    with pytest.raises(RingError, match=f"shared memory {name} could not be opened"):
        Segment.attach(name)
    attached.close()
    made.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows attaches to a name that is there")
def test_a_name_that_is_there_is_not_made_again(name: str) -> None:
    made = Segment.create(name, SIZE)
    made.buffer[0] = 1
    with pytest.raises(RingError, match="could not be made"):
        Segment.create(name, SIZE)
    assert Segment.attach(name).buffer[0] == 1, "and stays what it was"
    made.close()


def test_a_view_that_somebody_holds_keeps_the_memory_after_the_close(name: str) -> None:
    made = Segment.create(name, SIZE)
    view = np.ndarray(8, np.uint8, made.buffer, 0)
    made.buffer[3] = 9
    made.close()
    assert view[3] == 9


@on_linux
def test_a_segment_is_the_users_own_and_its_memory_is_reserved(name: str) -> None:
    made = Segment.create(name, SIZE)
    status = (Path("/dev/shm") / name).stat()
    assert status.st_mode & 0o777 == 0o600
    assert status.st_blocks * 512 >= SIZE, "a sparse one is a SIGBUS when memory runs out"
    assert name in names()
    made.close()


@on_linux
def test_a_ring_that_is_closed_is_unmapped_with_the_last_block_that_somebody_keeps(name: str) -> None:
    ring = Ring.create(name, Layout(2, 1, 4, "int16"))
    writer = RingWriter(ring)
    reader = RingReader(ring, SubscriberTable(ring).open_at_head(Policy.BLOCK))
    for number, length in enumerate((4, 3)):
        assert writer.lease() == number
        writer.publish(number, 4 * number, np.full((1, length), number, np.int16), None, Anchor(0, 1, 1), 0)
    blocks = reader.take(2)
    ring.close()
    del ring, writer, reader
    assert [block.codes.tolist() for block in blocks] == [[[0, 0, 0, 0]], [[1, 1, 1]]]
    assert name in Path("/proc/self/maps").read_text()
    blocks.clear()
    assert name not in Path("/proc/self/maps").read_text()


@on_linux
def test_a_segment_whose_maker_was_killed_before_it_had_a_size_is_refused(name: str) -> None:
    (Path("/dev/shm") / name).touch(mode=0o600)
    with pytest.raises(RingError, match="could not be opened"):
        Segment.attach(name)


def test_names_are_short_enough_for_every_system_and_not_given_twice() -> None:
    many = {new_name() for _ in range(100)}
    assert len(many) == 100
    # macOS allows 31 characters, the slash in front among them.
    assert all(len("/" + one) <= 31 for one in many)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows what a process holds")
def test_a_segment_whose_name_is_gone_is_had_from_the_process_that_holds_it(name: str) -> None:
    made = Segment.create(name, SIZE)
    made.buffer[5] = 42
    unlink(name)
    code = f"from dtopipe.shm.segment import Segment; Segment.attach({name!r}, {made.held!r}).buffer[5] += 1"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert made.buffer[5] == 43
    for other, held in ((new_name(), made.held), (name, f"/proc/{os.getpid()}/fd/0"), (name, "/etc/passwd")):
        with pytest.raises(RingError):
            Segment.attach(other, held)
    made.close()
    assert made.held == ""
