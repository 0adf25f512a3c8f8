"""Who follows a run over a link is read to as a covered sink is: by the same rules, from the same places."""

from __future__ import annotations

from pathlib import Path

from recordings import recorded
from stepped_ring import Feed, ring_of

from dtopipe.gateway.live import LiveRun
from dtopipe.model.policy import Policy
from dtopipe.model.stream import Block
from dtopipe.shm.reader import RingReader
from dtopipe.shm.table import SubscriberTable

N_SLOTS = 6


def test_what_the_journal_has_still_to_take_is_read_from_the_ring_while_its_disk_is_away(tmp_path: Path) -> None:
    with ring_of(N_SLOTS) as ring:
        table, feed = SubscriberTable(ring), Feed(ring)
        row = table.open_at_head(Policy.BLOCK)
        table.name_journal(row)
        of_journal = RingReader(ring, row)
        feed.publish(4)
        of_journal.take(4)
        of_journal.release()
        assert feed.publish(20) == N_SLOTS
        pinned_from = 4 * ring.layout.samples_per_block
        reader = LiveRun(recorded(), ring, tmp_path / "away" / "archive.dt-raw").reader(pinned_from, drops=False)
        items = reader.take(100)
        assert [item.block_index for item in items if isinstance(item, Block)] == [*range(4, 4 + N_SLOTS)]
        assert reader.take(100) == []
        reader.close()
