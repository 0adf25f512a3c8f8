"""The run folder: where a run's record and outputs are."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dtopipe.host.closed import closed, is_closed
from dtopipe.host.disk_names import make_folders, sync_names
from dtopipe.host.durability import sync_bytes
from dtopipe.host.foreign_record import is_foreign_record
from dtopipe.host.known_runs import known_runs
from dtopipe.host.plain_file import not_a_file
from dtopipe.host.recorded_path import ensure_own_files
from dtopipe.host.run_lock import read_mark, run_lock_is_held
from dtopipe.host.run_record import read_run_record
from dtopipe.host.runtime import RuntimeEntry, entries, entry_at
from dtopipe.host.runtime_folder import runtime_trouble
from dtopipe.host.system_errors import patiently, replace_file
from dtopipe.model.errors import UsageError
from dtopipe.model.identifiers import is_file_name
from dtopipe.model.shown import json_text

_LATEST = "latest"
# Where runs are kept unless somebody names another place.
DEFAULT_ROOT = Path("runs")
_LOG_END_BYTES = 16_384


class RunFolder:
    """`<run_dir>/<name>/<UTC start>/`.

    `outside`: the user has said that it is a run of their own, whose outputs may lie outside of it.
    """

    def __init__(self, path: Path, *, outside: bool = False) -> None:
        self.path = path
        self.outside = outside

    @classmethod
    def create(cls, root: Path, name: str, started: datetime) -> RunFolder:
        """Make the folder of a run that starts now; a second one in the same second ends in `-2`. Raises UsageError."""
        stamp = f"{started.astimezone(UTC):%Y%m%dT%H%M%SZ}"
        number = 1
        while True:
            path = root / name / (stamp if number == 1 else f"{stamp}-{number}")
            try:
                make_folders(path.parent)
                with contextlib.suppress(FileExistsError):
                    path.mkdir()
                    sync_names(path.parent)
                    make_folders(path / "logs")
                    return cls(path)
            except OSError as error:
                raise UsageError(
                    f"the run folder {path} cannot be made: {error.strerror}",
                    "choose another place with --run-dir or run_dir: in the topology",
                ) from error
            number += 1

    @property
    def record_path(self) -> Path:
        """`run.json`."""
        return self.path / "run.json"

    def write_topology(self, document: Mapping[str, Any]) -> None:
        """Replace `topology.yaml`: the topology as it runs."""
        # Who reads a folder needs none of it.
        import yaml

        text = yaml.safe_dump(dict(document), allow_unicode=True, sort_keys=False)
        replace_text(self.path / "topology.yaml", text)

    def read_record(self) -> dict[str, Any]:
        """What `run.json` says, every value of the type and in the range that a run's has. Raises UsageError."""
        ensure_own_files(self.path)
        return read_run_record(self.record_path)

    def entry(self) -> RuntimeEntry | None:
        """The runtime entry of a run that is in progress, or was killed and not cleared yet, in any session."""
        mark = read_mark(self.path)
        told = None if mark is None else entry_at(Path(mark.entry))
        for entry in (*entries(), *([] if told is None else [told])):
            facts = entry.read()
            if facts and _is_same(Path(facts.run_folder), self.path.absolute()):
                return entry
        return None

    def log_path(self, process: str) -> Path:
        """The log of one process."""
        return self.path / "logs" / f"{process}.log"

    def last_log_lines(self, process: str, most: int) -> list[str]:
        """The end of a process's log; empty where it cannot be read."""
        try:
            with self.log_path(process).open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_END_BYTES))
                return log.read().decode(errors="replace").splitlines()[-most:]
        except OSError:
            return []

    def become_latest(self) -> None:
        """Name this run in `latest`, beside it; a folder or a pipe of that name is somebody else's, and stays."""
        latest = self.path.parent / _LATEST
        if not not_a_file(latest):
            replace_text(latest, self.path.name + "\n")

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Replace `run.json` atomically."""
        replace_text(self.record_path, json_text(record, indent=2) + "\n")

    def remove(self) -> None:
        """Take back a folder of a run that never started, and its parent if that is empty then."""
        shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.path.parent.rmdir()


def find_run(wanted: str | None, root: Path, *, outside: bool = False) -> RunFolder:
    """The run that RUN names: a folder, `name`, `name/<start>`, `name/latest`; without it, the only one in progress.

    `root` is where runs are kept; `outside` as of the folder. Raises UsageError, with what there is; also for a name of
    two runs in progress, unless `root` is a place that somebody chose: nobody can know which is meant.
    """
    if wanted is None:
        return _only_run_in_progress()
    try:
        folder = _run_of(wanted, root, outside=outside)
        if root == DEFAULT_ROOT and (others := _others_in_progress(wanted, root, folder)) and _is_held(folder.path):
            _only_one(wanted, [folder.path, *others])
        return folder
    except PermissionError as error:
        raise closed(Path(error.filename)) from error


def _run_of(wanted: str, root: Path, *, outside: bool) -> RunFolder:
    folder = through_latest(Path(wanted))
    if folder.is_file() and folder.name == "run.json":
        folder = folder.parent
    if (folder / "run.json").is_file():
        return RunFolder(folder.absolute(), outside=outside)
    name, _, start = wanted.replace("\\", "/").rstrip("/").partition("/")
    if start in ("", _LATEST):
        start = _latest_of(root / name)
        if not start and (elsewhere := _in_progress_of(name)):
            return RunFolder(_only_one(wanted, elsewhere), outside=outside)
    if start and (root / name / start / "run.json").is_file():
        return RunFolder((root / name / start).absolute(), outside=outside)
    # As `dtopipe runs` lists them.
    if start and (elsewhere := [path for path in _in_progress_of(name) if path.name == start]):
        return RunFolder(_only_one(wanted, elsewhere), outside=outside)
    if folder.is_file():
        run = next((str(above) for above in folder.parents if (above / "run.json").is_file()), "")
        raise UsageError(f"{wanted!r} is a file, and no run", f"the run that it belongs to: {run}" if run else "")
    for place in (root, root / name, *(root / name).glob("*/")):
        ensure_readable(place)
    known = ", ".join(sorted({folder.path.parent.name for folder in runs_in(root)})) or "none"
    raise UsageError(f"there is no run {wanted!r}", f"runs in {root}: {known}; --run-dir names another place")


def ensure_readable(root: Path) -> None:
    """Raises UsageError if somebody keeps this user from what is there."""
    if is_closed(root):
        raise closed(root)


def through_latest(path: Path) -> Path:
    """The same path with the newest run's folder for a part `latest`, which is a text file that names it."""
    for above in (path, *path.parents):
        if above.name == _LATEST and above.is_file():
            start = _latest_of(above.parent)
            return above.with_name(start) / path.relative_to(above) if start else path
    return path


def runs_in(root: Path) -> Iterator[RunFolder]:
    """Every run below `root`, oldest first within a name; what other programs keep there is passed over."""
    for record in sorted(root.glob("*/*/run.json")):
        if not is_foreign_record(record):
            yield RunFolder(record.parent.absolute())


def runs_in_progress() -> Iterator[RunFolder]:
    """Every run of this user that has its supervisor, wherever it is kept, and in whatever session it was started."""
    seen = set()
    for entry in entries():
        facts = entry.read()
        if facts and entry.supervisor_is_alive():
            seen.add(Path(facts.run_folder))
            yield RunFolder(Path(facts.run_folder))
    for path in known_runs():
        # One whose entry was taken away with the session that it was in.
        with contextlib.suppress(OSError):
            if path not in seen and (path / "run.json").is_file() and run_lock_is_held(path):
                yield RunFolder(path)


def find_living_run(wanted: str | None, root: Path) -> RunFolder:
    """The same for who wants to speak with it. Raises UsageError also if a name fits an ended run and one elsewhere.

    The ended one below `root` is hardly meant while another of its name is in progress, but nobody can know.
    """
    folder = find_run(wanted, root)
    others = _others_in_progress(wanted or "", root, folder)
    if others and folder.read_record().get("verdict") is not None:
        return RunFolder(_only_one(str(wanted), [folder.path, *others]))
    return folder


def _others_in_progress(wanted: str, root: Path, folder: RunFolder) -> list[Path]:
    """Runs that the name `folder` was found by fits as well."""
    name, _, start = wanted.replace("\\", "/").rstrip("/").partition("/")
    if folder.path != (root / name / folder.path.name).absolute():
        return []
    found = (path for path in _in_progress_of(name) if start in ("", _LATEST, path.name))
    return [path for path in found if not _is_same(path, folder.path)]


def _is_held(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        return run_lock_is_held(folder)
    return False


def _only_one(wanted: str, found: Sequence[Path]) -> Path:
    if len(found) > 1:
        raise UsageError(f"{wanted!r} fits {len(found)} runs: name one by its path", _each_on_its_line(found))
    return found[0]


def _only_run_in_progress() -> RunFolder:
    found = list(runs_in_progress())
    if len(found) == 1:
        return found[0]
    if not found:
        # With a folder that is not looked into, that is no more than what is seen.
        trouble = runtime_trouble()
        name_one = "name one: a run folder, NAME, NAME/START or NAME/latest"
        raise UsageError("no run is in progress", name_one + (f"\n{trouble}" if trouble else ""))
    paths = _each_on_its_line(folder.path for folder in found)
    raise UsageError(f"{len(found)} runs are in progress: name one by its path", paths)


def _each_on_its_line(paths: Iterable[Path]) -> str:
    return "\n    ".join(map(str, paths))


def _is_same(one: Path, other: Path) -> bool:
    """True for one folder, also if it was reached in two ways."""
    if one == other:
        return True
    with contextlib.suppress(OSError):
        return one.samefile(other)
    return False


def _latest_of(folder: Path) -> str:
    """The newest run of a name; by its folder's name where `latest` is not there or not right."""
    with contextlib.suppress(OSError):
        latest = folder / _LATEST
        named = patiently(lambda: latest.read_text(encoding="utf-8")).strip() if latest.is_file() else ""
        if is_file_name(named) and (folder / named / "run.json").is_file():
            return named
    records = [record for record in folder.glob("*/run.json") if not is_foreign_record(record)]
    return max((record.parent.name for record in records), default="")


def _in_progress_of(name: str) -> list[Path]:
    return [folder.path for folder in runs_in_progress() if folder.path.parent.name == name]


def replace_text(path: Path, text: str) -> None:
    """Replace a file by one with this text: readers, and whoever looks after a power cut, see the old or the new one.

    Once this returns, it is the new one. Raises OSError.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    # What is there under this name is not ours, and may lead anywhere.
    draft.unlink(missing_ok=True)
    try:
        with draft.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            sync_bytes(file.fileno())
    except OSError:
        # What a full disk has cut off would take the room of those who wait for it.
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
    replace_file(draft, path)
    sync_names(path.parent)
