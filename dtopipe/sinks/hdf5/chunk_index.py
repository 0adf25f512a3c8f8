"""Where the chunks of a dataset are: a B-tree that grows at its right edge, and is never written over.

A node that is full and whose children are so too stays as it is for ever; what is on the way from the last chunk to
the root is written anew by each footer. Such a node does not know its right neighbour, which is still to come: readers
go by the children, and the last footer of a complete file has all nodes anew, with their neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dtopipe.sinks.hdf5.structures import CHILDREN, CHUNK_KEY, UNDEFINED, tree_node

# (bytes in the file, first item, address)
Chunk = tuple[int, int, int]
Place = Callable[[bytes], int]


@dataclass(frozen=True, slots=True)
class IndexMark:
    """How far an index was: its chunks, and on each level the nodes that stay."""

    n_chunks: int = 0
    n_nodes: tuple[int, ...] = ()


class ChunkIndex:
    """The chunks of one dataset, by rising first item."""

    def __init__(self, chunk_items: int, item_bytes: int) -> None:
        self._chunk_items = chunk_items
        self._item_bytes = item_bytes
        # The first item behind the last chunk.
        self._end = 0
        self._chunks: list[Chunk] = []
        # On each level, from the leaves on, the nodes that stay: (bytes and first item of their first chunk, address).
        self._nodes: list[list[Chunk]] = []

    def add(self, n_bytes: int, first_item: int, address: int) -> None:
        """One more chunk."""
        self._chunks.append((n_bytes, first_item, address))

    @property
    def chunk_bytes(self) -> int:
        """The bytes of all its chunks."""
        return sum(chunk[0] for chunk in self._chunks)

    def mark(self) -> IndexMark:
        """How far it is."""
        return IndexMark(len(self._chunks), tuple(map(len, self._nodes)))

    def cut_back(self, mark: IndexMark) -> None:
        """Forget what came after `mark`."""
        del self._chunks[mark.n_chunks :]
        del self._nodes[len(mark.n_nodes) :]
        for nodes, n in zip(self._nodes, mark.n_nodes, strict=True):
            del nodes[n:]

    def write(self, place: Place, last: Chunk | None, *, complete: bool) -> int:
        """The address of the root, all nodes having been given to `place`, which says where each is put.

        `last`: one more chunk, which is no part of the index. `complete`: with all neighbours, nothing comes any more.
        """
        if not self._chunks and last is None:
            return UNDEFINED
        self._end = (last or self._chunks[-1])[1] + self._chunk_items
        if complete:
            return self._write_whole(place, [*self._chunks, *filter(None, [last])])
        final, passing, level = self._chunks, last, 0
        while True:
            if level == len(self._nodes):
                self._nodes.append([])
            nodes = self._nodes[level]
            while (len(nodes) + 1) * CHILDREN <= len(final):
                children = final[len(nodes) * CHILDREN : (len(nodes) + 1) * CHILDREN]
                left = nodes[-1][2] if nodes else UNDEFINED
                end = self._end_of(final, (len(nodes) + 1) * CHILDREN, passing)
                nodes.append((*children[0][:2], place(self._node(level, children, end, left, UNDEFINED))))
            rest = [*final[len(nodes) * CHILDREN :], *filter(None, [passing])]
            if not rest and len(nodes) == 1:
                return nodes[0][2]
            if rest:
                left = nodes[-1][2] if nodes else UNDEFINED
                address = place(self._node(level, rest, self._end, left, UNDEFINED))
                if not nodes:
                    return address
                passing = (*rest[0][:2], address)
            else:
                passing = None
            final, level = nodes, level + 1

    def _end_of(self, children: list[Chunk], number: int, passing: Chunk | None) -> int:
        """The first item behind the child before `number`, as far as it is known."""
        if number < len(children):
            return children[number][1]
        return self._end if passing is None else passing[1]

    def _node(self, level: int, children: list[Chunk], end: int, left: int, right: int) -> bytes:
        keys = np.zeros(len(children), CHUNK_KEY)
        keys["size"], keys["offset"], keys["child"] = zip(*children, strict=True)
        return tree_node(level, keys, end, self._item_bytes, left, right)

    def _write_whole(self, place: Place, chunks: list[Chunk]) -> int:
        """All nodes of a level stand one behind the other, so that each knows where its neighbours are."""
        children, level = chunks, 0
        while True:
            groups = [children[at : at + CHILDREN] for at in range(0, len(children), CHILDREN)]
            node_bytes = len(self._node(0, groups[0], 0, 0, 0))
            begin = place(b"")
            written: list[Chunk] = []
            for number, group in enumerate(groups):
                left = written[-1][2] if written else UNDEFINED
                is_last = number + 1 == len(groups)
                right = UNDEFINED if is_last else begin + (number + 1) * node_bytes
                end = self._end if is_last else groups[number + 1][0][1]
                written.append((*group[0][:2], place(self._node(level, group, end, left, right))))
            if len(written) == 1:
                return written[0][2]
            children, level = written, level + 1
