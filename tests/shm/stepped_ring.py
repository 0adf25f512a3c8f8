"""A real ring in which something else can happen between any two accesses to its shared words."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtopipe.core.ledger import Stall
from dtopipe.model.clock import Anchor
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Block
from dtopipe.shm.layout import Layout
from dtopipe.shm.ring import Ring
from dtopipe.shm.segment import new_name, unlink
from dtopipe.shm.writer import RingWriter

ANCHOR = Anchor(0, 1_000, 2_000)


class Killed(BaseException):
    """The process would be gone here."""


class SteppedWords:
    """Shared words that count every access, and let somebody else come before the n-th."""

    def __init__(self, words: memoryview) -> None:
        self._words = words
        self._left = -1
        self._then: Callable[[], Any] = list
        self.came = False
        self.answer: Any = None

    @contextlib.contextmanager
    def interrupted(self, after: int, then: Callable[..., Any], *arguments: Any) -> Iterator[None]:
        """Call `then(*arguments)` before the access that follows `after` others, if there are so many.

        Afterwards `came` tells if it was called, and `answer` what it returned.
        """
        self.answer = None
        self._left, self._then = after, partial(then, *arguments)
        try:
            yield
        finally:
            self.came, self._left = self._left < 0, -1

    def step(self) -> None:
        """One access."""
        if self._left < 0:
            return
        self._left -= 1
        if self._left < 0:
            self.answer = self._then()

    def __getitem__(self, at: Any) -> Any:
        self.step()
        return self._words[at]

    def __setitem__(self, at: int, value: int) -> None:
        self.step()
        self._words[at] = value

    def release(self) -> None:
        self._words.release()


class SteppedRing(Ring):
    """A ring with stepped words; a look at a slot's payload counts as an access too."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.steps = SteppedWords(self.words)
        self.words = self.steps  # type: ignore[assignment]

    def codes(self, number: int, n_samples: int) -> NDArray[Any]:
        self.steps.step()
        return super().codes(number, n_samples)


def make_ring(n_slots: int = 4, n_channels: int = 2, samples_per_block: int = 3, dtype: str = "int16") -> SteppedRing:
    """A ring whose name is gone already: it lives as long as its mapping."""
    name = new_name()
    ring = SteppedRing.create(name, Layout(n_slots, n_channels, samples_per_block, dtype))
    unlink(name)
    assert isinstance(ring, SteppedRing)
    return ring


@contextlib.contextmanager
def ring_of(*shape: Any) -> Iterator[SteppedRing]:
    """A ring for one scene."""
    ring = make_ring(*shape)
    try:
        yield ring
    finally:
        ring.close()


def codes_at(first_sample_index: int, n_samples: int, n_channels: int = 2) -> NDArray[np.int16]:
    """The code of channel `c` at sample `i`, as the simulated counter has it."""
    i = np.arange(first_sample_index, first_sample_index + n_samples)
    c = np.arange(n_channels)[:, np.newaxis]
    return (((i * (2 * c + 1) + 257 * c) % 65536) - 32768).astype(np.int16)


def assert_true(block: Block) -> None:
    """The block holds what belongs to its indices."""
    expected = codes_at(block.first_sample_index, block.n_samples, block.codes.shape[0])
    assert np.array_equal(block.codes, expected)


class Feed:
    """A board that has a block whenever there is a slot."""

    def __init__(self, ring: Ring) -> None:
        self.ring = ring
        self.writer = RingWriter(ring)
        self.at = ring.end()[0]

    def publish(self, most: int = 1, n_samples: int | None = None) -> int:
        """At most so many blocks, full ones unless `n_samples` says otherwise; how many there was room for."""
        layout = self.ring.layout
        length = layout.samples_per_block if n_samples is None else n_samples
        for done in range(most):
            lease = self.writer.lease()
            if isinstance(lease, Stall):
                return done
            codes = codes_at(self.at, length, layout.n_channels)
            self.writer.publish(lease, self.at, codes, None, ANCHOR, 0)
            self.at += length
        return most

    def lose(self, n_samples: int) -> Gap:
        """The board loses samples."""
        gap = Gap(Span(self.at, self.at + n_samples), Cause.BOARD_OVERRUN, 0)
        self.writer.record_gap(gap)
        self.at += n_samples
        return gap
