"""A disk in memory that forgets what was not synced, and what it holds after the power went.

    strict        exactly what was synced: of a file its bytes, of a folder its names
    ordered       like ext4 with data=ordered: names and truncations are one journal, which each sync commits whole, and
                  of which a beginning survives; a file grows from its beginning on; what was overwritten may be there
    adversarial   any sector as it was at any time since its file was synced, in any order; sizes anywhere between; of
                  each folder's names a beginning of what was done to them

A sync of a file says nothing about its name, but in `ordered`. A sector of 512 bytes is whole; a rename is atomic.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from forgetful_files import SECTOR_BYTES, Change, File, Folder, NameChange, load, put, resize

# What a file system writes back at a time, and by which its files grow on the disk.
PAGE_BYTES = 4096


class Mode(StrEnum):
    """What may be lost."""

    STRICT = "strict"
    ORDERED = "ordered"
    ADVERSARIAL = "adversarial"


class Disk:
    """Files and folders; every method but `survivors` is what a program asks of a file system. Raises OSError."""

    def __init__(self, mode: Mode, seed: int) -> None:
        self.mode = mode
        self.root = Folder(0o755)
        self._dice = random.Random(seed)
        self._moment = 0
        # Up to when the journal is on the disk.
        self._journal = 0
        self._names: list[NameChange] = []

    def load(self, source: Path) -> None:
        """Begin with what is in this folder, as on the disk."""
        load(self.root, source)

    def find(self, path: str) -> File | Folder:
        """What has this path."""
        node: File | Folder = self.root
        for name in path.split("/"):
            if name:
                if isinstance(node, File):
                    raise NotADirectoryError(20, path)
                if name not in node.live:
                    raise FileNotFoundError(2, path)
                node = node.live[name]
        return node

    def add(self, path: str, node: File | Folder) -> None:
        """A new file or folder under this path."""
        folder, name = self._place(path)
        if name in folder.live:
            raise FileExistsError(17, path)
        self._name(((folder, name, node),))

    def remove(self, path: str) -> None:
        """The name goes; who has the file open keeps it."""
        folder, name = self._place(path)
        node = self.find(path)
        if isinstance(node, Folder) and node.live:
            raise OSError(39, "the folder is not empty", path)
        self._name(((folder, name, None),))

    def rename(self, old: str, new: str) -> None:
        """In place of what has the new name."""
        node = self.find(old)
        there, name = self._place(old)
        folder, new_name = self._place(new)
        if folder.live.get(new_name) is not node:
            self._name(((folder, new_name, node), (there, name, None)))

    def write(self, file: File, at: int, data: bytes) -> None:
        """Put these bytes there; what lies between the end and `at` is zeros."""
        file.change(self._next(), at, data, max(len(file.live), at + len(data)))

    def resize(self, file: File, size: int) -> None:
        """Cut it, or append zeros."""
        if size != len(file.live):
            file.change(self._next(), 0, None, size)

    def sync_file(self, file: File) -> None:
        """Its bytes are on the disk; in `ordered` every name too."""
        file.sync()
        self._commit_journal()

    def sync_folder(self, folder: Folder) -> None:
        """Its names are on the disk."""
        self._commit_journal()
        self._settle([change for change in self._names if any(folder is there for there, _, _ in change.entries)])

    def survivors(self, folder: Folder | None = None) -> Iterator[tuple[str, int, bytes | None]]:
        """The power goes: what is on the disk, as path, permissions, and bytes (None: a folder). Ends the disk."""
        if folder is None:
            self._lose_names()
            folder = self.root
        for name, node in sorted(folder.synced.items()):
            if isinstance(node, Folder):
                yield name, node.permissions, None
                for below, permissions, content in self.survivors(node):
                    yield f"{name}/{below}", permissions, content
            else:
                yield name, node.permissions, self._surviving(node)

    def _next(self) -> int:
        self._moment += 1
        return self._moment

    def _place(self, path: str) -> tuple[Folder, str]:
        parent, _, name = path.rpartition("/")
        folder = self.find(parent)
        if isinstance(folder, File):
            raise NotADirectoryError(20, path)
        return folder, name

    def _name(self, entries: tuple[tuple[Folder, str, File | Folder | None], ...]) -> None:
        for folder, name, node in entries:
            put(folder.live, name, node)
        self._names.append(NameChange(self._next(), entries))

    def _settle(self, changes: list[NameChange]) -> None:
        for change in changes:
            change.apply()
        self._names = [change for change in self._names if change not in changes]

    def _commit_journal(self) -> None:
        if self.mode is Mode.ORDERED:
            self._journal = self._moment
            self._settle(self._names)

    def _lose_names(self) -> None:
        """What was not synced may be there, as far as the mode allows it."""
        if self.mode is Mode.ORDERED:
            self._journal = self._dice.choice((self._journal, self._moment, self._between(self._journal, self._moment)))
            self._settle([change for change in self._names if change.moment <= self._journal])
        elif self.mode is Mode.ADVERSARIAL:
            folders = {id(folder): folder for change in self._names for folder, _, _ in change.entries}
            for folder in folders.values():
                own = [change for change in self._names if any(folder is there for there, _, _ in change.entries)]
                self._settle(own[: self._dice.choice((0, len(own), self._between(0, len(own))))])

    def _surviving(self, file: File) -> bytes:
        """What the disk holds of a file."""
        changes = file.changes
        if self.mode is Mode.STRICT or not changes:
            return bytes(file.synced)
        if self.mode is Mode.ORDERED:
            return self._surviving_in_order(file.synced, changes)
        sizes = [len(file.synced), *(change.size_after for change in changes)]
        size = self._dice.choice((sizes[0], sizes[-1], self._between(min(sizes), max(sizes))))
        return self._written_back(file.synced, changes, size, {})

    def _surviving_in_order(self, synced: bytearray, changes: list[Change]) -> bytes:
        lost = next((n for n, change in enumerate(changes) if change.shrinks and change.moment > self._journal), None)
        changes = changes[:lost]
        first = max((n + 1 for n, change in enumerate(changes) if change.shrinks), default=0)
        size = base = changes[first - 1].size_after if first else len(synced)
        grown = [(n, change.size_after) for n, change in enumerate(changes[first:], first) if change.size_after > base]
        # What was allocated after the journal's end is not reachable.
        grown = [(n, reached) for n, reached in grown if changes[n].moment <= self._journal]
        if grown and (how := self._dice.choice(("not yet", "all", "some"))) != "not yet":
            _, size = grown[-1] if how == "all" else self._dice.choice(grown)
            if how == "some" and self._dice.random() < 0.5:
                size = max(base, size // PAGE_BYTES * PAGE_BYTES)
        # Data go before the size that shows them.
        least = {}
        if size > base:
            written = grown[bisect_left(grown, size, key=lambda growth: growth[1])][0] + 1
            least = dict.fromkeys(range(base // SECTOR_BYTES, -(-size // SECTOR_BYTES)), written)
        return self._written_back(synced, changes, size, least)

    def _written_back(self, synced: bytearray, changes: list[Change], size: int, least: dict[int, int]) -> bytes:
        """Each sector as it was after some number of the changes, chosen by itself, but at least `least[sector]`."""
        live, disk = bytearray(synced), bytearray(synced)
        newest = self._dice.choice((0.0, 0.3, 0.7, 1.0))
        seen_until: dict[int, int] = {}
        for number, change in enumerate(changes):
            change.apply(live)
            for sector in change.sectors():
                if sector not in seen_until:
                    is_newest = self._dice.random() < newest
                    until = len(changes) if is_newest else self._dice.choice((0, self._between(0, len(changes))))
                    seen_until[sector] = max(until, least.get(sector, 0))
                if number < seen_until[sector]:
                    start = sector * SECTOR_BYTES
                    now = bytes(live[start : start + SECTOR_BYTES]).ljust(SECTOR_BYTES, b"\0")
                    if len(disk) < start + SECTOR_BYTES:
                        resize(disk, start + SECTOR_BYTES)
                    disk[start : start + SECTOR_BYTES] = now
        resize(disk, size)
        return bytes(disk)

    def _between(self, least: int, most: int) -> int:
        return self._dice.randint(least, most)
