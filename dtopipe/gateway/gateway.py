"""The gateway: one port, every remote of a run; whoever is slow, away or hostile costs the others nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dtopipe.core.incoming import incoming
from dtopipe.gateway.lookers import OTHER_VERSION, Lookers
from dtopipe.gateway.remote import ServedRemote
from dtopipe.gateway.source import ServedSource
from dtopipe.host.clock import clock_pair, mono_ns
from dtopipe.model.errors import WireError
from dtopipe.model.keys import PublicKey
from dtopipe.transport.key_folder import KeyFolder, KeyState, KnownKey
from dtopipe.transport.link_failure import LinkFailure, refusal_of
from dtopipe.transport.stream_server import Admission, Request, StreamServer
from dtopipe.wire.link_items import NO_VERSION, PROTOCOL_VERSION
from dtopipe.wire.link_messages import (
    FROM_REMOTE,
    PULLS,
    Bye,
    ClockAnswer,
    Credit,
    Finished,
    Items,
    Leave,
    LinkRefused,
    Look,
    Probe,
    Pull,
    RemoteSays,
    RunSeen,
)
from dtopipe.wire.message_fields import body_of
from dtopipe.wire.messages import GatewaySays, HoldAsked, RemoteEvent, RemoteFacts, RemoteGaps, RemotesServed

_IDLE_S = 0.02
_MOST_REQUESTS, _LONGEST_HEARING_NS = 200, 50_000_000
_LOOK_EVERY_NS = 250_000_000
# What may wait for one remote, and for all of them together.
_AHEAD_BYTES, _AHEAD_OF_ALL_BYTES = 32 * 2**20, 256 * 2**20
_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_MOST_REMOTES = 256
_MOST_SKIPPED = 1000
_MOST_STRANGERS = 1000
# Who drops is told the end, if it is there; nobody waits for it.
_DROPPERS_GRACE_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a remote is waited for.

    `drain_ns`: at the end, without progress. `keep_ns`: how long one may be away until it is forgotten; None: for ever.
    """

    drain_ns: int
    keep_ns: int | None = None


class Gateway:
    """Serves one source. `tell` hears what happens, as messages for a supervisor. One thread uses it."""

    def __init__(
        self,
        endpoint: str,
        keys: KeyFolder | None,
        limits: Limits,
        tell: Callable[[GatewaySays], None],
        expected: Iterable[str] = (),
        ask_status: Callable[[], None] | None = None,
    ) -> None:
        """`keys`: None serves everybody. `expected`: whom a predecessor served. Raises DtopipeError.

        `ask_status`: asks for what is then given to `show`; None where nobody can tell how the run is, for it is over.
        """
        self._keys = keys
        own = None if keys is None else keys.own()
        self._limits = limits
        self._tell_supervisor = tell
        self._server = StreamServer(endpoint, own, self._admit)
        self._lookers = Lookers(self._server, ask_status, self._refusal_of_key)
        self._remotes: dict[str, ServedRemote] = {}
        self._began_ns = self._looked_ns = mono_ns()
        self._ended_ns = 0
        self._refused: dict[bytes, int] = {}
        self._states: dict[bytes, KnownKey] = {}
        # They come back within some seconds.
        self._expected = set(expected)
        self.source: ServedSource | None = None

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return self._server.endpoint

    def turn(self) -> None:
        """Send what is due, hear what was said; waits a moment where there is nothing to do."""
        busy = self._send()
        # Whoever says too much must not keep the others from being served.
        wait_s = 0.0 if busy else _IDLE_S
        for request in incoming(self._server.receive, wait_s, _MOST_REQUESTS, _LONGEST_HEARING_NS, mono_ns):
            self._hear(request)
        self._lookers.look(mono_ns())
        if mono_ns() - self._looked_ns > _LOOK_EVERY_NS:
            self._looked_ns = mono_ns()
            self._look()

    def hold(self, remote_id: str, at: int) -> None:
        """Nothing is deleted from this sample on before that remote has it."""
        if remote_id in self._remotes:
            self._remotes[remote_id].was_held(at)

    def show(self, seen: RunSeen) -> None:
        """How the run is, as was asked for."""
        self._lookers.show(seen, mono_ns())

    def has_done(self) -> bool:
        """True once the run has ended and every remote has it, or is waited for no longer."""
        if self.source is None or self.source.end is None:
            return False
        now_ns = mono_ns()
        self._ended_ns = self._ended_ns or now_ns
        if self._expected and now_ns - self._ended_ns < self._limits.drain_ns:
            return False
        waited_for = [remote for remote in self._remotes.values() if not remote.has_finished]
        late = [remote for remote in waited_for if self._is_late(remote, now_ns)]
        for remote in late:
            self._forget(remote, "remote_left" if remote.drops else "remote_left_behind")
        return len(late) == len(waited_for)

    def close(self) -> None:
        """Let go of the port and of files."""
        for remote in self._remotes.values():
            remote.pause()
        self._lookers.part()
        self._server.close()

    def _is_late(self, remote: ServedRemote, now_ns: int) -> bool:
        if remote.drops:
            return remote.has_everything or now_ns - self._ended_ns > _DROPPERS_GRACE_NS
        if remote.link.is_away(now_ns) and (remote.has_everything or not remote.link.has_taken):
            return True
        return now_ns - max(remote.link.progress_ns, self._ended_ns) > self._limits.drain_ns

    def _send(self) -> bool:
        """One turn of sending; True if there was something."""
        busy = False
        ahead_bytes = min(_AHEAD_BYTES, _AHEAD_OF_ALL_BYTES // max(1, len(self._remotes)))
        for remote in list(self._remotes.values()):
            for message, payload in remote.due(self.source, ahead_bytes):
                busy = busy or isinstance(message, Items)
                if not self._server.send(remote.address, message, payload):
                    remote.pause()
                    break
            if remote.was_refused:
                self._forget(remote, "remote_left")
        return busy

    def _hear(self, request: Request) -> None:
        try:
            if self._is_of_other_version(request):
                return
            message = FROM_REMOTE.read(request.message)
            if message is not None:
                self._follow(request, message)
        except WireError as error:
            self._server.malformed.note(error)

    def _is_of_other_version(self, request: Request) -> bool:
        """True if somebody asks who speaks another version, whose other keys nobody here knows; he is told."""
        pull = PULLS.read(request.message)
        if pull is None or pull.version == PROTOCOL_VERSION:
            return False
        if pull.version != NO_VERSION:
            self._refuse(request.address, pull.session, *(self._refusal_of_key(request.key) or OTHER_VERSION))
        return True

    def _follow(self, request: Request, message: RemoteSays) -> None:
        """Do what a remote asks for. Raises WireError where it may not ask."""
        if isinstance(message, Pull):
            self._pull(request, message)
            return
        if isinstance(message, Look):
            self._lookers.hear(request, message)
            return
        remote = self._remotes.get(message.remote)
        if remote is not None and remote.key != request.key:
            raise WireError("a remote that is somebody else's")
        if isinstance(message, Finished):
            self._finished(request, message, remote)
        elif isinstance(message, Leave):
            self._expected.discard(message.remote)
            if remote is not None:
                self._forget(remote, "remote_left")
        elif remote is not None and remote.address == request.address:
            if isinstance(message, Credit):
                remote.credit(message)
            elif isinstance(message, Probe):
                answer = ClockAnswer(remote.link.session, message.asked, *clock_pair())
                self._server.send(request.address, answer)

    def _pull(self, request: Request, message: Pull) -> None:
        remote_id = message.remote
        if not _ID.fullmatch(remote_id):
            raise WireError("a remote without an id")
        refusal = self._refusal_of_key(request.key) or self._refusal(message)
        if refusal is not None:
            self._refuse(request.address, message.session, *refusal)
            return
        remote = self._remotes.get(remote_id)
        if remote is not None and remote.key != request.key:
            raise WireError("a remote that is somebody else's")
        is_new = remote is None
        if remote is None:
            if len(self._remotes) >= _MOST_REMOTES and not self._made_room():
                self._refuse(request.address, message.session, f"it serves {_MOST_REMOTES} others already", "", False)
                return
            remote = self._remotes[remote_id] = ServedRemote(remote_id, self._name_of(request.key), request.key)
        remote.peer = request.peer
        remote.pull(request.address, message)
        if is_new:
            self._tell("remote_joined", remote)
        self._expected.discard(remote_id)
        self._ask_to_hold(remote)

    def _made_room(self) -> bool:
        """A remote that is away and has never taken anything makes room for a newcomer; false if there is none."""
        now_ns = mono_ns()
        idle = next((r for r in self._remotes.values() if r.link.is_away(now_ns) and not r.link.has_taken), None)
        if idle is not None:
            self._forget(idle, "remote_forgotten")
        return idle is not None

    def _ask_to_hold(self, remote: ServedRemote) -> None:
        """Only the supervisor knows what nobody else needs any more."""
        at = remote.needs_hold
        if at is not None and self.source is not None and self.source.retires:
            self._tell_supervisor(HoldAsked(remote.remote_id, at))

    def _finished(self, request: Request, message: Finished, remote: ServedRemote | None) -> None:
        """It has everything, for good; it may say so more than once."""
        self._expected.discard(message.remote)
        if remote is not None and not remote.has_finished:
            remote.finish(message)
            self._tell("remote_finished", remote)
        self._server.send(request.address, Bye(message.session))

    def _refusal(self, message: Pull) -> tuple[str, str, bool] | None:
        """(what is wrong, the way out, whether that stays so), or None."""
        wanted, skipped = message.run_id, message.skip[:_MOST_SKIPPED]
        if self.source is None:
            return None
        here = self.source.stream.run_id
        if wanted and wanted != here:
            return (
                f"it serves the run {here} now, and not {wanted}",
                "there: dtopipe serve RUN; here, what is absent: dtopipe repair RUN --from that endpoint",
                not message.may_wait,
            )
        return (f"the run {here} was followed already", "", False) if here in skipped else None

    def _admit(self, key: bytes, address: str) -> Admission:
        known = None if self._keys is None else self._keys.state_of(key)
        if known is not None and known.state is KeyState.AUTHORIZED:
            return Admission.WELCOME
        revoked = known is not None and known.state is KeyState.REVOKED
        status = Admission.REVOKED if revoked else Admission.UNKNOWN
        if len(self._refused) >= _MOST_STRANGERS:
            self._refused.clear()
        times = self._refused[key] = self._refused.get(key, 0) + 1
        if times.bit_count() > 1:
            # It tries on and on: told at the first time, the second, the fourth, ...
            return status
        details = {
            "address": address,
            "key": PublicKey("", key).fingerprint,
            "why": "revoked key" if revoked else "unknown key",
            "times": times,
        }
        name = known.name if known is not None else ""
        self._tell_supervisor(RemoteEvent("remote_refused", name=name, details=details))
        return status

    def _name_of(self, key: bytes) -> str:
        known = self._states.get(key)
        return known.name if known is not None else ""

    def _look(self) -> None:
        """A remote that was revoked meanwhile is sent nothing more; the supervisor hears how the others get on."""
        now_ns = mono_ns()
        self._states = {} if self._keys is None else self._keys.states()
        for remote in list(self._remotes.values()):
            refusal = self._refusal_of_key(remote.key)
            if refusal is not None:
                # It would have to find out by itself.
                self._refuse(remote.address, remote.link.session, *refusal)
                self._forget(remote, "remote_revoked")
                continue
            self._ask_to_hold(remote)
            self._tell_gaps(remote)
            is_away = remote.link.is_away(now_ns)
            if is_away and self._has_begun_anew(remote, now_ns):
                self._forget(remote, "remote_replaced")
            elif is_away and self._is_kept_too_long(now_ns - remote.link.heard_ns):
                self._forget(remote, "remote_forgotten")
        if self._expected and self._is_kept_too_long(now_ns - self._began_ns):
            for remote_id in self._expected:
                self._tell_supervisor(RemoteEvent("remote_forgotten", remote_id))
            self._expected.clear()
        facts = tuple(_facts(remote, now_ns) for remote in self._remotes.values())
        self._tell_supervisor(RemotesServed(facts, self._server.malformed.count))

    def _refuse(self, address: bytes, session: int, message: str, remedy: str, is_final: bool) -> None:
        self._server.send(address, LinkRefused(session, message, remedy, is_final))

    def _refusal_of_key(self, key: bytes) -> tuple[str, str, bool] | None:
        """As `_refusal`, of one whose connection has outlived its authorization; None if it may be served.

        By what was known some instants ago at most; who was authorized just now may be served.
        """
        if self._keys is None:
            return None
        known = self._states.get(key)
        if known is None or known.state is not KeyState.AUTHORIZED:
            self._states = self._keys.states()
            known = self._states.get(key)
        if known is not None and known.state is KeyState.AUTHORIZED:
            return None
        failure = LinkFailure.UNKNOWN_KEY if known is None else LinkFailure.REVOKED_KEY
        message, remedy = refusal_of(failure, PublicKey("" if known is None else known.name, key)) or ("", "")
        return message, remedy, True

    def _is_kept_too_long(self, away_ns: int) -> bool:
        return self._limits.keep_ns is not None and away_ns > self._limits.keep_ns

    def _has_begun_anew(self, remote: ServedRemote, now_ns: int) -> bool:
        """True if the same key came with a new run after this one had fallen silent: what it began before is over."""
        others = [o for o in self._remotes.values() if o.key == remote.key and not o.link.is_away(now_ns)]
        return bool(remote.key) and any(other.joined_ns > remote.link.heard_ns for other in others)

    def _forget(self, remote: ServedRemote, event: str) -> None:
        remote.pause()
        self._tell_gaps(remote)
        del self._remotes[remote.remote_id]
        self._tell(event, remote)

    def _tell_gaps(self, remote: ServedRemote) -> None:
        if remote.new_gaps:
            gaps, remote.new_gaps = tuple(remote.new_gaps), []
            name = remote.name or remote.label or remote.remote_id[:8]
            self._tell_supervisor(RemoteGaps(name, gaps))

    def _tell(self, event: str, remote: ServedRemote) -> None:
        facts = body_of(_facts(remote, mono_ns()))
        details = {key: value for key, value in facts.items() if key not in ("id", "name", "label")}
        self._tell_supervisor(RemoteEvent(event, remote.remote_id, remote.name, remote.label, details))


def _facts(remote: ServedRemote, now_ns: int) -> RemoteFacts:
    return RemoteFacts(
        remote_id=remote.remote_id,
        name=remote.name,
        label=remote.label,
        address=remote.peer,
        policy="drop" if remote.drops else "block",
        sent=remote.link.sent_to,
        durable=remote.link.durable,
        gaps=remote.gap_samples,
        away=remote.link.is_away(now_ns),
        finished=remote.has_finished,
    )
