"""A file output written anew beside the old one, and put in its place in a way that a kill cannot spoil.

The new one is `stem.repair.ext`, with everything that belongs to it. Once it is whole, synced and looked at, a mark,
`stem.repair.ext.whole`, says so; then its files are moved over the old ones, and the mark goes last. Whoever finds the
mark completes the move; without it the new files are half written, and nobody's. An old one that held more than could
be read, or something else than the new one, is not replaced but moved aside: `stem.damaged.ext`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dtopipe.host.durability import sync_bytes
from dtopipe.host.plain_file import not_a_file
from dtopipe.host.system_errors import replace_file
from dtopipe.model.errors import SinkError
from dtopipe.model.sink_types import SinkType
from dtopipe.sinks.file.commit_record import SUFFIX, ensure_not_written
from dtopipe.sinks.file.errors import ensure_file, ensure_no_link, sink_errors, sync_folder
from dtopipe.wire.raw_files import segment_path, segments_of


@dataclass(frozen=True, slots=True)
class Replacement:
    """The output at `path`, which is of this type, and the new one that is to take its place."""

    path: Path
    kind: SinkType

    @property
    def new_path(self) -> Path:
        """Where it is written anew."""
        return self.path.with_name(f"{self.path.stem}.repair{self.path.suffix}")

    def ensure_replaceable(self) -> None:
        """Raises SinkError where a pipe, a device, a folder or a link is in the place of one of the output's files."""
        for each in self._files(self.path):
            ensure_file(each)
            ensure_no_link(each)

    def put_in_place(self, *, keep: bool) -> Path | None:
        """The new output, which is whole and synced, becomes the one at `path`. Raises SinkError.

        With `keep`, what was there is moved aside; returns where it is then.
        """
        new = self.new_path
        self.ensure_replaceable()
        aside = self._free_aside() if keep and self._files(self.path) else None
        with sink_errors(self.path):
            ensure_not_written(self.path)
            with self._draft.open("w", encoding="utf-8") as file:
                endings = [each.name[len(new.stem) :] for each in self._files(new)]
                json.dump({"endings": endings, "aside": None if aside is None else aside.stem}, file)
                file.flush()
                sync_bytes(file.fileno())
            replace_file(self._draft, self._mark)
        sync_folder(self.path)
        self.complete()
        # Of an output that was gone its record alone was there.
        is_kept = aside is not None and any(not each.name.endswith(SUFFIX) for each in self._files(aside))
        return aside if is_kept else None

    def complete(self) -> None:
        """Finish a move that was interrupted, or clear away what was never whole. Raises SinkError."""
        with sink_errors(self.path):
            if self._mark.exists():
                self._move(*self._marked())
                sync_folder(self.path)
                self._mark.unlink()
            else:
                self.discard()

    def discard(self) -> None:
        """Clear away what was written anew and is not whole. Raises OSError."""
        for file in (*self._files(self.new_path), self._draft):
            if not not_a_file(file):
                file.unlink(missing_ok=True)

    def _marked(self) -> tuple[list[str], str | None]:
        """The endings of the new files, and the stem of what is moved aside. Raises SinkError on another mark."""
        path = self.path
        known = [re.escape(ending) for ending in ("", *self._companions)]
        ending = re.compile(rf"(\.\d{{4,}})?{re.escape(path.suffix)}|{re.escape(path.suffix)}({'|'.join(known)})")
        stem = re.compile(rf"{re.escape(path.stem)}\.damaged(\.\d+)?")
        try:
            document: Any = json.loads(self._mark.read_text(encoding="utf-8"))
            # As earlier versions wrote it.
            endings = document if isinstance(document, list) else document["endings"]
            aside = None if isinstance(document, list) else document["aside"]
            if all(ending.fullmatch(each) for each in endings) and (aside is None or stem.fullmatch(aside)):
                return list(endings), aside
        except (ValueError, LookupError, TypeError, RecursionError):
            pass
        raise SinkError(self._mark, "does not say which files are to be moved", "move it and what is beside it away")

    def _move(self, endings: Sequence[str], aside: str | None) -> None:
        new, path = self.new_path, self.path
        try:
            for ending in endings:
                file = new.with_name(new.stem + ending)
                # What is not there any more an earlier call has moved: then the one in its place is not the old one.
                if file.exists():
                    self._clear(path.with_name(path.stem + ending), aside)
                    replace_file(file, path.with_name(path.stem + ending))
            for file in self._files(path):
                if file.name[len(path.stem) :] not in endings:
                    self._clear(file, aside)
        except PermissionError as error:
            message = f"the repaired output is whole, but cannot take its place: {error.strerror}"
            raise SinkError(path, message, "close what has it open, and call repair again") from error

    def _clear(self, old: Path, aside: str | None) -> None:
        """Make room where an old file is: moved aside, where that is wanted."""
        if not old.exists():
            return
        ensure_file(old)
        ensure_no_link(old)
        if aside is None:
            old.unlink()
        else:
            replace_file(old, self.path.with_name(aside + old.name[len(self.path.stem) :]))

    def _free_aside(self) -> Path:
        """The first of `stem.damaged.ext`, `stem.damaged.1.ext`, ... of which there is no file."""
        number = 0
        while True:
            stem = f"{self.path.stem}.damaged" + (f".{number}" if number else "")
            candidate = self.path.with_name(stem + self.path.suffix)
            if not self._files(candidate):
                return candidate
            number += 1

    def _files(self, path: Path) -> list[Path]:
        """Every file of an output of this type at `path`."""
        if not path.parent.is_dir():
            return []
        data = [segment_path(path, number) for number in sorted({0, *segments_of(path)})]
        beside = [path.with_name(path.name + ending) for ending in self._companions]
        return [file for file in (*data, *beside) if file.exists()]

    @property
    def _companions(self) -> tuple[str, ...]:
        return (SUFFIX, *self.kind.companions)

    @property
    def _mark(self) -> Path:
        return self.new_path.with_name(self.new_path.name + ".whole")

    @property
    def _draft(self) -> Path:
        """The mark while it is written."""
        return self.new_path.with_name(self.new_path.name + ".mark")
