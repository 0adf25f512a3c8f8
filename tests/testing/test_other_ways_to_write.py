"""The contract can be kept without the base of files that grow, by what it names besides; the suite says that it is."""

from __future__ import annotations

from snapshot_sink import SnapshotWriter

from dtopipe.testing import SinkConformance


class TestSnapshot(SinkConformance):
    writer = SnapshotWriter
    # Each death costs a document.
    most_deaths = 40
