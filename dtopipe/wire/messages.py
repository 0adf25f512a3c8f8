"""What the processes of a run say to each other: section 5 of PROTOCOL.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import Annotated, Any

from dtopipe.model.board_events import Opened
from dtopipe.model.errors import WireError
from dtopipe.model.identifiers import is_run_id
from dtopipe.model.limits import LimitSeen
from dtopipe.model.position import Position
from dtopipe.model.span import Cause, Gap
from dtopipe.model.stream import Stream
from dtopipe.wire.message_fields import Called, Travels, TypedMessage
from dtopipe.wire.vocabulary import Vocabulary

# What a line of events.jsonl says by itself.
_KEYS_OF_EVENTS = ("t_utc", "process")

# How a worker ends that has sent `failed`: its supervisor waits for that word.
EXIT_AFTER_FAILED = 3

# From a worker to its supervisor.


@dataclass(frozen=True, slots=True)
class Hello(TypedMessage, kind="hello"):
    """A worker's first word: it is up, and has its orders."""

    pid: int


@dataclass(frozen=True, slots=True)
class Failed(TypedMessage, kind="failed"):
    """A worker's last word: why it ends. `error` is the error's type; `is_final` is known of a board only."""

    message: str
    remedy: str = ""
    path: str = ""
    error: str = ""
    is_final: Annotated[bool | None, Travels.LEFT_OUT] = None

    @property
    def where_and_what(self) -> str:
        """The message with the path that it is about, if it is about one."""
        return f"{self.path}: {self.message}" if self.path else self.message


@dataclass(frozen=True, slots=True)
class BoardOpened(TypedMessage, kind="opened"):
    """The board is open: what it says of itself, and where the acquirer wakes readers and hears of free slots."""

    board: Annotated[Opened, Travels.INLINE]
    descriptor_endpoint: str
    credit_endpoint: str

    def __post_init__(self) -> None:
        """Raises WireError where it follows a run that no run is called by."""
        if self.board.run_id and not is_run_id(self.board.run_id):
            raise WireError("the run that is followed has an id that is none")


@dataclass(frozen=True, slots=True)
class StreamEnded(TypedMessage, kind="ended"):
    """The acquirer has set the end-of-run mark."""


@dataclass(frozen=True, slots=True)
class SourceAway(TypedMessage, kind="away"):
    """The machine that the samples come from is not there."""

    message: str


@dataclass(frozen=True, slots=True)
class SourceBack(TypedMessage, kind="back"):
    """It is there again."""


@dataclass(frozen=True, slots=True)
class ClocksCompared(TypedMessage, kind="compared"):
    """The clocks of both machines at one instant, as LinkPair has them."""

    pair: tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class SinkReady(TypedMessage, kind="ready"):
    """The output is open, and goes on from there."""

    position: Annotated[Position, Travels.INLINE]


@dataclass(frozen=True, slots=True)
class SinkDone(TypedMessage, kind="done"):
    """Nothing more is written."""

    position: Annotated[Position, Travels.INLINE]


@dataclass(frozen=True, slots=True)
class GapsCommitted(TypedMessage, kind="gaps"):
    """Gaps that are in the output now."""

    gaps: tuple[Gap, ...]


@dataclass(frozen=True, slots=True)
class SinkAway(TypedMessage, kind="away"):
    """The output, or the journal that it is read from, is not there for now."""

    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class SinkBack(TypedMessage, kind="back"):
    """What was away is there again."""


@dataclass(frozen=True, slots=True)
class OutputClosed(TypedMessage, kind="closed"):
    """The output was closed in order; `remark`: what it is not that was promised."""

    remark: str = ""


@dataclass(frozen=True, slots=True)
class LimitsSeen(TypedMessage, kind="limits"):
    """What was seen of the limits. `committed`: how far, where a successor may go on from exactly there with this."""

    limits: tuple[LimitSeen, ...]
    committed: Annotated[Position | None, Travels.LEFT_OUT] = None


@dataclass(frozen=True, slots=True)
class Serving(TypedMessage, kind="serving"):
    """The gateway listens there."""

    endpoint: str


@dataclass(frozen=True, slots=True)
class RemoteFacts:
    """One remote as its gateway knows it. Indices and counts are samples per channel."""

    remote_id: Annotated[str, Called("id")]
    name: str
    label: str
    address: str
    policy: str
    sent: int
    durable: int
    gaps: int
    away: bool
    finished: bool

    @property
    def shown_name(self) -> str:
        """As people know it; it may be empty."""
        return self.name or self.label


@dataclass(frozen=True, slots=True)
class RemotesServed(TypedMessage, kind="remotes"):
    """Everybody who is served, and how many requests were dropped as malformed."""

    remotes: tuple[RemoteFacts, ...]
    malformed: int


@dataclass(frozen=True, slots=True)
class HoldAsked(TypedMessage, kind="hold"):
    """The journal is to keep from this sample on what is not durable at that remote."""

    remote: str
    at: int


@dataclass(frozen=True, slots=True)
class RemoteGaps(TypedMessage, kind="remote_gaps"):
    """What a remote lacks, as it says."""

    name: str
    gaps: tuple[Gap, ...]


@dataclass(frozen=True, slots=True)
class RemoteEvent(TypedMessage, kind="event"):
    """Something happened to a remote, such as `remote_joined`. `details` belong to it, and go on record as they are."""

    event: str
    remote: Annotated[str | None, Travels.LEFT_OUT] = None
    name: Annotated[str | None, Travels.LEFT_OUT] = None
    label: Annotated[str | None, Travels.LEFT_OUT] = None
    details: Annotated[Mapping[str, Any], Travels.REST] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises WireError where no line of a record can hold its details."""
        fits = all(isinstance(key, str) and key not in _KEYS_OF_EVENTS for key in self.details)
        if not fits or not all(isinstance(value, str | int | float | NoneType) for value in self.details.values()):
            raise WireError("an event with what no line can hold")

    @property
    def shown_name(self) -> str:
        """The remote that it happened to, as people know it."""
        return self.name or self.label or (self.remote or "")[:8]

    def facts(self) -> dict[str, Any]:
        """All that belongs to it, for the record."""
        named = {"remote": self.remote, "name": self.name, "label": self.label}
        return {**{key: value for key, value in named.items() if value is not None}, **self.details}


@dataclass(frozen=True, slots=True)
class EventBegun:
    """At this sample the condition of a trigger came to count, with these values of its channels."""

    sample_index: int
    t_utc_ns: int
    values: Mapping[str, float | None]

    def __post_init__(self) -> None:
        """Raises WireError where no line of a record can hold it."""
        if not all(
            isinstance(key, str) and isinstance(each, float | int | NoneType) for key, each in self.values.items()
        ):
            raise WireError("an event with what no line can hold")


@dataclass(frozen=True, slots=True)
class TriggerTold(TypedMessage, kind="trigger"):
    """What the trigger of a sink has seen since the last commit: the first of the events, and how many more.

    `waits`: nothing of an event is being written. A successor may tell of events that its predecessor has told.
    """

    events: tuple[EventBegun, ...]
    more: int
    waits: bool


AcquirerSays = Hello | Failed | BoardOpened | StreamEnded | SourceAway | SourceBack | ClocksCompared
SinkSays = (
    Hello
    | Failed
    | SinkReady
    | SinkDone
    | GapsCommitted
    | SinkAway
    | SinkBack
    | OutputClosed
    | TriggerTold
    | LimitsSeen
)
GatewaySays = Hello | Failed | Serving | RemotesServed | HoldAsked | RemoteGaps | RemoteEvent
FROM_ACQUIRER: Vocabulary[AcquirerSays] = Vocabulary(AcquirerSays)
FROM_SINK: Vocabulary[SinkSays] = Vocabulary(SinkSays)
FROM_GATEWAY: Vocabulary[GatewaySays] = Vocabulary(GatewaySays)


# From the supervisor to a worker.


@dataclass(frozen=True, slots=True)
class StartBoard(TypedMessage, kind="start"):
    """The ring is there, and everybody is ready. `utc_offset_ns`: of the run, less the steady clock.

    `hole_cause`: why the samples are absent that a clocked board took since a predecessor died.
    """

    segment: str
    held: str
    utc_offset_ns: int
    hole_cause: Cause


@dataclass(frozen=True, slots=True)
class StopBoard(TypedMessage, kind="stop"):
    """Take no more samples; `hurry`: what the board still holds is not waited for."""

    hurry: bool = False


@dataclass(frozen=True, slots=True)
class BeginSink(TypedMessage, kind="begin"):
    """Open the output, at `start` or behind what a predecessor has committed, and write.

    `otherwise`: the cause of a hole that nobody explains. `journal`: its path, where it covers this sink.
    """

    stream: Stream
    segment: str
    held: str
    descriptor_endpoint: str
    credit_endpoint: str
    row: int
    start: int
    committed: int
    resume: bool
    otherwise: Cause
    journal: Annotated[str | None, Travels.LEFT_OUT] = None


@dataclass(frozen=True, slots=True)
class CutOff(TypedMessage, kind="cut_off"):
    """Commit what there is, and end."""

    reason: str


@dataclass(frozen=True, slots=True)
class LetGo(TypedMessage, kind="let_go"):
    """End without completing the output: a successor goes on with it."""


@dataclass(frozen=True, slots=True)
class DetachNow(TypedMessage, kind="detach"):
    """Complete the output with what is published by now, while the run goes on."""


@dataclass(frozen=True, slots=True)
class BeginServing(TypedMessage, kind="begin"):
    """The run that there is to serve. `journal`: its path, or None; `retires`: it deletes what is durable elsewhere."""

    stream: Stream
    segment: str
    held: str
    journal: str | None
    retires: bool


@dataclass(frozen=True, slots=True)
class Held(TypedMessage, kind="held"):
    """The journal keeps from this sample on what is not durable at that remote."""

    remote: str
    at: int


@dataclass(frozen=True, slots=True)
class RunEnded(TypedMessage, kind="ended"):
    """The run has ended at this sample index, and its journal is closed."""

    end: int


ToAcquirer = StartBoard | StopBoard
ToSink = BeginSink | CutOff | LetGo | DetachNow
ToGateway = BeginServing | Held | RunEnded
TO_ACQUIRER: Vocabulary[ToAcquirer] = Vocabulary(ToAcquirer)
TO_SINK: Vocabulary[ToSink] = Vocabulary(ToSink)
TO_GATEWAY: Vocabulary[ToGateway] = Vocabulary(ToGateway)
