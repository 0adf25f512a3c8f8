"""What two machines say to each other about a run that one serves and the other follows: section 8 of PROTOCOL.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dtopipe.model.clock import Anchor
from dtopipe.model.errors import WireError
from dtopipe.model.facts import Facts, Misfit
from dtopipe.model.identifiers import RUN_ID_HELP, is_run_id
from dtopipe.model.newest import NewestValues
from dtopipe.model.span import Gap
from dtopipe.model.stream import Stream
from dtopipe.wire.commands import EARLIEST, LATEST
from dtopipe.wire.link_items import LINK_CAUSES
from dtopipe.wire.message_fields import TypedMessage
from dtopipe.wire.vocabulary import Vocabulary

_MOST_INDEX = 2**62

# From the remote.


@dataclass(frozen=True, slots=True)
class OfRemote(TypedMessage):
    """Which of its requests this is, and who asks."""

    session: int
    remote: str


@dataclass(frozen=True, slots=True)
class PullOfAnyVersion(OfRemote, kind="pull"):
    """What a request for the stream says in every version of the protocol."""

    version: int


@dataclass(frozen=True, slots=True)
class Pull(OfRemote, kind="pull"):
    """Send everything from `since` on, `window` items ahead. Raises WireError for what cannot be."""

    version: int
    run_id: str
    skip: tuple[Any, ...]
    may_wait: bool
    since: str | int
    resumes: bool
    drops: bool
    window: int
    durable: int
    gaps: tuple[Gap, ...]
    label: str = ""

    def __post_init__(self) -> None:
        """Raises WireError."""
        if self.since not in (LATEST, EARLIEST) and (isinstance(self.since, str) or not _is_index(self.since)):
            raise WireError(f"a request for sample {self.since}")
        if self.window < 0:
            raise WireError(f"a window of {self.window}")
        _ensure_told(self.durable, self.gaps)


@dataclass(frozen=True, slots=True)
class Credit(OfRemote, kind="credit"):
    """So many items of the session were taken; up to `durable` everything is; gaps since the last one."""

    taken: int
    durable: int
    gaps: tuple[Gap, ...]

    def __post_init__(self) -> None:
        """Raises WireError."""
        _ensure_told(self.durable, self.gaps)


@dataclass(frozen=True, slots=True)
class Probe(OfRemote, kind="probe"):
    """Ask for the other machine's clocks. `asked`: ours, by which the answer is known."""

    asked: int


@dataclass(frozen=True, slots=True)
class Finished(OfRemote, kind="finished"):
    """Everything up to the end is in the remote's outputs."""

    durable: int
    gaps: tuple[Gap, ...]

    def __post_init__(self) -> None:
        """Raises WireError."""
        _ensure_told(self.durable, self.gaps)


@dataclass(frozen=True, slots=True)
class Leave(OfRemote, kind="leave"):
    """Wait for this remote no longer."""


@dataclass(frozen=True, slots=True)
class Look(TypedMessage, kind="look"):
    """Say once how the run is. Who asks has no name: nothing of it is kept, and every version says it so."""

    session: int
    version: int


# From the gateway.


@dataclass(frozen=True, slots=True)
class OfGateway(TypedMessage):
    """Which request this answers."""

    session: int


@dataclass(frozen=True, slots=True)
class StreamBegins(OfGateway, kind="stream"):
    """What is sent, from `start` on. `anchor`: of the source's present epoch; `end`: the run's, once it has ended."""

    stream: Stream
    anchor: Anchor
    start: int
    end: int | None = None

    def __post_init__(self) -> None:
        """Raises WireError where it has not the id of a run, or the time of its beginning."""
        told = Facts({"run_id": self.stream.run_id, "started_at": self.stream.started_at}, "stream")
        try:
            told.time("started_at")
            if not is_run_id(self.stream.run_id):
                raise told.misfit("run_id", f"is no id of a run: {RUN_ID_HELP}")
        except Misfit as error:
            raise WireError(str(error)) from error


@dataclass(frozen=True, slots=True)
class Items(OfGateway, kind="items"):
    """The payload holds the items `first`, `first + 1`, ... of the session."""

    first: int


@dataclass(frozen=True, slots=True)
class StreamEnds(OfGateway, kind="end"):
    """The run has ended there, behind the last item, which is `first - 1`."""

    first: int
    end_sample_index: int


@dataclass(frozen=True, slots=True)
class Alive(OfGateway, kind="alive"):
    """Nothing is new."""


@dataclass(frozen=True, slots=True)
class LinkRefused(OfGateway, kind="refused"):
    """There will be nothing; where that is not final it may be asked again."""

    message: str
    remedy: str
    is_final: bool = True


@dataclass(frozen=True, slots=True)
class ClockAnswer(OfGateway, kind="time"):
    """Our clocks as you asked, and by which question."""

    asked: int
    t_mono_ns: int
    t_utc_ns: int


@dataclass(frozen=True, slots=True)
class Bye(OfGateway, kind="bye"):
    """That you have finished was heard."""


@dataclass(frozen=True, slots=True)
class StatusFollows(OfGateway, kind="status"):
    """The payload is how the run is: a `RunSeen` as a control frame."""


@dataclass(frozen=True, slots=True)
class ServedNoLonger(OfGateway, kind="over"):
    """The run that you look at is over, or nobody is left who could tell of it."""


@dataclass(frozen=True, slots=True)
class RunSeen(TypedMessage, kind="seen"):
    """A run as somebody sees it who only looks: `status` is what `dtopipe status --json` prints.

    `values` and `event`: the newest ones; None where there are none. Of an event its time, name and process.
    """

    status: Mapping[str, Any]
    values: NewestValues | None = None
    event: Mapping[str, Any] | None = None


RemoteSays = Pull | Credit | Probe | Finished | Leave | Look
GatewayAnswers = (
    StreamBegins | Items | StreamEnds | Alive | LinkRefused | ClockAnswer | Bye | StatusFollows | ServedNoLonger
)
FROM_REMOTE: Vocabulary[RemoteSays] = Vocabulary(RemoteSays)
PULLS: Vocabulary[PullOfAnyVersion] = Vocabulary(PullOfAnyVersion)
TO_REMOTE: Vocabulary[GatewayAnswers] = Vocabulary(GatewayAnswers)
SEEN: Vocabulary[RunSeen] = Vocabulary(RunSeen)


def _is_index(value: int) -> bool:
    return 0 <= value < _MOST_INDEX


def _ensure_told(durable: int, gaps: tuple[Gap, ...]) -> None:
    """Raises WireError for what no remote can have."""
    if not _is_index(durable):
        raise WireError(f"durable: {durable}")
    for gap in gaps:
        if gap.cause not in LINK_CAUSES or not 0 <= gap.span.start < gap.span.stop < _MOST_INDEX:
            raise WireError(f"a gap {gap.span} of cause {gap.cause}")
