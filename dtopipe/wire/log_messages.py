"""A run as messages of one subject of a log that servers keep: section 9 of PROTOCOL.md.

What is in a message stands in its headers; its payload is blocks and gaps as they travel to another machine, or JSON.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import quote, unquote

from dtopipe.model.errors import WireError
from dtopipe.model.identifiers import is_run_id
from dtopipe.model.marks import Mark
from dtopipe.model.position import Position
from dtopipe.model.span import Gap
from dtopipe.model.stream import Block, Stream
from dtopipe.wire.describe import describe_stream, stream_from

LOG_VERSION = 1
SUBJECT_ROOT = "dtopipe"
# By it the server knows a message that it has already.
MESSAGE_ID = "Nats-Msg-Id"
_VERSION, _KIND, _RUN = "Dtopipe-Version", "Dtopipe-Kind", "Dtopipe-Run"
_FROM, _POSITION, _LOG, _PIECE, _ENCODING = (
    "Dtopipe-From", "Dtopipe-Position", "Dtopipe-Log", "Dtopipe-Piece", "Dtopipe-Encoding",
)  # fmt: skip
_ZLIB = "zlib"
# A description of more bytes than this is compressed; beyond the other it is none.
_PLAIN_BYTES, _MOST_BYTES = 2**16, 2**26
_MOST_INDEX = 2**62


class LogKind(StrEnum):
    """What a message holds."""

    RUN = "run"
    ITEMS = "items"
    MARKS = "marks"
    END = "end"


@dataclass(frozen=True, slots=True)
class LogHead:
    """What the headers of a message say.

    `first_index`: of its first sample; `position`: the run's once everything up to this message is there.
    `begins_at`: sequence, in the log, of the run's first message; `told_at`: of the newest description of the run;
    0 where it is this message. `whole_at`, `whole_to`: when this message was sent, everything of the run up to sample
    `whole_to` was in the log, and the message that ends there has sequence `whole_at`; 0 where there is none yet.
    `piece`: (k, n) of the k-th of n messages that hold one block of the board.
    """

    kind: LogKind
    run_id: str
    first_index: int
    position: Position
    begins_at: int = 0
    told_at: int = 0
    whole_at: int = 0
    whole_to: int = 0
    piece: tuple[int, int] = (1, 1)

    @property
    def stop(self) -> int:
        """Exclusive: up to where it brings the run."""
        return self.position.committed

    def headers(self) -> dict[str, str]:
        """As they are sent."""
        at = self.position
        found = {
            _VERSION: str(LOG_VERSION),
            _KIND: self.kind.value,
            _RUN: self.run_id,
            _FROM: str(self.first_index),
            _POSITION: f"{at.start} {at.committed} {at.samples} {at.gap_samples} {at.dropped}",
            _LOG: f"{self.begins_at} {self.told_at} {self.whole_at} {self.whole_to}",
        }
        return found if self.piece == (1, 1) else {**found, _PIECE: f"{self.piece[0]}/{self.piece[1]}"}


@dataclass(frozen=True, slots=True)
class Description:
    """What a run is: its stream, and which program sends it. `facts`: what else is told, for people."""

    stream: Stream
    facts: Mapping[str, Any] = field(default_factory=dict)


def token(text: str) -> str:
    """A name as a part of a subject: letters, digits, - and _ are themselves, any other byte of UTF-8 is %XX."""
    return "".join(letter if letter not in ".~" else f"%{ord(letter):02X}" for letter in quote(text, safe="")) or "%"


def name_of(part: str) -> str:
    """The name that a part of a subject stands for."""
    return "" if part == "%" else unquote(part)


def subject_of(run_name: str, device: str) -> str:
    """Where a run of this name, of this device, goes."""
    return f"{SUBJECT_ROOT}.{token(run_name)}.{token(device)}"


def message_id(run_id: str, subject: str, items: Sequence[Block | Gap]) -> str:
    """The same for the same samples of the same epoch on a subject, however often they are sent; else unlike.

    A server compares those of a whole stream, in which a run may be on several subjects.
    """
    first, last = items[0], items[-1]
    epoch = next((str(item.anchor.sample_index) for item in items if isinstance(item, Block)), "gap")
    where = hashlib.sha256(subject.encode()).hexdigest()[:16]
    return f"{run_id}.{where}.{epoch}.{first.span.start}-{last.span.stop}"


def head_of(headers: Mapping[str, str] | None) -> LogHead:
    """What the headers of a message say. Raises WireError where it is none of ours, or none that can be."""
    if not headers or _KIND not in headers:
        raise WireError("a message that dtopipe has not written")
    try:
        if headers[_VERSION] != str(LOG_VERSION):
            raise WireError(f"a message of version {headers[_VERSION]}, and this dtopipe knows {LOG_VERSION}")
        start, committed, samples, gap_samples, dropped = map(int, headers[_POSITION].split(" "))
        begins_at, told_at, whole_at, whole_to = map(int, headers[_LOG].split(" "))
        piece, _, pieces = headers.get(_PIECE, "1/1").partition("/")
        head = LogHead(
            kind=LogKind(headers[_KIND]),
            run_id=headers[_RUN],
            first_index=int(headers[_FROM]),
            position=Position(start, committed, committed, samples, gap_samples, dropped),
            begins_at=begins_at,
            told_at=told_at,
            whole_at=whole_at,
            whole_to=whole_to,
            piece=(int(piece), int(pieces)),
        )
    except (KeyError, ValueError) as error:
        raise WireError(f"a message whose headers cannot be read: {error}") from error
    is_one = (
        head.position.adds_up
        and 0 <= head.first_index <= head.stop < _MOST_INDEX
        and min(begins_at, told_at, whole_at, whole_to) >= 0
        and 1 <= head.piece[0] <= head.piece[1]
        and is_run_id(head.run_id)
    )
    if not is_one:
        raise WireError("a message whose headers cannot be")
    return head


def encode_description(described: Description) -> tuple[bytes, dict[str, str]]:
    """The payload of a description, and the headers that it needs besides."""
    payload = json.dumps({"stream": describe_stream(described.stream), **described.facts}).encode()
    if len(payload) <= _PLAIN_BYTES:
        return payload, {}
    return zlib.compress(payload, 6), {_ENCODING: _ZLIB}


def decode_description(payload: bytes, headers: Mapping[str, str] | None) -> Description:
    """The run that a message describes. Raises WireError."""
    facts = dict(_document(payload, headers))
    return Description(stream_from(facts.pop("stream", None)), facts)


def encode_marks(marks: Sequence[Mark]) -> bytes:
    """The payload of marks."""
    return json.dumps({"marks": [mark.to_json() for mark in marks]}).encode()


def decode_marks(payload: bytes) -> list[Mark]:
    """The marks of a message. Raises WireError."""
    try:
        return [Mark.from_json(each) for each in _document(payload, None)["marks"]]
    except (KeyError, TypeError, ValueError) as error:
        raise WireError(f"marks that cannot be read: {error}") from error


def _document(payload: bytes, headers: Mapping[str, str] | None) -> Mapping[str, Any]:
    try:
        if (headers or {}).get(_ENCODING) == _ZLIB:
            reading = zlib.decompressobj()
            payload = reading.decompress(payload, _MOST_BYTES)
        found = json.loads(payload)
    except (ValueError, zlib.error, RecursionError) as error:
        raise WireError(f"a message that cannot be read: {error}") from error
    if not isinstance(found, Mapping):
        raise WireError("a message that is no map")
    return found
