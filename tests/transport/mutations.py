"""Frames that nobody sends in good faith: sound ones, spoilt in every way that we could think of.

The tests of this folder use them in their own process, `scripts/dev/fuzz_links.py` against a real run. What is sound
comes from the lists below: whoever changes the protocol changes them.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgpack

# What another machine may ask a gateway: section 8 of PROTOCOL.md.
VERSION = 2
REQUESTS: tuple[dict[str, Any], ...] = (
    {"kind": "pull", "version": VERSION, "session": 1, "remote": "a-remote", "label": "a label", "run_id": "",
     "skip": [], "may_wait": True, "since": "earliest", "resumes": False, "drops": False, "window": 4, "durable": 0,
     "gaps": []},
    {"kind": "pull", "version": VERSION, "session": 2, "remote": "a-dropper", "label": "", "run_id": "",
     "skip": ["a-run"], "may_wait": False, "since": 0, "resumes": True, "drops": True, "window": 4, "durable": 0,
     "gaps": [[0, 10, "transport", 1_000_000_000]]},
    {"kind": "credit", "session": 1, "remote": "a-remote", "taken": 1, "durable": 100, "gaps": []},
    {"kind": "probe", "session": 1, "remote": "a-remote", "asked": 12345},
    {"kind": "finished", "session": 1, "remote": "a-remote", "durable": 100, "gaps": []},
    {"kind": "leave", "session": 1, "remote": "a-remote"},
)  # fmt: skip
# Answered by `refused` with the same session, whatever else the gateway knows of this remote.
GATEWAY_QUESTION: dict[str, Any] = {**REQUESTS[0], "version": 0, "remote": "a-question"}

# Answered by `refused`, whose text names the sink.
CONTROL_QUESTION: dict[str, Any] = {"kind": "attachment", "name": "a question"}

_POSITION = {"start": 0, "committed": 100, "durable": 0, "samples": 100, "gap_samples": 0, "dropped": 0}
_PLAN: dict[str, Any] = {
    "name": "copy", "type": "csv", "path": "copy.csv", "target": None, "is_journal": False, "policy": "block",
    "layout": "wide", "channels": None, "flush_interval_s": 0.5, "essential": False, "on_exists": "error",
    "restart": {"max_restarts": 5, "within_s": 60.0, "backoff_s": 0.25}, "stall_limit_s": None, "on_stall": "drop",
    "hung_limit_s": 60.0, "sync_s": None, "queue_blocks": 64, "delay_per_block_s": 0.0, "options": {},
}  # fmt: skip
# What a command or a program may say at the control socket: section 5.
COMMANDS: tuple[dict[str, Any], ...] = (
    {"kind": "status"},
    {"kind": "stop", "now": False},
    {"kind": "restart", "name": "table"},
    {"kind": "attach", "sinks": [_PLAN], "document": {"copy": {"type": "csv"}}, "since": "latest"},
    {"kind": "attachment", "name": "table"},
    {"kind": "detach", "name": "table"},
    {"kind": "subscribe", "key": "0123456789abcdef", "policy": "block", "since": "latest", "pid": 1, "program": "x"},
    {"kind": "unsubscribe", "key": "0123456789abcdef"},
)
# What only workers, the gateway or the supervisor say.
WORDS_OF_WORKERS: tuple[dict[str, Any], ...] = (
    {"kind": "hello", "pid": 1},
    {"kind": "opened", "device": "x", "channels": [], "dtype": "int16", "rate_hz": 1000.0, "samples_per_block": 100,
     "clocked": True, "simulated": True, "metadata": {}, "descriptor_endpoint": "", "credit_endpoint": ""},
    {"kind": "ended"},
    {"kind": "away", "message": "gone", "remedy": ""},
    {"kind": "back"},
    {"kind": "failed", "error": "BoardError", "message": "x", "remedy": "y", "path": "z"},
    {"kind": "serving", "endpoint": "tcp://127.0.0.1:1"},
    {"kind": "remotes", "remotes": [{"id": "a", "name": "b", "label": "c", "policy": "block", "sent": 1, "durable": 1,
     "gaps": 0, "away": False, "finished": False}], "malformed": 0},
    {"kind": "hold", "remote": "a", "at": 5},
    {"kind": "held", "remote": "a", "at": 5},
    {"kind": "remote_gaps", "name": "a", "gaps": [[0, 10, "transport", 1_000_000_000]]},
    {"kind": "compared", "pair": [1, 2, 3, 4, 5]},
    {"kind": "time", "session": 1, "asked": 1, "t_mono_ns": 2, "t_utc_ns": 3},
    {"kind": "event", "event": "remote_left", "remote": "a", "name": "b", "sent": 0, "durable": 0},
    {"kind": "ready", **_POSITION},
    {"kind": "done", **_POSITION},
    {"kind": "gaps", "gaps": [[0, 10, "policy_drop", 1_000_000_000]]},
    {"kind": "begin", "stream": {}, "segment": "", "journal": "", "row": 0, "start": 0, "resume": True},
    {"kind": "start", "segment": ""},
    {"kind": "cut_off", "reason": "x"},
    {"kind": "let_go"},
    {"kind": "stream", "session": 1, "stream": {}, "anchor": [0, 1, 2]},
    {"kind": "items", "session": 1, "first": 0},
    {"kind": "end", "session": 1, "first": 0, "end_sample_index": 10},
    {"kind": "alive", "session": 1},
    {"kind": "bye", "session": 1},
    {"kind": "refused", "session": 1, "message": "x", "remedy": "y"},
)  # fmt: skip

_NUMBERS = (
    0, 1, -1, 255, 2**31, -(2**31), 2**32, 2**53 + 1, 2**62 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1, -(2**63),
    0.0, -0.0, 0.5, 1e308, -1e308, float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
_TEXTS = (
    "", " ", "\0", "\n", "x" * 65, "x" * 1000, "x" * 60_000, "\U0001f600" * 300, "../../../etc/passwd", "%s%n{0}",
    "a\x1b[2J\r\nb", "latest", "earliest", "transport", "block", "table", "raw", "gateway.0", "0123456789abcdee",
)  # fmt: skip
_OTHERS: tuple[Any, ...] = (
    None, True, False, b"", b"\xff\xfe", b"x" * 1000, [], [[]], [0] * 1000, ["x"], [None, {}], {}, {"kind": "stop"},
    {"a": {"b": [1, 2]}}, msgpack.Timestamp(1, 2), msgpack.ExtType(5, b"x"), msgpack.ExtType(127, b""),
)  # fmt: skip
NASTY: tuple[Any, ...] = _NUMBERS + _TEXTS + _OTHERS

# Frames that are made beforehand, to be spoilt further; those of so many bytes are seldom taken.
_POOL, _LONG_BYTES = 4000, 2000
# So many frames are made anew, and spoilt further later on.
_RENEWED = 0.01

# Values that are none, or that promise more than there is; each is written in the place of a value.
RAW_VALUES = (
    b"\xc1", b"\xdb\xff\xff\xff\xff", b"\xdb\x7f\xff\xff\xffx", b"\xda\xff\xff", b"\xc6\xff\xff\xff\xff",
    b"\xdd\xff\xff\xff\xff", b"\xdd\x00\x01\x86\xa0", b"\xdf\xff\xff\xff\xff", b"\xdf\x00\x01\x86\xa0",
    b"\xc9\xff\xff\xff\xff\x01", b"\xdc\xff\xff", b"\xde\xff\xff", b"\xd4\xff\x00", b"\xc7\x0c\xff" + b"\xff" * 12,
    b"\xd7\xff" + b"\xff" * 8, b"\xc7\x00\xff", b"\xa4\xff\xfe\xfd\xfc", b"\xa3\xed\xa0\x80", b"\xa2\xc0\x80",
    b"\x81\xc0\xc0", b"\x81\x01\x02", b"\x81\xc4\x01k\x02", b"\x81\x90\xc0", b"\x91" * 400 + b"\xc0",
    b"\x91" * 5000 + b"\xc0", b"\x81\xa1k" * 300 + b"\xc0", b"\x81\xa1k" * 5000 + b"\xc0",
)  # fmt: skip
# Lists in lists, each of which promises as many as are allowed: a parser may make room for them at once, many megabytes
# for some kilobytes.
BOMBS = tuple(b"\x82\xa4kind\xa4pull\xa1x" + b"\xdd\x00\x01\x86\xa0" * depth for depth in (100, 500, 1000, 1020))


def packed(document: Any) -> bytes:
    """As the links have it."""
    return bytes(msgpack.packb(document, use_bin_type=True))


def _map(pairs: Sequence[tuple[bytes, bytes]], promised: int | None = None) -> bytes:
    """A map of packed keys and values, which may promise another number of them."""
    n = len(pairs) if promised is None else promised
    return b"\xdf" + struct.pack(">I", n) + b"".join(key + value for key, value in pairs)


def _n_values(value: Any) -> int:
    """How many there are in it, at any depth."""
    if isinstance(value, Mapping):
        return 1 + sum(_n_values(each) for each in value.values())
    return 1 + sum(_n_values(each) for each in value) if isinstance(value, list) else 1


class Spoiler:
    """Spoils sound messages, forever and each time in another way. The same seed gives the same frames.

    `sound`: what is spoilt; `others`: messages whose kinds are borrowed, spoilt as well. `is_allowed` may refuse a
    frame, which is not given then.
    """

    def __init__(
        self,
        sound: Sequence[Mapping[str, Any]],
        others: Sequence[Mapping[str, Any]],
        seed: int = 0,
        is_allowed: Callable[[bytes], bool] = lambda frame: True,
        share_of_bombs: float = 2e-5,
    ) -> None:
        self.chance = random.Random(seed)
        # With their weights: what holds much can be wrong in many places.
        self._sound, self._others = (
            ([dict(message) for message in messages], [_n_values(message) ** 0.5 for message in messages])
            for messages in (sound, others)
        )
        self._kinds = sorted({str(message["kind"]) for message in (*sound, *others)})
        self._is_allowed = is_allowed
        self._share_of_bombs = share_of_bombs
        # Made once: what costs more is done here, and bytes are spoilt again and again.
        self._pool = [packed(message) for message in (*sound, *sound, *others)]
        while len(self._pool) < _POOL:
            self._pool.append(self._built())
        self._short = [frame for frame in self._pool if len(frame) < _LONG_BYTES]
        self._long = [frame for frame in self._pool if len(frame) >= _LONG_BYTES]

    def frame(self) -> bytes:
        """One more."""
        while True:
            frame = self._one()
            if self._is_allowed(frame):
                return frame

    def message(self) -> list[bytes]:
        """The frames of one message: nearly always one, as it should be; else none but an empty one, or many."""
        turn = self.chance.random()
        if turn < 0.96:
            return [self.frame()]
        if turn < 0.97:
            return [b""]
        if turn < 0.995:
            return [self.frame() for _ in range(int(self.chance.choice((2, 2, 3, 5))))]
        if turn < 0.998:
            return [b""] * int(self.chance.choice((2, 3, 50))) + [self.frame()]
        return [self._short[0]] * int(self.chance.choice((10, 100, 1000)))

    def _one(self) -> bytes:
        draw = self.chance.random
        turn = draw()
        if turn < self._share_of_bombs:
            return self.chance.choice(BOMBS)
        if draw() < _RENEWED:
            built = self._built()
            if len(built) < _LONG_BYTES:
                self._short[int(draw() * len(self._short))] = built
            return built
        # One in a thousand is long, or nothing else would be sent.
        pool = self._long if draw() < 0.001 and self._long else self._short
        frame = pool[int(draw() * len(pool))]
        if turn < 0.15:
            # As it was built.
            return frame
        if turn < 0.95:
            return spoilt_bytes(frame, draw)
        other = pool[int(draw() * len(pool))]
        return frame[: int(draw() * len(frame))] + other[int(draw() * len(other)) :]

    def _built(self) -> bytes:
        """One of which something is wrong that no random byte would bring about."""
        chance = self.chance
        message = dict(chance.choices(*(self._sound if chance.random() < 0.7 else self._others))[0])
        key = chance.choice(list(message))
        way = chance.randrange(12)
        if way < 4:
            message = _with_nasty(message, chance)
        elif way == 4:
            del message[key]
        elif way == 5:
            message["kind"] = chance.choice(self._kinds)
        elif way == 6:
            message |= chance.choice((*self._sound[0], *self._others[0]))
        else:
            return self._built_by_hand(message, key, way)
        return packed(message)

    def _built_by_hand(self, message: Mapping[str, Any], key: str, way: int) -> bytes:
        chance = self.chance
        pairs = [(packed(k), packed(v)) for k, v in message.items()]
        at = list(message).index(key)
        if way == 7:
            pairs[at] = pairs[at][0], chance.choice(RAW_VALUES)
        elif way == 8:
            pairs[at] = packed(chance.choice((*NASTY[:40], key.encode(), key + "x"))), pairs[at][1]
        elif way == 9:
            return _map(pairs, chance.choice((0, 1, len(pairs) + 1, 100_000, 100_001, 2**31, 2**32 - 1)))
        elif way == 10:
            # A key twice, or hundreds of new ones.
            pairs += chance.choice(([pairs[at]], [(packed(f"k{n}"), b"\xc0") for n in range(chance.randrange(300))]))
        else:
            return chance.choice(
                (packed(chance.choice(NASTY)), packed([message]), _map(pairs) + _map(pairs), b"", chance.randbytes(40))
            )
        return _map(pairs)


def _with_nasty(message: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """With one value, at any depth, that is of another type or size."""
    key = chance.choice(list(message))
    value = message[key]
    if isinstance(value, dict) and value and chance.random() < 0.7:
        return {**message, key: _with_nasty(dict(value), chance)}
    if isinstance(value, list) and value and chance.random() < 0.7:
        at = chance.randrange(len(value))
        inner = value[at]
        spoilt = _with_nasty(dict(inner), chance) if isinstance(inner, dict) else chance.choice(NASTY)
        if isinstance(inner, list):
            spoilt = [chance.choice(NASTY) if chance.random() < 0.4 else each for each in inner]
        return {**message, key: [*value[:at], spoilt, *value[at + 1 :]]}
    return {**message, key: chance.choice(NASTY)}


def spoilt_bytes(frame: bytes, draw: Callable[[], float]) -> bytes:
    """With some bytes or bits changed, cut, put in or doubled; `draw` gives numbers in [0, 1)."""
    size = len(frame)
    if size == 0:
        return bytes((int(draw() * 256),))
    way = int(draw() * 8)
    at = int(draw() * size)
    if way < 3:
        spoilt = bytearray(frame)
        spoilt[at] ^= 1 << int(draw() * 8)
        if way:
            spoilt[int(draw() * size)] ^= 1 << int(draw() * 8)
        return bytes(spoilt)
    if way < 5:
        spoilt = bytearray(frame)
        for _ in range(1 + int(draw() * 4)):
            spoilt[int(draw() * size)] = int(draw() * 256)
        return bytes(spoilt)
    if way == 5:
        return frame[:at]
    if way == 6:
        return frame[:at] + int(draw() * 2**32).to_bytes(4, "big")[: 1 + int(draw() * 4)] + frame[at:]
    stop = at + int(draw() * (size - at)) + 1
    return frame[:stop] + frame[at:stop] * (1 + int(draw() * 3)) + frame[stop:]


def spoilt_items(frame: bytes, heads: Sequence[tuple[int, int, int]], draw: Callable[[], float]) -> bytes:
    """A frame of samples with something wrong in it.

    `heads`: (start, bytes of the head, stop) of items in the frame; one of them may be spoilt and given the checksum
    that fits what it is then, the checksum being the head's last four bytes.
    """
    if draw() < 0.6:
        return spoilt_bytes(frame, draw)
    start, head, stop = heads[int(draw() * len(heads))]
    spoilt = bytearray(frame)
    # Within the head's numbers, mostly: what the payload says is not looked at.
    for _ in range(1 + int(draw() * 3)):
        spoilt[start + int(draw() * (head - 4 if draw() < 0.8 else stop - start))] = int(draw() * 256)
    body = zlib.crc32(spoilt[start + head : stop], zlib.crc32(spoilt[start : start + head - 4]))
    spoilt[start + head - 4 : start + head] = struct.pack("<I", body)
    return bytes(spoilt)


# ZMTP 3.1 without keys: signature, version, mechanism, as server, filler.
GREETING = b"\xff" + bytes(7) + b"\x01\x7f" + b"\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
_COMMANDS = (
    b"\x04PING" + b"\0\0", b"\x04PING", b"\x04PING\xff\xff" + b"x" * 200, b"\x04PONG", b"\x09SUBSCRIBE", b"\x06CANCEL",
    b"\x05ERROR\x03abc", b"\x05ERROR\xff", b"\x05READY", b"\x05HELLO" + bytes(194), b"\x08INITIATE", b"\xff", b"",
    b"\x04JOIN", b"\x07UNKNOWN",
)  # fmt: skip


def spoilt_stream(chance: random.Random, sound: Iterable[bytes]) -> list[bytes]:
    """What a connection may carry that is no ZMTP, or nearly: pieces to be written to a socket as they are.

    Before each but the first the other end is given a moment to answer the one before.
    """
    frames = list(sound)
    way = chance.randrange(10)
    if way == 0:
        return [chance.randbytes(chance.choice((1, 10, 100, 5000)))]
    if way == 1:
        return [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * chance.randrange(1, 100)]
    if way == 2:
        return [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + chance.randbytes(300)]
    if way == 3:
        return [GREETING[: chance.randrange(len(GREETING))]]
    if way == 4:
        # As ZMTP 1.0 would: an identity, then frames of one length byte.
        texts = [b"", *(frame for frame in frames if len(frame) < 250)]
        return [b"".join(bytes((len(text) + 1, chance.choice((0, 1, 255)))) + text for text in texts)]
    if way == 5:
        greeting = bytearray(GREETING)
        greeting[chance.randrange(len(greeting))] = chance.randrange(256)
        return [bytes(greeting), READY, *(_frame(0, frame) for frame in frames)]
    if way == 6:
        return [GREETING, spoilt_bytes(READY, chance.random), *(_frame(0, frame) for frame in frames)]
    if way == 7:
        return [GREETING, READY, b"".join(_command(chance.choice(_COMMANDS)) for _ in range(5))]
    words = b"".join(_frame(chance.choice((0, 0, 1, 4, 8, 255)) if way == 8 else 0, frame) for frame in frames)
    if way == 8:
        # One that is announced as longer than any memory, and never comes.
        n_bytes = chance.choice((2**63 - 1, 2**64 - 1, 2**40, 2**31, 70_000))
        return [GREETING, READY, words + b"\x02" + struct.pack(">Q", n_bytes) + b"x" * 100]
    return [GREETING, READY, spoilt_bytes(words, chance.random)]


def _frame(flags: int, body: bytes) -> bytes:
    """ZMTP's own: flags, length, and what is in it."""
    long = len(body) > 255
    return bytes((flags | (2 if long else 0),)) + struct.pack(">Q" if long else ">B", len(body)) + body


def _command(body: bytes) -> bytes:
    return _frame(4, body)


READY = _command(b"\x05READY" + b"\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER" + b"\x08Identity" + bytes(4))
