"""The log that a NATS server keeps, a stream of JetStream: made or checked, and read by subject and sequence."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any

from dtopipe.broker.connection import BrokerConnection
from dtopipe.broker.errors import BrokerError
from dtopipe.broker.pulling import LogMessage, Pull

# Codes of the server's errors.
_NO_STREAM, _NO_MESSAGE, _NAME_IN_USE = 10059, 10037, 10058
_READER_IDLE_S = 30.0
_LOOK_S = 1.0
# A server that had to be asked anew, and has given nothing for so long, is not waited for.
_SILENT_S = 10.0
_MAKE_S = 30.0
_WITHOUT_ACKS = "make another stream, or let it acknowledge (no_ack: false)"


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How the log is made where it is not there. Of one that is there, what is given has to be so.

    None: as the server has it. `max_age_s`, `duplicate_window_s`: seconds. `discard`: what goes when it is full, the
    `old` messages or the `new` ones. `create`: make it; else it has to be there.
    """

    storage: str | None = None
    replicas: int | None = None
    max_bytes: int | None = None
    max_age_s: float | None = None
    discard: str | None = None
    duplicate_window_s: float | None = None
    create: bool = True


# Each setting's name in the server's configuration.
_NAMES = {
    "storage": "storage",
    "replicas": "num_replicas",
    "max_bytes": "max_bytes",
    "max_age_s": "max_age",
    "discard": "discard",
    "duplicate_window_s": "duplicate_window",
}


@dataclass(frozen=True, slots=True)
class LogState:
    """What the server says of the log. Sequences of its first and its last message, 0 where it is empty.

    `most_message_bytes`, `most_bytes`: None for no limit. `acknowledges_unsynced`: an acknowledgement may be of what a
    power cut of the server takes away, as far as the server tells.
    """

    first: int
    last: int
    replicas: int
    storage: str
    most_message_bytes: int | None
    most_bytes: int | None
    discards_new: bool


class Log:
    """One stream, by one connection. Raises BrokerError."""

    def __init__(self, connection: BrokerConnection) -> None:
        self._connection = connection
        self._name = connection.address.stream

    def ensure(self, subject: str, subjects: str, settings: LogSettings, *, was_there: bool = False) -> LogState:
        """It takes messages of `subject`, and is as `settings` say; made for `subjects` where it is not there.

        One that `was_there` has been looked at before: whoever has changed it since has done so on purpose. It is made
        again where all its servers have lost it.
        """
        info = self._connection.call(self._info)
        if info is None:
            if not settings.create:
                raise self._absent("create it, or set create: true", is_final=not was_there)
            info = self._connection.call(lambda: self._make(subjects, settings))
        self._ensure_fit(info.config, subject, None if was_there else settings)
        return _state(info)

    def state(self) -> LogState:
        """How it is now. Raises BrokerError where it is not there."""
        info = self._connection.call(self._info)
        if info is None:
            raise self._absent("start what writes into it, or name another one with stream:", is_final=False)
        return _state(info)

    def subjects(self, pattern: str) -> list[str]:
        """Every subject that has messages and fits this pattern, in order."""

        async def asked() -> list[str]:
            info = await self._connection.js.stream_info(self._name, subjects_filter=pattern)
            return sorted(info.state.subjects or {})

        return self._connection.call(asked)

    def last_of(self, subject: str) -> LogMessage | None:
        """Its newest message; None if there is none."""
        return self._message(lambda: self._connection.js.get_msg(self._name, subject=subject))

    def message(self, sequence: int) -> LogMessage | None:
        """The message of this sequence; None if it is not there, or not there any more."""
        return self._message(lambda: self._connection.js.get_msg(self._name, seq=sequence))

    def next_of(self, subject: str, sequence: int) -> LogMessage | None:
        """Its first message with this sequence or a later one; None if there is none."""
        return self._message(
            lambda: self._connection.js.get_msg(self._name, seq=max(1, sequence), subject=subject, next=True)
        )

    def last_before(self, subject: str, sequence: int) -> LogMessage | None:
        """Its newest message with a smaller sequence than this; None if there is none. A request a halving."""
        found, low, high = None, 1, sequence
        while low < high:
            middle = low if found is None else (low + high) // 2
            message = self.next_of(subject, middle)
            if message is not None and message.sequence < sequence:
                found, low = message, message.sequence + 1
            elif found is None:
                return None
            else:
                high = middle
        return found

    def read(self, subject: str, first: int, last: int, *, headers_only: bool = False) -> Iterator[LogMessage]:
        """The messages of a subject, or a pattern, with these sequences, both inclusive, in order.

        A server that hesitates is waited for, and asked anew where it has forgotten what it was asked.
        """
        at, heard_s = first, time.monotonic()
        while at <= last:
            try:
                for message in self._read_once(subject, at, last, headers_only=headers_only):
                    at, heard_s = message.sequence + 1, time.monotonic()
                    yield message
                # Nothing comes: there is nothing, or the server hesitates.
                following = None if at > last else self.next_of(subject, at)
                if following is None or following.sequence > last:
                    return
                problem = BrokerError(self._connection.target, "the server sends nothing", "see its log")
            except BrokerError as error:
                if error.is_final:
                    raise
                problem = error
            if not self._connection.is_connected or time.monotonic() - heard_s > _SILENT_S:
                raise problem

    def _read_once(self, subject: str, first: int, last: int, *, headers_only: bool) -> Iterator[LogMessage]:
        """What comes without a pause. Raises BrokerError where the server does not know of the request any more."""
        name, pull = self._connection.call(lambda: self._reader(subject, first, headers_only=headers_only))
        try:
            while True:
                found = self._connection.call(lambda: pull.take(_LOOK_S))
                for message in found:
                    if message.sequence <= last:
                        yield message
                if not found or found[-1].sequence >= last:
                    return
        finally:
            with contextlib.suppress(BrokerError):
                self._connection.call(lambda: self._forget(name, pull))

    def _message(self, ask: Callable[[], Awaitable[Any]]) -> LogMessage | None:
        async def asked() -> LogMessage | None:
            try:
                raw = await ask()
            except Exception as error:
                if getattr(error, "err_code", None) == _NO_MESSAGE:
                    return None
                raise
            return LogMessage(raw.seq, raw.subject, raw.headers, raw.data or b"", kept_at=raw.time)

        return self._connection.call(asked)

    async def _info(self) -> Any:
        try:
            return await self._connection.js.stream_info(self._name)
        except Exception as error:
            if getattr(error, "err_code", None) == _NO_STREAM:
                return None
            raise

    async def _make(self, subjects: str, settings: LogSettings) -> Any:
        given = _given(settings)
        try:
            # Servers that agree on who keeps it take their time, the more so where they have just met.
            js = self._connection.client.jetstream(timeout=max(_MAKE_S, self._connection.address.timeout_s))
            return await js.add_stream(name=self._name, subjects=[subjects], description="runs of dtopipe", **given)
        except Exception as error:
            # Somebody made it at the same moment.
            if getattr(error, "err_code", None) == _NAME_IN_USE:
                return await self._connection.js.stream_info(self._name)
            raise

    async def _reader(self, subject: str, first: int, *, headers_only: bool) -> tuple[str, Pull]:
        """A consumer that only looks: the server forgets it once it is not asked any more."""
        api = import_module("nats.js.api")
        name = f"dtopipe-look-{uuid.uuid4().hex}"
        config = api.ConsumerConfig(
            name=name,
            filter_subject=subject,
            ack_policy=api.AckPolicy.NONE,
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=max(1, first),
            headers_only=headers_only or None,
            inactive_threshold=_READER_IDLE_S,
            mem_storage=True,
            num_replicas=1,
        )
        await self._connection.js.add_consumer(self._name, config=config)
        return name, Pull(self._connection.client, self._name, name, self._connection.target)

    async def _forget(self, name: str, pull: Pull) -> None:
        await pull.end()
        with contextlib.suppress(Exception):
            await self._connection.js.delete_consumer(self._name, name)

    def _ensure_fit(self, config: Any, subject: str, settings: LogSettings | None) -> None:
        """Raises BrokerError where the stream is not one that was asked for."""
        if not any(covers(pattern, subject) for pattern in config.subjects or ()):
            takes = ", ".join(config.subjects or ()) or "nothing"
            raise self._unfit(
                f"does not take {subject}: its subjects are {takes}", "name another one with stream:, or add dtopipe.>"
            )
        if config.no_ack:
            raise self._unfit("acknowledges nothing, so that nobody could tell what is in it", _WITHOUT_ACKS)
        if config.sealed:
            raise self._unfit("is sealed, and takes nothing more", "name another one with stream:")
        retention = str(getattr(config.retention, "value", config.retention) or "limits")
        if retention != "limits":
            raise self._unfit(
                f"deletes what was read (retention: {retention}), so that nobody could tell how far a run is in it",
                "name another one with stream:, whose retention is limits",
            )
        for name, wanted in ({} if settings is None else _given(settings)).items():
            found = getattr(config, name)
            found = getattr(found, "value", found)
            wanted = getattr(wanted, "value", wanted)
            if found != wanted:
                option = next(option for option, theirs in _NAMES.items() if theirs == name).removesuffix("_s")
                raise self._unfit(
                    f"has {name} {found}, and {option} {wanted} was asked for",
                    f"change the stream (nats stream edit {self._name}), or take {option} out",
                )

    def _unfit(self, message: str, remedy: str) -> BrokerError:
        return BrokerError(self._connection.target, f"the stream {self._name} {message}", remedy, is_final=True)

    def _absent(self, remedy: str, *, is_final: bool) -> BrokerError:
        return BrokerError(self._connection.target, f"there is no stream {self._name}", remedy, is_final=is_final)


def covers(pattern: str, subject: str) -> bool:
    """True if this pattern of subjects has that subject, or that pattern, in it."""
    theirs, ours = pattern.split("."), subject.split(".")
    for number, word in enumerate(theirs):
        if word == ">":
            return len(ours) > number
        if number >= len(ours) or ours[number] == ">":
            return False
        if word != "*" and word != ours[number]:
            return False
    return len(theirs) == len(ours)


def _given(settings: LogSettings) -> dict[str, Any]:
    api = import_module("nats.js.api")
    found = {
        _NAMES[each.name]: getattr(settings, each.name)
        for each in fields(settings)
        if each.name in _NAMES and getattr(settings, each.name) is not None
    }
    if "storage" in found:
        found["storage"] = api.StorageType(found["storage"])
    if "discard" in found:
        found["discard"] = api.DiscardPolicy(found["discard"])
    return found


def _state(info: Any) -> LogState:
    config, state = info.config, info.state
    return LogState(
        first=state.first_seq,
        last=state.last_seq,
        replicas=config.num_replicas or 1,
        storage=str(getattr(config.storage, "value", config.storage)),
        most_message_bytes=config.max_msg_size if (config.max_msg_size or -1) > 0 else None,
        most_bytes=config.max_bytes if (config.max_bytes or -1) > 0 else None,
        discards_new=str(getattr(config.discard, "value", config.discard)) == "new",
    )
