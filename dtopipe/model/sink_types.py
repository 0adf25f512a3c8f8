"""What is known of a type of sink without importing it: one frozen description, of ours and of plug-ins' alike.

Each format's folder in `sinks/` defines its own, `sinks/registry.py` finds them, and no other module names a type. A
plug-in gives one by its entry point in `dtopipe.sinks`; where that names the writer's class alone, the defaults here
hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from dtopipe.model.references import Reference

# A problem with a topology: key, what is wrong, what to do.
Found = Iterator[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Column:
    """What is known of a channel: the key of its name, the name, and whether its codes are stored as they are."""

    key: str
    name: str
    is_raw: bool = False


def _no_problems(sink: str, columns: Sequence[Column], *, polled: bool) -> Found:
    return iter(())


@dataclass(frozen=True, slots=True)
class ColumnLimits:
    """What a row takes, where it has a column for each channel: in the wide layout, and in readings (`polled`).

    `most(columns, polled)`: how many channels; `why`: what takes no more, as in `SQLite takes a row of 2,000`.
    `name_problems(sink's name, columns, polled=...)`: every name that it cannot have.
    """

    why: str
    most: Callable[[Sequence[Column], bool], int]
    name_problems: Callable[..., Found] = _no_problems


@dataclass(frozen=True, slots=True)
class RowBytes:
    """About how long a row is: so much for itself, and so much for each value in it."""

    row: float
    value: float


@dataclass(frozen=True, slots=True)
class OutputSize:
    """About what an output grows by, measured on noise over the whole range of 16-bit codes with seven-letter names.

    An estimate that real signals stay below, by a quarter in text. `block`: bytes besides for each block.
    `holds_codes`: its values are codes as the board gives them, so that those of more bytes take more.
    """

    wide: RowBytes = RowBytes(0, 8)
    long: RowBytes = RowBytes(0, 8)
    readings: RowBytes = RowBytes(0, 8)
    block: float = 0
    holds_codes: bool = False


@dataclass(frozen=True, slots=True)
class ClosingCost:
    """What an output writes at its close.

    `of_waiting`: of every byte that waits beside the output, how many it needs in it; `in_any_case`: bytes besides.
    """

    of_waiting: float = 0.0
    in_any_case: int = 2**16


class Rollover(Enum):
    """What, now and then, is written besides commits, and is a moment to be killed at."""

    NONE = "none"
    # The file grows only then.
    ROW_GROUP = "row group"
    # With the option `segment`: the next file.
    SEGMENT = "segment"


@dataclass(frozen=True, slots=True)
class Server:
    """How a sink without a file reaches its server. Each is a function, `module:name`; `name` is the topology's.

    `completed(options, name)`: the options with what the topology gives them. `target(options, name)`: where that is,
    without credentials; raises SinkOptionError. `is_own(part, resolved)`: True if this part of a topology means a
    server here, or one that the environment names, so that nobody else chose it; `resolved(part)` puts variables in.
    `cutter(options, name)`: what ends every connection of ours there; None where nobody can. `password_variable`: the
    environment variable, as `${NAME}`, that stands for a password in records; `is_looked_for`: its clients look there
    by themselves. `place_key`: the option that tells two outputs on one server apart. `promise`: what a commit there is
    worth, for `dtopipe check`; empty where it is as durable as any.
    """

    completed: Reference
    target: Reference
    is_own: Reference
    password_variable: str
    cutter: Reference | None = None
    is_looked_for: bool = True
    place_key: str = "schema"
    promise: str = ""


@dataclass(frozen=True, slots=True)
class SinkType:
    """One type of sink. `Reference`s are `module:name`, imported when they are used.

    `name`: as topologies have it. `writer`, `reader`: the classes that `sinks/contract.py` describes; without `reader`
    it is the writer's attribute `Reader`. `options`: a pydantic model of the sink's own keys; without it, the writer's
    attribute `Options`, else the keyword arguments of the writer. `reader_takes_stream`: the reader has a keyword
    `stream` for what was recorded, by which an output whose own description is damaged can be read.

    `suffix`: what a file's name ends in unless its user says otherwise; `magic`: what each file of it begins with,
    where that tells it from others; `companions`: endings of the files beside it that belong to it, besides its commit
    record. `module`, `extra`: what has to be installed, and the extra that
    brings it.
    """

    name: str
    writer: Reference
    reader: Reference | None = None
    options: Reference | None = None
    reader_takes_stream: bool = False

    suffix: str = ""
    magic: bytes = b""
    companions: tuple[str, ...] = ()
    module: str = ""
    extra: str = ""
    # What people are told who want to look at an output, in words or as typed; {path}: the file, {python}: a Python
    # that has its extra.
    look: str = ""
    # None for a sink of files.
    server: Server | None = None

    # `.dt-raw` files: what a journal is, what replay plays, and what other outputs are compared with and refilled from.
    is_raw: bool = False
    # Lines: their reader is a `sinks.text.reader.TextReader`.
    is_text: bool = False
    # It is given the board's codes as they are, with what they mean, and no values made of them; so is what `is_raw`.
    takes_codes: bool = False
    has_layouts: bool = True
    takes_readings: bool = True
    # Its writer asks a block for the index of each of its rows (`Block.sample_index`), which in a view are not all.
    makes_views: bool = False
    # Its outputs are files that may be split into parts.
    splits: bool = False
    one_run_a_file: bool = False
    # Another file takes over where one has grown to its limit.
    goes_on_in_next_file: bool = False

    columns: ColumnLimits | None = None
    size: OutputSize = OutputSize()
    closing: ClosingCost = ClosingCost()
    # group_rows(options, polled): rows that its readers see at once, and wait for; None where each commit is seen.
    group_rows: Callable[[Mapping[str, Any], bool], int] | None = None
    rollover: Rollover = Rollover.NONE
    # most_rows(options): rows that the program shows which such an output is for; None: as many as there are.
    most_rows: Callable[[Mapping[str, Any]], int | None] | None = None

    # False for one that hands samples on, and has none that could be read back: what the run recorded of it stands.
    keeps_samples: bool = True
    # Each commit survives a power cut, without a sync.
    commits_are_durable: bool = False
    # Its tables say what is committed; a commit record beside them is lock and description.
    commits_in_output: bool = False
    # It is the same whether it was closed or not.
    complete_unclosed: bool = False
    # Rows come back in the order in which they were committed.
    keeps_order: bool = True
    # NaN and infinities come back.
    holds_nonfinite: bool = True
    # What the times of readings are whole multiples of.
    utc_unit_ns: int = 1
    # other_runs(path, new, run_id) -> bool: copies a file without this run; False, and no copy, if there is no other.
    other_runs: Reference | None = None
    # metadata_changer(path, run_id, metadata, **options): a run's metadata in an output that is complete, in place and
    # whole or not at all; raises SinkError. Without it such an output stays as it is.
    metadata_changer: Reference | None = None

    @property
    def as_codes(self) -> bool:
        """True where an output has codes, and no channels that are worked out."""
        return self.is_raw or self.takes_codes
