"""The texts of a file, each stored once, in global heaps."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from dtopipe.sinks.hdf5.columns import TEXT
from dtopipe.sinks.hdf5.structures import heap_collection

# An object's number has two bytes.
_MOST_OF_A_HEAP = 2**15
# Texts that are all different, such as messages of errors, are not kept for ever.
_MOST_KNOWN = 2**16
_NOTHING = (0, 0, 0)


class TextHeap:
    """Where each text is that was stored."""

    def __init__(self, place: Callable[[bytes], int]) -> None:
        self._place = place
        self._known: dict[str, tuple[int, int, int]] = {}

    def references(self, texts: Sequence[str | None]) -> NDArray[np.void]:
        """(n,) of TEXT; a text that is null is an empty one."""
        if len(self._known) > _MOST_KNOWN:
            self._known.clear()
        new = list(dict.fromkeys(text for text in texts if text and text not in self._known))
        for at in range(0, len(new), _MOST_OF_A_HEAP):
            part = new[at : at + _MOST_OF_A_HEAP]
            encoded = [text.encode(errors="replace") for text in part]
            heap = self._place(heap_collection(encoded))
            for number, (text, words) in enumerate(zip(part, encoded, strict=True), start=1):
                self._known[text] = len(words), heap, number
        found = np.zeros(len(texts), TEXT)
        found[:] = [self._known[text] if text else _NOTHING for text in texts]
        return found

    def reference(self, text: str) -> bytes:
        """The reference to one text, as an attribute has it."""
        (found,) = self.references([text])
        return struct.pack("<IQI", *found.tolist())

    def forget_behind(self, address: int) -> None:
        """What is stored there is no more."""
        self._known = {text: place for text, place in self._known.items() if place[1] < address}
