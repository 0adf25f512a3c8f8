"""The process that makes the overview of one output: `python -m dtopipe.web.overview_process RUN_FOLDER SINK`.

Each line on stdout is a JSON object: `rows` so far `of` how many, or in the end `done`, or `error`. It ends where
nobody reads them any more. Whatever kills it leaves at most a draft behind, which is never taken for an overview.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dtopipe.host.disk_names import sync_names
from dtopipe.host.priority import let_others_go_first
from dtopipe.host.run_folder import RunFolder
from dtopipe.loading.samples import rows_of
from dtopipe.model.errors import DtopipeError, UsageError
from dtopipe.model.shown import json_text
from dtopipe.model.span import Span
from dtopipe.model.wanted import Wanted
from dtopipe.verify.outputs import Output, outputs_of
from dtopipe.web.overview import head_of
from dtopipe.web.overview_place import about_of, cache_folder, clear_cache, may_be_replaced, places_of
from dtopipe.web.overview_writer import OverviewWriter

Progress = Callable[[int, int], None]
_SAY_EVERY_S = 0.2
# A draft that nobody has written to for so long is of a process that was killed.
_ABANDONED_AFTER_S = 600.0
# Other things on the disk come first: a run that goes on, for one.
_LEFT_TIMES, _LEFT_BYTES = 4, 2**28


def main() -> int:
    """Make it, and say how far it is."""
    folder, sink = Path(sys.argv[1]), sys.argv[2]
    # The page that asks, and a run on this machine, are more urgent.
    let_others_go_first()
    said_s = 0.0

    def say(rows: int, of: int) -> None:
        nonlocal said_s
        if time.monotonic() - said_s > _SAY_EVERY_S:
            said_s = time.monotonic()
            _print({"rows": rows, "of": of})

    try:
        make_overview(folder, sink, say)
    except BrokenPipeError:
        return 1
    except Exception as error:  # a plug-in's reader may raise anything; the page says it
        _print({"error": error.headline if isinstance(error, DtopipeError) else f"{type(error).__name__}: {error}"})
        return 1
    _print({"done": True})
    return 0


def make_overview(folder: Path, sink: str, progress: Progress) -> Path:
    """Read the output of this sink once, and keep what is made of it. Raises what its reader raises, UsageError."""
    record = RunFolder(folder).read_record()
    output = next((output for output in outputs_of(RunFolder(folder), record) if output.name == sink), None)
    if output is None:
        raise UsageError(f"the run has no output {sink!r} that can be read")
    about = about_of(output, record)
    span = span_of(output, record)
    troubles = []
    for path in places_of(folder, sink):
        try:
            if not may_be_replaced(path):
                raise OSError(f"{path} is there, and no overview")
            if path.parent == cache_folder():
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return _make_at(path, output, about, span, progress)
        except BrokenPipeError:
            raise
        except OSError as error:
            troubles.append(f"{path.parent}: {error.strerror or error}")
    raise UsageError(f"there is no place for an overview: {'; '.join(troubles)}")


def span_of(output: Output, record: Mapping[str, Any]) -> Span:
    """The samples that the output may have rows of."""
    acquired = record["acquired"]
    stop = max(int(acquired["end_sample_index"]), output.reader().position().committed)
    return Span(min(int(acquired.get("first_sample_index") or 0), stop), stop)


def _make_at(path: Path, output: Output, about: Mapping[str, Any], span: Span, progress: Progress) -> Path:
    _clear_drafts(path)
    stream, reader = output.row_stream, output.reader()
    gaps = list(reader.gaps())
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    size = head_of(about, span, stream.every, len(gaps), len(stream.channels))[1].n_bytes
    free = shutil.disk_usage(path.parent).free
    if free < _LEFT_TIMES * size + _LEFT_BYTES:
        raise OSError(f"{size / 1e6:.0f} MB are too much for the {free / 1e6:.0f} MB that are free")
    n_expected = max(1, len(span) // stream.every)
    n_rows = 0
    try:
        with draft.open("x+b") as file:
            writer = OverviewWriter(file, about, span, stream.every, len(stream.channels), gaps)
            for rows in rows_of(reader, range(len(stream.channels)), Wanted()):
                writer.add(rows)
                n_rows += len(rows.sample_index)
                progress(n_rows if output.is_wide else n_rows // max(1, len(stream.channels)), n_expected)
            writer.finish()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        sync_names(path.parent)
    if path.parent == cache_folder():
        clear_cache(path)
    return path


def _clear_drafts(path: Path) -> None:
    with contextlib.suppress(OSError):
        for draft in list(path.parent.iterdir()):
            if draft.name.startswith(f"{path.name}.") and draft.name.endswith(".new"):
                seen = draft.lstat()
                if time.time() - seen.st_mtime > _ABANDONED_AFTER_S:
                    draft.unlink()


def _print(document: Mapping[str, Any]) -> None:
    sys.stdout.write(json_text(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
