"""Real writers and readers of one ring, killed wherever they are, with successors that go on."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable

from dtopipe.model.policy import Policy
from dtopipe.shm.layout import Head, Layout
from dtopipe.shm.ring import Ring
from dtopipe.shm.segment import new_name, unlink
from dtopipe.shm.table import SubscriberTable

N_SLOTS, N_CHANNELS, N_SAMPLES = 8, 2, 8
KILLS = 14
AT_LEAST = 200

COMMON = f"""
import json, sys, time
import numpy as np
from dtopipe.core.ledger import Stall
from dtopipe.model.clock import Anchor
from dtopipe.shm.reader import RingReader
from dtopipe.shm.ring import Ring
from dtopipe.shm.writer import RingWriter

N_SAMPLES = {N_SAMPLES}
ANCHOR = Anchor(0, 1, 1)

def codes(number):
    return np.arange(number, number + {N_CHANNELS} * N_SAMPLES, dtype=np.int32).reshape({N_CHANNELS}, N_SAMPLES)
"""

# Ends when its standard input does; a board that goes on where the ring ends.
WRITER = (
    COMMON
    + """
import threading
writer = RingWriter(ring := Ring.attach(sys.argv[1]))
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
writer.begin_epoch(ANCHOR)
while not stop.is_set():
    number = writer.lease()
    if isinstance(number, Stall):
        time.sleep(0.0002)
        continue
    assert ring.end() == (number * N_SAMPLES, 0), (ring.end(), number)
    writer.publish(number, number * N_SAMPLES, codes(number), None, ANCHOR, 0)
writer.end()
"""
)

# Commits at odd moments; a successor must find what was not committed, whole and in order.
READER = (
    COMMON
    + """
reader = RingReader(Ring.attach(sys.argv[1]), int(sys.argv[2]))
pins = sys.argv[3] == "block"
expected, seen, held = None, 0, []
while True:
    ended = reader.ended()
    blocks = reader.take(1 + seen % 3)
    for block in blocks:
        number = block.block_index
        assert block.first_sample_index == number * N_SAMPLES
        assert expected is None or number == expected or (number > expected and not pins), (number, expected)
        expected = number + 1
        seen += 1
    held += blocks
    if not blocks or reader.held > 3:
        for block in held:
            assert np.array_equal(block.codes, codes(block.block_index)), block.block_index
        held = []
        reader.release()
    if not blocks and ended:
        break
    if not blocks:
        time.sleep(0.0002)
print(json.dumps(expected))
"""
)


def _start(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _kill(process: subprocess.Popen[str]) -> None:
    """It must have run until now: who found something wrong has ended by itself."""
    running = process.poll() is None
    process.kill()
    error = process.communicate()[1]
    assert running, error


def test_killed_writers_and_readers_leave_a_ring_on_which_their_successors_go_on(
    wait_for: Callable[..., None],
) -> None:
    name = new_name()
    ring = Ring.create(name, Layout(N_SLOTS, N_CHANNELS, N_SAMPLES, "int32"))
    table = SubscriberTable(ring)
    policies = [Policy.BLOCK, Policy.BLOCK, Policy.DROP_OLDEST]
    rows = [table.open_at_head(policy) for policy in policies]
    chance = random.Random(20)
    writer = _start(WRITER, name)
    readers = [_start(READER, name, str(row), policy) for row, policy in zip(rows, policies, strict=True)]

    def goes_on(beyond: int) -> bool:
        """Everybody has moved on, so that the next kill finds them at work."""
        return ring.words[Head.HEAD] > beyond and all(table.status(row).released > beyond for row in rows)

    try:
        for _ in range(KILLS):
            wait_for(lambda beyond=ring.words[Head.HEAD] + AT_LEAST: goes_on(beyond), 30, "the ring stands still")
            who = chance.randrange(4)
            if who == 3:
                _kill(writer)
                writer = _start(WRITER, name)
            else:
                _kill(readers[who])
                committed = table.status(rows[who]).released
                rows[who] = table.open_successor(rows[who])
                assert table.status(rows[who]).cursor == committed
                readers[who] = _start(READER, name, str(rows[who]), policies[who])
        outputs = [writer.communicate(timeout=30), *(reader.communicate(timeout=30) for reader in readers)]
        assert [process.returncode for process in (writer, *readers)] == [0, 0, 0, 0], outputs
        head = ring.words[Head.HEAD]
        assert [json.loads(said) for said, _ in outputs[1:]] == [head, head, head]
        assert [table.status(row).released for row in rows] == [head, head, head]
        assert ring.end() == (head * N_SAMPLES, 0)
    finally:
        for process in (writer, *readers):
            process.kill()
            process.communicate()
        ring.close()
        unlink(name)
