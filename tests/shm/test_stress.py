"""Lost wake-ups and torn reads, hunted with real processes on a ring of four slots.

Nobody looks again by himself here: the longest sleep is set to a minute, so that a lost wake-up is a hang.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile

from leftovers import SHORT

from dtopipe.model.policy import Policy
from dtopipe.shm.layout import Layout
from dtopipe.shm.ring import Ring
from dtopipe.shm.segment import new_name, unlink
from dtopipe.shm.table import SubscriberTable

N_BLOCKS = 30_000
N_CHANNELS, N_SAMPLES, N_SLOTS = 4, 16, 4
PATIENCE_S = 60

COMMON = f"""
import json, sys, threading
from pathlib import Path
import numpy as np
from dtopipe.core.ledger import Stall
from dtopipe.model.clock import Anchor
from dtopipe.shm.reader import RingReader
from dtopipe.shm.ring import Ring
from dtopipe.shm.writer import RingWriter
from dtopipe.transport import wake
from dtopipe.transport.link import Keys

wake.LONGEST_SLEEP_S = 60.0
N_BLOCKS, N_CHANNELS, N_SAMPLES = {N_BLOCKS}, {N_CHANNELS}, {N_SAMPLES}

def codes(number):
    return np.full((N_CHANNELS, N_SAMPLES), number % 30_000, np.int16)
"""

WRITER = (
    COMMON
    + """
segment, folder = sys.argv[1:]
ring = Ring.attach(segment)
writer = RingWriter(ring)
links = wake.AcquirerWake(Path(folder), Keys())
print(json.dumps([links.descriptor_endpoint, links.credit_endpoint]), flush=True)
# A subscription that has not arrived yet gets nothing: until everybody has heard something, say something.
begun = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), begun.set()), daemon=True).start()
while not begun.wait(0.01):
    links.announce(range(3), 0, 0)
anchor = Anchor(0, 1, 1)
writer.begin_epoch(anchor)
for number in range(N_BLOCKS):
    while isinstance(lease := writer.lease(), Stall):
        if writer.waits(lease):
            links.sleep(60.0)
        writer.woke()
    writer.waited()
    writer.publish(lease, number * N_SAMPLES, codes(number), None, anchor, 0)
    links.announce(writer.rows_to_wake(), writer.head, number * N_SAMPLES)
writer.end()
# The end is no block: who fell asleep before it must be woken for it.
links.announce(writer.rows_to_wake(), writer.head, 0)
sys.stdin.readline()
"""
)

READER = (
    COMMON
    + """
segment, row, *endpoints = sys.argv[1:]
reader = RingReader(Ring.attach(segment), int(row))
links = wake.ReaderWake(*endpoints, Keys(), int(row))
links.sleep(60.0)
print("ready", flush=True)
seen = missed = torn = 0
expected = 0
while True:
    ended = reader.ended()
    blocks = reader.take(2)
    for block in blocks:
        missed += block.block_index - expected
        expected = block.block_index + 1
        torn += not np.array_equal(block.codes, codes(block.block_index))
        torn += block.first_sample_index != block.block_index * N_SAMPLES
        seen += 1
    if blocks:
        if reader.release():
            links.give_credit()
    elif ended:
        break
    else:
        if reader.falls_asleep():
            links.sleep(60.0)
        reader.woke()
print(json.dumps({"seen": seen, "missed": missed + N_BLOCKS - expected, "torn": torn}), flush=True)
"""
)


def _start(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_no_wake_up_is_lost_and_no_read_is_torn_between_real_processes() -> None:
    name = new_name()
    ring = Ring.create(name, Layout(N_SLOTS, N_CHANNELS, N_SAMPLES, "int16"))
    processes: list[subprocess.Popen[str]] = []
    sockets = tempfile.TemporaryDirectory(prefix="dts-", dir=SHORT)
    try:
        table = SubscriberTable(ring)
        policies = [Policy.BLOCK, Policy.BLOCK, Policy.DROP_OLDEST]
        rows = [table.open_at_head(policy) for policy in policies]
        writer = _start(WRITER, name, sockets.name)
        processes.append(writer)
        assert writer.stdout
        assert writer.stdin
        endpoints = json.loads(writer.stdout.readline())
        readers = [_start(READER, name, str(row), *endpoints) for row in rows]
        processes += readers
        for reader in readers:
            assert reader.stdout
            assert reader.stdout.readline() == "ready\n"
        writer.stdin.write("go\n")
        writer.stdin.flush()
        found = [json.loads(reader.communicate(timeout=PATIENCE_S)[0]) for reader in readers]
        writer.communicate("done\n", timeout=PATIENCE_S)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
        ring.close()
        unlink(name)
        sockets.cleanup()
    assert [one["torn"] for one in found] == [0, 0, 0]
    for policy, one in zip(policies, found, strict=True):
        assert one["seen"] + one["missed"] == N_BLOCKS
        assert policy is not Policy.BLOCK or one["missed"] == 0
