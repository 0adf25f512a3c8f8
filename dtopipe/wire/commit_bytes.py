"""The bytes of a commit record, `PATH.dtopipe`. PROTOCOL.md specifies them."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass, replace

from dtopipe.model.errors import WireError
from dtopipe.model.position import Position
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import Stream
from dtopipe.wire.describe import describe_stream, stream_from

MAGIC = b"DTOPIPEC"
MOST_EXTRA_BYTES = 32
_VERSION = 1
# magic, version, bytes of the JSON header
_HEAD = struct.Struct("<8sII")
# generation, start, committed, durable, samples, gap_samples, dropped, data_bytes, n_gaps; closed, bytes of extra;
# extra, retained_from
_RECORD = struct.Struct(f"<Q6qQQBB6x{MOST_EXTRA_BYTES}sq")
_CHECKSUM = struct.Struct("<I")
_RECORD_BYTES = 128
# start, stop, t_utc_ns, cause; checksum
_GAP = struct.Struct("<qqqI")
GAP_BYTES = _GAP.size + _CHECKSUM.size
_ALIGN = 64


@dataclass(frozen=True, slots=True)
class State:
    """One of the two records. `extra`: the sink's own state, up to MOST_EXTRA_BYTES."""

    generation: int
    position: Position
    data_bytes: int
    n_gaps: int
    closed: bool
    extra: bytes


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the records. `data_origin`: where in the output this run's data begin, in bytes."""

    sink_type: str
    stream: Stream
    data_origin: int
    records_at: int

    @property
    def gaps_at(self) -> int:
        """Where the list of gaps begins."""
        return self.records_at + 2 * _RECORD_BYTES

    def place_of(self, state: State) -> int:
        """Where this record goes: over the older one."""
        return self.records_at + state.generation % 2 * _RECORD_BYTES


def new_record(stream: Stream, sink_type: str, state: State) -> tuple[bytes, Header]:
    """A whole file with this first record and no gaps."""
    document = {"sink_type": sink_type, "data_origin": state.data_bytes, "stream": describe_stream(stream)}
    text = json.dumps(document).encode()
    header = Header(sink_type, stream, state.data_bytes, _aligned(_HEAD.size + len(text)))
    head = (_HEAD.pack(MAGIC, _VERSION, len(text)) + text).ljust(header.records_at, b"\0")
    return head + packed_state(state) + bytes(_RECORD_BYTES), header


def header_in(data: bytes) -> Header | None:
    """The header of a file; None where nothing was begun. Raises WireError."""
    if not data[: len(MAGIC)].strip(b"\0"):
        return None
    try:
        magic, version, length = _HEAD.unpack_from(data)
        if magic != MAGIC or version != _VERSION:
            raise WireError("it is not a commit record of this version")
        document = json.loads(data[_HEAD.size : _HEAD.size + length])
        return Header(
            sink_type=str(document["sink_type"]),
            stream=stream_from(document["stream"]),
            data_origin=int(document["data_origin"]),
            records_at=_aligned(_HEAD.size + length),
        )
    except (struct.error, ArithmeticError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise WireError(f"its header cannot be read ({error})") from error


def state_in(header: Header, data: bytes) -> State:
    """The valid record with the highest generation. Raises WireError if there is none."""
    places = (header.records_at, header.records_at + _RECORD_BYTES)
    states = [state for at in places if (state := _unpacked(data[at : at + _RECORD_BYTES]))]
    if not states:
        raise WireError("neither of its two records is whole")
    return max(states, key=lambda state: state.generation)


def packed_state(state: State) -> bytes:
    """One record."""
    p = state.position
    body = _RECORD.pack(
        state.generation, p.start, p.committed, p.durable, p.samples, p.gap_samples, p.dropped,
        state.data_bytes, state.n_gaps, state.closed, len(state.extra), state.extra,
        p.retained_from,
    ).ljust(_RECORD_BYTES - _CHECKSUM.size, b"\0")  # fmt: skip
    return body + _CHECKSUM.pack(zlib.crc32(body))


def _unpacked(data: bytes) -> State | None:
    if len(data) != _RECORD_BYTES:
        return None
    body, checksum = data[: -_CHECKSUM.size], data[-_CHECKSUM.size :]
    if _CHECKSUM.pack(zlib.crc32(body)) != checksum:
        return None
    generation, *numbers, data_bytes, n_gaps, closed, n_extra, extra, retained_from = _RECORD.unpack_from(body)
    position = replace(Position(*numbers), retained_from=retained_from)
    return State(generation, position, data_bytes, n_gaps, bool(closed), extra[:n_extra])


def packed_gap(gap: Gap) -> bytes:
    """One entry of the list."""
    body = _GAP.pack(gap.span.start, gap.span.stop, gap.t_utc_ns, gap.cause.code)
    return body + _CHECKSUM.pack(zlib.crc32(body))


def gaps_in(data: bytes, count: int) -> list[Gap]:
    """The first `count` entries of the list. Raises WireError."""
    found = []
    for number in range(count):
        entry = data[number * GAP_BYTES : (number + 1) * GAP_BYTES]
        body = entry[: _GAP.size]
        if len(entry) != GAP_BYTES or _CHECKSUM.pack(zlib.crc32(body)) != entry[_GAP.size :]:
            raise WireError(f"gap {number} of {count} is torn")
        start, stop, t_utc_ns, code = _GAP.unpack(body)
        try:
            found.append(Gap(Span(start, stop), Cause.from_code(code), t_utc_ns))
        except KeyError as error:
            raise WireError(f"gap {number} of {count} has a cause that is not known, {code}") from error
    return found


def _aligned(n_bytes: int) -> int:
    return -(-n_bytes // _ALIGN) * _ALIGN
