"""Outputs that would meet each other or the run's own files, and places that cannot be written to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path, PurePath

from dtopipe.host.file_names import trouble_of_name
from dtopipe.host.plain_file import FILES_ONLY, NO_LINKS, led_elsewhere, not_a_file
from dtopipe.host.recorded_path import COMMIT_RECORD, OWN_FILES
from dtopipe.model.plan import SinkPlan
from dtopipe.model.policy import OnExists
from dtopipe.sinks.parts.names import part_number, parts_there
from dtopipe.sinks.registry import known_sink_type

Found = Iterator[tuple[str, str, str]]

_OWN_PATH = "give each sink a path of its own"


def check_outputs(sinks: Sequence[SinkPlan], run_root: Path) -> Found:
    """Every problem (key, what, remedy) with where these sinks write and where runs are kept."""
    outputs = {sink.name: sink for sink in sinks if sink.path is not None}
    places = {name: _identity(Path(str(sink.path)), run_root) for name, sink in outputs.items()}
    for name, sink in outputs.items():
        path = Path(str(sink.path))
        if trouble := trouble_of_name(str(sink.path)):
            yield f"sinks.{name}.path", trouble, "choose another name"
            continue
        try:
            checked = _absolute(sink, path) if path.is_absolute() else _in_run_folder(str(sink.path), places[name])
            yield from [(f"sinks.{name}.path", *problem) for problem in checked]
        except OSError as error:
            yield f"sinks.{name}.path", f"{path} cannot be written to: {error.strerror}", "choose another path"
    for first, second in combinations(outputs, 2):
        what = _clash(outputs[first], places[first], outputs[second], places[second])
        if what:
            yield f"sinks.{second}.path", what, _OWN_PATH
    yield from _run_folder(run_root)


def _clash(first: SinkPlan, its: PurePath, second: SinkPlan, other: PurePath) -> str:
    if its == other or _same_file(first, second) or _is_part(first, its, other) or _is_part(second, other, its):
        return f"sink {first.name} writes to {first.path} too"
    if other in _beside(first, its):
        return f"{second.path} belongs to the output of sink {first.name}"
    if its in _beside(second, other):
        return f"{first.path}, the output of sink {first.name}, belongs to this one"
    if its in other.parents:
        return f"{first.path} is a file of sink {first.name}, and no folder"
    if other in its.parents:
        return f"sink {first.name} needs a folder of this name, for {first.path}"
    return ""


def _is_part(sink: SinkPlan, path: PurePath, other: PurePath) -> bool:
    """True if the other path is what one of the sink's parts is called."""
    return sink.split is not None and other.parent == path.parent and part_number(path.name, other.name) is not None


def _beside(sink: SinkPlan, path: PurePath) -> list[PurePath]:
    return [path.parent / (path.name + ending) for ending in (COMMIT_RECORD, *known_sink_type(sink.type).companions)]


def _same_file(first: SinkPlan, second: SinkPlan) -> bool:
    """True for two names (hard links) of a file that is there."""
    try:
        return Path(str(first.path)).is_absolute() and Path(str(first.path)).samefile(str(second.path))
    except OSError:
        return False


def _in_run_folder(text: str, path: PurePath) -> Iterator[tuple[str, str]]:
    top = path.parts[0] if path.parts else ""
    if top.startswith("~"):
        # It would have been replaced by the folder, if there were one.
        yield f"{text}: there is no home folder for {top}", "set HOME, or write the whole path"
        return
    if top == "..":
        yield f"{text} leads out of the run folder", "write an absolute path, or one without .."
    elif not top or text.endswith(("/", os.sep)):
        yield f"{text} is a folder", "name a file in it"
    elif top.casefold() in OWN_FILES:
        yield f"{top} in the run folder is written by the run itself", "choose another name"
    elif path.name.endswith(COMMIT_RECORD):
        yield f"a name that ends in {COMMIT_RECORD} is a commit record's", "choose another name"


def _absolute(sink: SinkPlan, path: Path) -> Iterator[tuple[str, str]]:
    if path.name.endswith(COMMIT_RECORD):
        yield f"a name that ends in {COMMIT_RECORD} is a commit record's", "choose another name"
    elif path.is_dir():
        yield f"{path} is a folder", "name a file in it"
    elif path.exists() and not path.is_file():
        yield not_a_file(path), FILES_ONLY
    elif not path.parent.is_dir():
        yield f"there is no folder {path.parent}", "make it, or choose another path"
    elif not os.access(path.parent, os.W_OK):
        yield f"the folder {path.parent} cannot be written to", "choose another path, or change its permissions"
    elif sink.split is not None and parts_there(path):
        first = next(iter(parts_there(path).values()))
        yield from _existing(sink, first) if first.exists() else ()
    elif path.exists():
        yield from _existing(sink, path)


def _existing(sink: SinkPlan, path: Path) -> Iterator[tuple[str, str]]:
    if sink.on_exists is OnExists.ERROR:
        yield f"{path} exists already", "move it away, or set on_exists: rename, overwrite or append"
    elif sink.on_exists is not OnExists.APPEND and led_elsewhere(path):
        yield led_elsewhere(path), NO_LINKS
    elif sink.on_exists is OnExists.APPEND and known_sink_type(sink.type).one_run_a_file:
        yield f"a {sink.type} file holds one run, and {path} exists already", "set on_exists: rename or overwrite"
    elif sink.on_exists is OnExists.APPEND and not os.access(path, os.W_OK):
        yield f"{path} cannot be written to", "change its permissions, or choose another path"


def _run_folder(root: Path) -> Found:
    there = existing_part(root)
    if named := next((part for part in root.parts if part.startswith("~")), ""):
        yield "run_dir", f"{root}: there is no home folder for {named}", "set HOME, or write the whole path"
    elif not there.is_dir():
        yield "run_dir", f"{there} is not a folder", "choose another place with --run-dir"
    elif not os.access(there, os.W_OK):
        yield "run_dir", f"{there} cannot be written to", "choose another place with --run-dir"


def existing_part(folder: Path) -> Path:
    """The folder, or the nearest above it that is there and can be seen."""
    while folder != folder.parent:
        try:
            folder.stat()
        except OSError:
            folder = folder.parent
        else:
            break
    return folder


def _identity(path: Path, run_root: Path) -> PurePath:
    """Equal for two spellings of one file; those of the run folder stay relative to it."""
    if path.is_absolute():
        path = path.resolve()
        ignored = _ignores_case(existing_part(path.parent))
    else:
        path = Path(os.path.normpath(path))
        ignored = _ignores_case(existing_part(run_root))
    return PurePath(str(path).casefold()) if ignored else PurePath(path)


def _ignores_case(folder: Path) -> bool:
    """True where capitals make no other file: asked of the folder itself, where its name has letters."""
    other = folder.with_name(folder.name.swapcase()) if folder.name else folder
    if other.name == folder.name:
        return sys.platform in ("win32", "darwin")
    try:
        return other.samefile(folder)
    except OSError:
        return False
