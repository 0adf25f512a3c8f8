"""The bytes of a commit record, `PATH.dtopipe`. PROTOCOL.md specifies them."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace

from dtopipe.model.errors import WireError
from dtopipe.model.facts import MOST_COUNT, Facts, parsed, strict_json
from dtopipe.model.nulls import NullRange
from dtopipe.model.position import Position
from dtopipe.model.span import Cause, Gap, Span
from dtopipe.model.stream import SensorStatus, Stream
from dtopipe.wire.describe import describe_stream, stream_from

MAGIC = b"DTOPIPEC"
MOST_EXTRA_BYTES = 32
_MOST_TYPE = 200
_VERSION = 2
# magic, version, bytes of the JSON header
_HEAD = struct.Struct("<8sII")
# generation, start, committed, durable, samples, gap_samples, dropped, data_bytes, n_gaps; closed, bytes of extra;
# extra, retained_from, durable_bytes
_RECORD = struct.Struct(f"<Q6qQQBB6x{MOST_EXTRA_BYTES}sqq")
_CHECKSUM = struct.Struct("<I")
# A disk writes a sector whole or not at all: a record that is one cannot be torn by a power cut, and the older one of
# the two is then never older than what was synced.
_SECTOR_BYTES = 512
# start, stop, t_utc_ns, cause; checksum
_GAP = struct.Struct("<qqqI")
GAP_BYTES = _GAP.size + _CHECKSUM.size
# An entry of null values: start, stop, how many are null, and this bit with the status and the channel.
_NULLS, _STATUS_BITS, _CHANNEL_BITS = 1 << 31, 4, 27
# By version: bytes of a record, all but its checksum, and to what its place is aligned.
_FORMS = {1: (128, 64), _VERSION: (_SECTOR_BYTES, _SECTOR_BYTES)}


@dataclass(frozen=True, slots=True)
class State:
    """One of the two records. `extra`: the sink's own state, up to MOST_EXTRA_BYTES.

    `durable_bytes`: length of the output at its last sync; 0 before the first, and in records of version 1.
    """

    generation: int
    position: Position
    data_bytes: int
    n_gaps: int
    closed: bool
    extra: bytes
    durable_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the records. `data_origin`: where in the output this run's data begin, in bytes."""

    sink_type: str
    stream: Stream
    data_origin: int
    records_at: int
    version: int = _VERSION

    @property
    def record_bytes(self) -> int:
        """Length of one of the two records."""
        return _FORMS[self.version][0]

    @property
    def gaps_at(self) -> int:
        """Where the list of gaps begins."""
        return self.records_at + 2 * self.record_bytes

    def place_of(self, state: State) -> int:
        """Where this record goes: over the older one."""
        return self.records_at + state.generation % 2 * self.record_bytes

    def packed(self, state: State) -> bytes:
        """The bytes of this record."""
        p = state.position
        body = _RECORD.pack(
            state.generation, p.start, p.committed, p.durable, p.samples, p.gap_samples, p.dropped,
            state.data_bytes, state.n_gaps, state.closed, len(state.extra), state.extra,
            p.retained_from, state.durable_bytes if self.version > 1 else 0,
        )  # fmt: skip
        body = body[: self.record_bytes - _CHECKSUM.size].ljust(self.record_bytes - _CHECKSUM.size, b"\0")
        return body + _CHECKSUM.pack(zlib.crc32(body))


def new_record(stream: Stream, sink_type: str, data_origin: int, state: State) -> tuple[bytes, Header]:
    """A whole file with this first record, its gaps being still to come."""
    document = {"sink_type": sink_type, "data_origin": data_origin, "stream": describe_stream(stream)}
    text = strict_json(document, ensure_ascii=True).encode()
    header = Header(sink_type, stream, data_origin, _aligned(_HEAD.size + len(text), _VERSION))
    head = (_HEAD.pack(MAGIC, _VERSION, len(text)) + text).ljust(header.records_at, b"\0")
    records = [bytes(header.record_bytes)] * 2
    records[state.generation % 2] = header.packed(state)
    return head + b"".join(records), header


def header_in(data: bytes) -> Header | None:
    """The header of a file; None where nothing was begun. Raises WireError."""
    if not data[: len(MAGIC)].strip(b"\0"):
        return None
    try:
        magic, version, length = _HEAD.unpack_from(data)
        if magic != MAGIC or version not in _FORMS:
            raise WireError("it is not a commit record of this version")
        if _HEAD.size + length > len(data):
            raise WireError("its header is cut")
        document = Facts(parsed(data[_HEAD.size : _HEAD.size + length]))
        return Header(
            sink_type=document.text("sink_type", most=_MOST_TYPE),
            stream=stream_from(document.any("stream")),
            data_origin=document.count("data_origin"),
            records_at=_aligned(_HEAD.size + length, version),
            version=version,
        )
    except (struct.error, ValueError) as error:
        raise WireError(f"its header cannot be read ({error})") from error


def state_in(header: Header, data: bytes) -> State:
    """The valid record with the highest generation. Raises WireError if there is none."""
    n_bytes = header.record_bytes
    places = (header.records_at, header.records_at + n_bytes)
    states = [state for at in places if (state := _unpacked(data[at : at + n_bytes], n_bytes))]
    if not states:
        raise WireError("neither of its two records is whole")
    return max(states, key=lambda state: state.generation)


def _unpacked(data: bytes, n_bytes: int) -> State | None:
    if len(data) != n_bytes:
        return None
    body, checksum = data[: -_CHECKSUM.size], data[-_CHECKSUM.size :]
    if _CHECKSUM.pack(zlib.crc32(body)) != checksum:
        return None
    # Records of version 1 end before the last number.
    fields = _RECORD.unpack_from(body.ljust(_RECORD.size, b"\0"))
    generation, *numbers, data_bytes, n_gaps, closed, n_extra, extra, retained_from, durable_bytes = fields
    position = replace(Position(*numbers), retained_from=retained_from)
    # A checksum only tells that a record is as it was written. Earlier versions left `durable_bytes` as it was where an
    # output went on in another file.
    counts = (data_bytes, durable_bytes)
    if not position.adds_up or not all(0 <= n <= MOST_COUNT for n in counts) or n_extra > MOST_EXTRA_BYTES:
        return None
    return State(generation, position, data_bytes, n_gaps, bool(closed), extra[:n_extra], durable_bytes)


def packed_gap(gap: Gap) -> bytes:
    """One entry of the list."""
    body = _GAP.pack(gap.span.start, gap.span.stop, gap.t_utc_ns, gap.cause.code)
    return body + _CHECKSUM.pack(zlib.crc32(body))


def packed_nulls(nulls: NullRange) -> bytes:
    """One entry of the list."""
    code = _NULLS | nulls.status << _CHANNEL_BITS | nulls.channel
    body = _GAP.pack(nulls.span.start, nulls.span.stop, nulls.samples, code)
    return body + _CHECKSUM.pack(zlib.crc32(body))


def entries_in(data: bytes, count: int) -> list[Gap | NullRange]:
    """The first `count` entries of the list. Raises WireError."""
    found = whole_entries_in(data, count)
    if len(found) < count:
        raise WireError(f"gap {len(found)} of {count} is torn")
    return found


def whole_entries_in(data: bytes, count: int) -> list[Gap | NullRange]:
    """The entries among the first `count` before the first that is torn or of a cause that is not known."""
    found: list[Gap | NullRange] = []
    for number in range(min(count, len(data) // GAP_BYTES)):
        entry = data[number * GAP_BYTES : (number + 1) * GAP_BYTES]
        body = entry[: _GAP.size]
        if _CHECKSUM.pack(zlib.crc32(body)) != entry[_GAP.size :]:
            break
        start, stop, t_utc_ns, code = _GAP.unpack(body)
        if code & _NULLS:
            nulls = _nulls_of(start, stop, t_utc_ns, code)
            if nulls is None:
                break
            found.append(nulls)
            continue
        if not (0 <= start <= stop <= MOST_COUNT and abs(t_utc_ns) <= MOST_COUNT):
            break
        try:
            found.append(Gap(Span(start, stop), Cause.from_code(code), t_utc_ns))
        except (KeyError, ValueError):
            break
    return found


def _nulls_of(start: int, stop: int, samples: int, code: int) -> NullRange | None:
    status = code >> _CHANNEL_BITS & (1 << _STATUS_BITS) - 1
    if not 0 <= start < stop <= MOST_COUNT or not 0 < samples <= stop - start or status > max(SensorStatus):
        return None
    return NullRange(code & (1 << _CHANNEL_BITS) - 1, Span(start, stop), samples, SensorStatus(status))


def _aligned(n_bytes: int, version: int) -> int:
    align = _FORMS[version][1]
    return -(-n_bytes // align) * align
