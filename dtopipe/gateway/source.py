"""What is served: a run in progress, or one that has ended."""

from __future__ import annotations

from typing import Protocol

from dtopipe.model.clock import Anchor
from dtopipe.model.errors import DtopipeError
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block, Stream

LATEST, EARLIEST = "latest", "earliest"


class NotAvailable(DtopipeError):
    """A reader cannot start where it was to start."""


class Reader(Protocol):
    """One remote's place in the run. One thread uses it."""

    @property
    def is_at_end(self) -> bool:
        """True once everything up to the end of the run was taken."""

    def take(self, most: int) -> list[Block | Gap]:
        """It gives up to about `most` items, in order, each sample once; empty where there are none yet."""

    def close(self) -> None:
        """Close files. A disk that is away is no reason to fail."""


class ServedSource(Protocol):
    """A run, as a gateway serves it."""

    stream: Stream
    # The end sample index, once the run has ended and nothing is added to it any more.
    end: int | None
    # True where its oldest samples may be deleted, but for those that somebody is known to need.
    retires: bool

    @property
    def has_begun(self) -> bool:
        """True once the board was started, so that times are known."""

    def anchor(self) -> Anchor:
        """The anchor of the present epoch."""

    def oldest(self, *, drops: bool) -> int:
        """The first sample that can be had; who drops is given nothing from a disk."""

    def newest(self) -> int:
        """Exclusive: up to where there are samples now."""

    def reader(self, at: int, *, drops: bool) -> Reader:
        """A reader from this sample on; what is not there any more is a gap."""


def first_sample(source: ServedSource, since: str | int, *, drops: bool) -> int:
    """Where a reader starts that asks for `latest`, `earliest` or a sample index. Raises NotAvailable."""
    if since == LATEST:
        return source.newest()
    oldest = source.oldest(drops=drops)
    if isinstance(since, str):
        return oldest
    if since < oldest:
        raise NotAvailable(f"sample {since} is gone: the oldest that is available is {oldest}")
    newest = source.newest()
    if since > newest:
        raise NotAvailable(f"sample {since} is not there yet: the newest is {newest - 1}")
    return since
