"""Files and folders that remember what of them was synced, and what was done since."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SECTOR_BYTES = 512
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Change:
    """What was done to a file's bytes since it was synced: `data` put at `at`, or the size set, where that is None."""

    moment: int
    at: int
    data: bytes | None
    size_before: int
    size_after: int

    @property
    def shrinks(self) -> bool:
        """True if bytes were taken away."""
        return self.size_after < self.size_before

    def sectors(self) -> range:
        """Those whose bytes it changes; what lies beyond the end of a file is zeros."""
        if self.data is not None:
            first, stop = min(self.at, self.size_before), self.at + len(self.data)
        else:
            first, stop = sorted((self.size_before, self.size_after))
        return range(first // SECTOR_BYTES, -(-stop // SECTOR_BYTES))

    def apply(self, content: bytearray) -> None:
        """Do it."""
        if self.data is None:
            resize(content, self.size_after)
        else:
            resize(content, max(len(content), self.at + len(self.data)))
            content[self.at : self.at + len(self.data)] = self.data


class File:
    """Its bytes as programs see them, as they were at the last sync, and what was done in between."""

    def __init__(self, permissions: int, content: bytes = b"") -> None:
        self.number = next(_numbers)
        self.permissions = permissions
        self.live = bytearray(content)
        self.synced = bytearray(content)
        self.changes: list[Change] = []

    def change(self, moment: int, at: int, data: bytes | None, size: int) -> None:
        """Put `data` at `at`, or set the size."""
        change = Change(moment, at, data, len(self.live), size)
        change.apply(self.live)
        self.changes.append(change)

    def sync(self) -> None:
        """All of it is on the disk."""
        for change in self.changes:
            change.apply(self.synced)
        self.changes.clear()


class Folder:
    """Its names as programs see them, and as they are on the disk."""

    def __init__(self, permissions: int) -> None:
        self.number = next(_numbers)
        self.permissions = permissions
        self.live: dict[str, File | Folder] = {}
        self.synced: dict[str, File | Folder] = {}


@dataclass(slots=True)
class NameChange:
    """Names that appear (with what they name) or go (None), all at once."""

    moment: int
    entries: tuple[tuple[Folder, str, File | Folder | None], ...]

    def apply(self) -> None:
        """On the disk."""
        for folder, name, node in self.entries:
            put(folder.synced, name, node)


def live_tree(folder: Folder) -> Iterator[tuple[str, int, bytes | None]]:
    """What programs see, as path, permissions, and bytes (None: a folder)."""
    for name, node in sorted(folder.live.items()):
        if isinstance(node, Folder):
            yield name, node.permissions, None
            for below, permissions, content in live_tree(node):
                yield f"{name}/{below}", permissions, content
        else:
            yield name, node.permissions, bytes(node.live)


def put_tree(tree: Iterator[tuple[str, int, bytes | None]], place: Path) -> None:
    """Make these files and folders below `place`."""
    place.mkdir(parents=True)
    for below, permissions, content in tree:
        path = place / below
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content)
            path.chmod(permissions)


def load(folder: Folder, source: Path) -> None:
    """What is in `source`, as on the disk."""
    for entry in os.scandir(source):
        permissions = entry.stat(follow_symlinks=False).st_mode & 0o7777
        node: File | Folder
        if entry.is_dir(follow_symlinks=False):
            node = Folder(permissions)
            load(node, Path(entry.path))
        elif entry.is_file(follow_symlinks=False):
            node = File(permissions, Path(entry.path).read_bytes())
        else:
            continue
        folder.live[entry.name] = folder.synced[entry.name] = node


def put(names: dict[str, File | Folder], name: str, node: File | Folder | None) -> None:
    """A name comes, or goes."""
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


def resize(content: bytearray, size: int) -> None:
    """Cut it, or append zeros."""
    if size < len(content):
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))
