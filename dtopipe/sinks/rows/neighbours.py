"""Small blocks joined to large ones, so that what is done once a batch costs little a block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dtopipe.model.readings import Readings
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block, Origin, joined_status


@dataclass(frozen=True, slots=True)
class Joined:
    """Blocks of one anchor that follow on each other without a gap, as the one block `samples`.

    `block_indices`, `block_lengths`: (n_blocks,) int64, of the blocks it came from; lengths in samples per channel.
    """

    samples: Block
    block_indices: NDArray[np.int64]
    block_lengths: NDArray[np.int64]

    @property
    def block_starts(self) -> NDArray[np.int64]:
        """(n_blocks,) int64: where in `samples` each block begins, from 0."""
        return np.cumsum(self.block_lengths) - self.block_lengths


def joined(items: Sequence[Block | Gap | Readings], most_bytes: int) -> Iterator[Joined]:
    """The blocks among `items` in order, neighbours joined up to about `most_bytes` of codes; empty ones left out."""
    held: list[Block] = []
    held_bytes = 0
    for item in items:
        if not isinstance(item, Block) or not item.n_samples:
            continue
        if held and not (_follows(item, held[-1]) and held_bytes + item.codes.nbytes <= most_bytes):
            yield _as_one(held)
            held, held_bytes = [], 0
        held.append(item)
        held_bytes += item.codes.nbytes
    if held:
        yield _as_one(held)


def _follows(block: Block, other: Block) -> bool:
    same_clock = block.first_sample_index == other.span.stop and block.anchor == other.anchor
    # Rows of a view follow on each other at equal distances only where none of them stands for less than the others.
    is_whole = block.step == other.step and (other.covers is None or other.covers == other.n_samples * other.step)
    return same_clock and is_whole and block.error == other.error


def _as_one(blocks: Sequence[Block]) -> Joined:
    samples = blocks[0]
    if len(blocks) > 1:
        samples = replace(
            samples,
            codes=np.concatenate([block.codes for block in blocks], axis=1),
            covers=None if samples.covers is None else blocks[-1].span.stop - samples.first_sample_index,
            sensor_status=joined_status(blocks),
            made_of=_origin(blocks),
        )
    return Joined(
        samples,
        np.array([block.block_index for block in blocks], np.int64),
        np.array([block.n_samples for block in blocks], np.int64),
    )


def _origin(blocks: Sequence[Block]) -> Origin | None:
    known = [block.made_of for block in blocks if block.made_of is not None]
    if len(known) < len(blocks) or any(each.channels is not known[0].channels for each in known):
        return None
    return Origin(known[0].channels, np.concatenate([each.codes for each in known], axis=1))
