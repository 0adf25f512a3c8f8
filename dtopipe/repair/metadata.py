"""The metadata of an ended run, changed afterwards: in its record at once, and in the databases that have its samples.

Files that are complete stay as they are: what was measured is not written again for a name. Whatever reads a run by its
folder, as `load`, `convert` and `repair` do, takes the metadata of the record.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dtopipe.core.metadata_changes import MetadataChanges, changed_metadata, metadata_of
from dtopipe.host.run_folder import RunFolder
from dtopipe.model.clock import iso_utc
from dtopipe.model.errors import DtopipeError, SinkError, UsageError
from dtopipe.model.facts import finite
from dtopipe.model.references import Reference, referred
from dtopipe.repair.exclusive import alone_with
from dtopipe.topology.recorded import recorded_options
from dtopipe.verify.outputs import Output, outputs_of

# As long as a repair may take, nobody waits; another change is over in an instant.
_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class ChangedRun:
    """`metadata`: as they are now. `told`: outputs that say so too; `untold`: why an output that could does not."""

    metadata: MetadataChanges
    told: tuple[str, ...] = ()
    untold: Mapping[str, str] = field(default_factory=dict)


def change_ended_run(folder: RunFolder, values: Mapping[str, Any], by: str) -> ChangedRun:
    """Give an ended run these metadata; values that it has already are told to its databases once more.

    Raises UsageError for metadata that none can have, and for a run that has no verdict; SinkError.
    """
    at = iso_utc(time.time_ns())
    try:
        with alone_with(folder, _PATIENCE_S):
            record = folder.read_record()
            if record.get("verdict") is None:
                raise UsageError(
                    f"the record of {folder.path} is not complete", f"complete it first: dtopipe repair {folder.path}"
                )
            after = changed_metadata(metadata_of(record), values, at, by)
            if len(after.changes) > len(metadata_of(record).changes):
                record |= {"metadata": dict(after.values), "metadata_changes": list(after.changes)}
                if record["stream"]:
                    known = record["stream"].get("metadata") or {}
                    record["stream"] = {**record["stream"], "metadata": finite({**known, **after.values})}
                folder.write_record(record)
            return _told(folder, record, after)
    except OSError as error:
        message = f"its record cannot be written: {error.strerror}"
        raise SinkError(folder.path, message, "free some space there, and type it again") from error


def _told(folder: RunFolder, record: Mapping[str, Any], after: MetadataChanges) -> ChangedRun:
    told: list[str] = []
    untold: dict[str, str] = {}
    for output in outputs_of(folder, record):
        changer = output.kind.metadata_changer
        if changer is None:
            continue
        try:
            _tell(output, changer, record["stream"]["metadata"])
            told.append(output.name)
        except DtopipeError as error:
            untold[output.name] = error.headline
    return ChangedRun(after, tuple(told), untold)


def _tell(output: Output, changer: Reference, metadata: Mapping[str, Any]) -> None:
    if output.not_opened:
        raise SinkError(None, f"it is not opened: it {output.not_opened}")
    options = {} if output.path is not None else recorded_options(output.topology, output.name, os.environ)
    referred(changer)(output.path, output.run_id, metadata, **options)
