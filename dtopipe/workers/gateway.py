"""The gateway process: serves the run to other machines, and never touches the ring but to read when it has ended."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from dtopipe.host.clock import mono_ns
from dtopipe.model.errors import BoardError, DtopipeError, WireError
from dtopipe.model.keys import PublicKey
from dtopipe.shm.ring import Ring
from dtopipe.transport.key_folder import KeyFolder, KeyState, keys_dir
from dtopipe.transport.stream_server import Admission, Request, StreamServer
from dtopipe.wire.control import Message
from dtopipe.wire.describe import stream_from
from dtopipe.workers.process import Worker, run_worker
from dtopipe.workers.served_remote import PROTOCOL_VERSION, ServedRemote
from dtopipe.workers.served_run import ServedRun

_IDLE_S = 0.02
_LOOK_EVERY_NS = 250_000_000
_LONGEST_ID = 64
_MOST_REMOTES = 256


class Gateway:
    """One port, every remote of the run."""

    def __init__(self, worker: Worker, endpoint: str, *, insecure: bool) -> None:
        self._worker = worker
        self._keys = None if insecure else KeyFolder(keys_dir())
        own = None if self._keys is None else self._keys.own()
        self._server = StreamServer(endpoint, own, self._admit)
        self._run: ServedRun | None = None
        self._remotes: dict[str, ServedRemote] = {}
        self._drain_limit_ns = round(worker.orders.get("drain_limit_s", float) * 1e9)
        self._looked_ns = self._ended_ns = 0
        # Whom a predecessor that was killed has served: they come back within some seconds.
        self._expected = {str(remote_id) for remote_id in worker.orders.get("expected", list)}
        worker.control.send(Message("serving", {"endpoint": self._server.endpoint}))

    def run(self) -> None:
        """Serve until the run has ended and every remote has it, or is waited for no longer."""
        while not self._has_done():
            busy = self._send()
            request = self._server.receive(0 if busy else _IDLE_S)
            while request is not None:
                self._hear(request)
                request = self._server.receive(0)
            if mono_ns() - self._looked_ns > _LOOK_EVERY_NS:
                self._looked_ns = mono_ns()
                self._listen()
                self._look()

    def close(self) -> None:
        """Let go of the port and of the journal."""
        for remote in self._remotes.values():
            remote.pause()
        self._server.close()

    def _send(self) -> bool:
        """One turn of sending; True if there was something."""
        busy = False
        for remote in self._remotes.values():
            for message, payload in remote.due(self._run):
                busy = busy or message.kind == "items"
                if not self._server.send(remote.address, message, payload):
                    remote.pause()
                    break
        return busy

    def _hear(self, request: Request) -> None:
        message = request.message
        try:
            remote_id = message.get("remote", str, "")
            if message.kind == "pull":
                self._pull(request, remote_id)
                return
            remote = self._remotes.get(remote_id)
            if remote is not None and remote.key != request.key:
                raise WireError("a remote that is somebody else's")
            if message.kind == "finished":
                self._finished(request, remote_id, remote)
            elif message.kind == "leave":
                self._expected.discard(remote_id)
                if remote is not None:
                    self._forget(remote, "remote_left")
            elif message.kind == "credit" and remote is not None and remote.address == request.address:
                remote.credit(message)
        except WireError as error:
            self._server.malformed += 1
            logging.warning("a request that is malformed: %s", error)

    def _pull(self, request: Request, remote_id: str) -> None:
        message = request.message
        if not 0 < len(remote_id) <= _LONGEST_ID:
            raise WireError("a remote without a name")
        refusal = self._refusal(message)
        if refusal is not None:
            body = {"session": message.get("session", int), "message": refusal[0], "remedy": refusal[1]}
            self._server.send(request.address, Message("refused", body))
            return
        remote = self._remotes.get(remote_id)
        if remote is not None and remote.key != request.key:
            raise WireError("a remote that is somebody else's")
        if remote is None:
            if len(self._remotes) >= _MOST_REMOTES:
                raise WireError(f"more than {_MOST_REMOTES} remotes")
            remote = self._remotes[remote_id] = ServedRemote(remote_id, self._name_of(request.key), request.key)
            self._tell("remote_joined", remote)
        self._expected.discard(remote_id)
        remote.pull(request.address, message)

    def _finished(self, request: Request, remote_id: str, remote: ServedRemote | None) -> None:
        """It has everything, for good; it may say so more than once."""
        self._expected.discard(remote_id)
        if remote is not None and not remote.has_finished:
            remote.has_finished = True
            self._tell("remote_finished", remote)
        self._server.send(request.address, Message("bye", {"session": request.message.get("session", int)}))

    def _refusal(self, message: Message) -> tuple[str, str] | None:
        if message.get("version", int) != PROTOCOL_VERSION:
            return (
                f"it speaks version {PROTOCOL_VERSION} of the protocol",
                "install the same version of dtopipe on both",
            )
        wanted, run = message.get("run_id", str), self._run
        if wanted and run is not None and wanted != run.stream.run_id:
            return (
                "the run that was followed is over there, and another one is served now",
                "what is absent here is in that machine's run folder: dtopipe repair RUN --from a copy of it",
            )
        return None

    def _admit(self, key: bytes, address: str) -> Admission:
        known = None if self._keys is None else self._keys.state_of(key)
        if known is not None and known.state is KeyState.AUTHORIZED:
            return Admission.WELCOME
        revoked = known is not None and known.state is KeyState.REVOKED
        fingerprint = PublicKey("", key).fingerprint
        who = known.name if known is not None else ""
        why = "revoked key" if revoked else "unknown key"
        self._worker.control.send(
            Message(
                "event", {"event": "remote_refused", "address": address, "key": fingerprint, "name": who, "why": why}
            )
        )
        return Admission.REVOKED if revoked else Admission.UNKNOWN

    def _name_of(self, key: bytes) -> str:
        known = self._keys.state_of(key) if self._keys is not None and key else None
        return known.name if known is not None else ""

    def _listen(self) -> None:
        """What the supervisor says: the run that there is to serve, and later that its journal is closed."""
        while (message := self._worker.control.receive()) is not None:
            if message.kind == "begin":
                stream = stream_from(message.get("stream", dict))
                self._run = ServedRun(
                    stream, Ring.attach(message.get("segment", str)), Path(message.get("journal", str))
                )
            elif message.kind == "ended" and self._run is not None:
                self._run.committed = message.get("committed", int)
                self._run.end = message.get("end", int)
                self._ended_ns = self._ended_ns or mono_ns()

    def _look(self) -> None:
        """Who was revoked meanwhile is sent nothing more; the supervisor hears how everybody gets on."""
        for remote in list(self._remotes.values()):
            if self._keys is not None:
                known = self._keys.state_of(remote.key)
                if known is None or known.state is not KeyState.AUTHORIZED:
                    self._forget(remote, "remote_revoked")
                    continue
            if remote.is_away:
                remote.pause()
                if self._has_begun_anew(remote):
                    self._forget(remote, "remote_replaced")
        facts = [
            {"id": r.remote_id, "name": r.name, "sent": r.sent_to, "durable": r.durable, "away": r.is_away,
             "finished": r.has_finished}
            for r in self._remotes.values()
        ]  # fmt: skip
        self._worker.control.send(Message("remotes", {"remotes": facts, "malformed": self._server.malformed}))

    def _has_begun_anew(self, remote: ServedRemote) -> bool:
        """True if the same key is here with a later run: what it began before, and fell silent over, is over."""
        others = [other for other in self._remotes.values() if other.key == remote.key and not other.is_away]
        return bool(remote.key) and any(other.joined_ns > remote.joined_ns for other in others)

    def _has_done(self) -> bool:
        if self._worker.orphaned.is_set():
            # The journal was closed without a word: nobody can say whether it is whole.
            return True
        if not self._ended_ns:
            return False
        now_ns = mono_ns()
        if self._expected and now_ns - self._ended_ns < self._drain_limit_ns:
            return False
        waited_for = [r for r in self._remotes.values() if not r.has_finished]
        late = [
            r
            for r in waited_for
            if now_ns - max(r.progress_ns, self._ended_ns) > self._drain_limit_ns or r.fell_silent_behind_the_end
        ]
        for remote in late:
            self._forget(remote, "remote_left_behind")
        return len(late) == len(waited_for)

    def _forget(self, remote: ServedRemote, event: str) -> None:
        remote.pause()
        del self._remotes[remote.remote_id]
        self._tell(event, remote)

    def _tell(self, event: str, remote: ServedRemote) -> None:
        body = {"event": event, "remote": remote.remote_id, "name": remote.name, "sent": remote.sent_to}
        self._worker.control.send(Message("event", {**body, "durable": remote.durable}))


def main(worker: Worker) -> None:
    """Listen at once, so that a port that is taken is told before the run begins; serve; close."""
    orders = worker.orders
    endpoint = orders.get("endpoint", str)
    try:
        gateway = Gateway(worker, endpoint, insecure=orders.get("insecure", bool))
    except DtopipeError as error:
        message, _, remedy = str(error).partition("\n")
        raise BoardError(
            "gateway", message, remedy.strip() or "is another run listening there? choose another port in listen:"
        ) from error
    try:
        gateway.run()
    finally:
        gateway.close()


if __name__ == "__main__":
    sys.exit(run_worker(main))
