"""What commands and programs ask a run's supervisor, and what it answers: section 5 of PROTOCOL.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from dtopipe.model.errors import WireError
from dtopipe.model.identifiers import is_file_name
from dtopipe.model.marks import Mark
from dtopipe.model.plan import SinkPlan
from dtopipe.model.policy import Policy
from dtopipe.model.stream import Stream
from dtopipe.wire.message_fields import Travels, TypedMessage
from dtopipe.wire.vocabulary import Vocabulary

LATEST, EARLIEST = "latest", "earliest"


@dataclass(frozen=True, slots=True)
class AskStatus(TypedMessage, kind="status"):
    """Ask how the run is."""


@dataclass(frozen=True, slots=True)
class StopRun(TypedMessage, kind="stop"):
    """End in order; `now`: without waiting for slow sinks. `user` and `host`: who asks, as he says."""

    now: bool = False
    user: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class RestartSink(TypedMessage, kind="restart"):
    """Give this sink a new process."""

    name: str


@dataclass(frozen=True, slots=True)
class AttachSinks(TypedMessage, kind="attach"):
    """Take these sinks too; `document`: what a topology says of them, `since`: where they start."""

    sinks: tuple[SinkPlan, ...]
    document: Mapping[str, Any]
    since: str | int = LATEST

    def __post_init__(self) -> None:
        """Raises WireError where no file can be called so."""
        for plan in self.sinks:
            if not is_file_name(plan.name) or "\0" in (plan.path or ""):
                raise WireError(f"a sink with the name {plan.name!r} and the path {plan.path!r}")


@dataclass(frozen=True, slots=True)
class AskAttachment(TypedMessage, kind="attachment"):
    """Ask how a sink gets on that was attached."""

    name: str


@dataclass(frozen=True, slots=True)
class DetachSink(TypedMessage, kind="detach"):
    """Complete this sink's output, and go on without it."""

    name: str


@dataclass(frozen=True, slots=True)
class Subscribe(TypedMessage, kind="subscribe"):
    """A program wants to follow the run. `key`: of the lock by which it shows that it lives."""

    key: str
    policy: Policy
    since: str | int = LATEST
    pid: int = 0
    program: str = ""


@dataclass(frozen=True, slots=True)
class Unsubscribe(TypedMessage, kind="unsubscribe"):
    """It follows no more; nothing answers."""

    key: str


@dataclass(frozen=True, slots=True)
class SetMark(TypedMessage, kind="mark"):
    """Give a moment a name: now, `before_s` before `said_ns`, a sample, or a time; `said_ns`: the steady clock's.

    `user` and `host`: who says so.
    """

    label: str
    text: str = ""
    before_s: float = 0.0
    sample_index: Annotated[int | None, Travels.LEFT_OUT] = None
    t_utc_ns: Annotated[int | None, Travels.LEFT_OUT] = None
    said_ns: int = 0
    user: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class NoteReading(TypedMessage, kind="reading"):
    """An instrument says these values, in these units; `t_mono_ns`: when, on the steady clock."""

    instrument: str
    values: Mapping[str, Any]
    units: Mapping[str, Any]
    t_mono_ns: int


@dataclass(frozen=True, slots=True)
class ChangeMetadata(TypedMessage, kind="meta"):
    """Give the run's metadata these values. `user` and `host`: who says so."""

    values: Mapping[str, Any]
    user: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class StatusSnapshot(TypedMessage, kind="status"):
    """How the run is, as `dtopipe status --json` prints it."""

    snapshot: Annotated[Mapping[str, Any], Travels.REST]


@dataclass(frozen=True, slots=True)
class Stopping(TypedMessage, kind="stopping"):
    """The run ends; its folder."""

    folder: str


@dataclass(frozen=True, slots=True)
class Restarting(TypedMessage, kind="restarting"):
    """The sink will have a new process. `state` and `restarts`: before that."""

    name: str
    state: str
    restarts: int


@dataclass(frozen=True, slots=True)
class Marked(TypedMessage, kind="marked"):
    """The mark; `is_durable`: false while a full disk keeps it from being written down."""

    mark: Mark
    is_durable: bool = True


@dataclass(frozen=True, slots=True)
class ReadingNoted(TypedMessage, kind="noted"):
    """The reading is on record under this number, with the sample that was taken then, and its time."""

    number: int
    sample_index: int
    t_utc_ns: int


@dataclass(frozen=True, slots=True)
class MetadataChanged(TypedMessage, kind="meta"):
    """The run's metadata by now, and what was changed of it so far, as the record has both."""

    metadata: Mapping[str, Any]
    changes: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Attaching(TypedMessage, kind="attaching"):
    """These sinks' processes start."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Attachment(TypedMessage, kind="attachment"):
    """How the sink is, the first sample index that it is to have, and whether it is still being started."""

    name: str
    state: str
    start: int
    is_under_way: bool = False


@dataclass(frozen=True, slots=True)
class Detaching(TypedMessage, kind="detaching"):
    """The sink writes what there is up to this sample index, and is closed."""

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Subscribed(TypedMessage, kind="subscribed"):
    """A place in the run: its row of the ring and where that starts. `journal`: its path, where it is read too."""

    stream: Stream
    segment: str
    held: str
    descriptor_endpoint: str
    credit_endpoint: str
    row: int
    start: int
    name: str
    journal: Annotated[str | None, Travels.LEFT_OUT] = None


@dataclass(frozen=True, slots=True)
class NotYet(TypedMessage, kind="not_yet"):
    """The run has not begun."""


@dataclass(frozen=True, slots=True)
class Refused(TypedMessage, kind="refused"):
    """What was asked for cannot be: why, and the way out. `is_over`: for the run takes no more samples."""

    message: str
    remedy: str = ""
    is_over: bool = False


Asked = (
    AskStatus
    | StopRun
    | RestartSink
    | AttachSinks
    | AskAttachment
    | DetachSink
    | SetMark
    | NoteReading
    | ChangeMetadata
    | Subscribe
    | Unsubscribe
)
Answered = (
    StatusSnapshot
    | Stopping
    | Restarting
    | Attaching
    | Attachment
    | Detaching
    | Marked
    | ReadingNoted
    | MetadataChanged
    | Subscribed
    | NotYet
    | Refused
)
ASKED: Vocabulary[Asked] = Vocabulary(Asked)
ANSWERED: Vocabulary[Answered] = Vocabulary(Answered)
