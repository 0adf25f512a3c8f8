"""One slot's block, as a checked copy."""

from __future__ import annotations

import struct

from dtopipe.model.clock import Anchor
from dtopipe.model.stream import Block
from dtopipe.shm.layout import WORD, SlotWord
from dtopipe.shm.ring import Ring

# The slot's words from NUMBER to LATENCY_NS.
SLOT_WORDS = struct.Struct("<10q")


class Slots:
    """Copies blocks out of a ring. One thread uses it."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._words = ring.words
        self._anchor = Anchor(0, 0, 0)
        self._anchor_words: list[int] = []

    def copied(self, number: int) -> Block | None:
        """The block of this number, or None if its slot is another's, or was taken back meanwhile."""
        ring = self._ring
        offset = ring.layout.slot_offset(number)
        found, _, first_sample_index, n_samples, has_status, *anchor, _, latency_ns = SLOT_WORDS.unpack_from(
            ring.segment.buffer, offset
        )
        if found != number + 1:
            return None
        codes = ring.codes(number, n_samples).copy()
        status = ring.sensor_status(number, n_samples).copy() if has_status else None
        # The number goes first when a slot is rewritten: if it stands, so does what was read behind it.
        if self._words[offset // WORD + SlotWord.NUMBER] != found:
            return None
        return Block(number, first_sample_index, codes, self.anchor(anchor), status, latency_ns=latency_ns)

    def anchor(self, words: list[int]) -> Anchor:
        """The same object as long as it is the same anchor."""
        if words != self._anchor_words:
            self._anchor_words = words
            self._anchor = Anchor(*words)
        return self._anchor
