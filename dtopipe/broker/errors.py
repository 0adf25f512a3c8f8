"""What a NATS server, its client and the network say, in our words, with the way out; importable without nats-py."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import NamedTuple

from dtopipe.model.errors import DtopipeError


class BrokerError(DtopipeError):
    """The server cannot do what it was asked. `is_final`: asking again would change nothing."""

    def __init__(self, target: str, message: str, remedy: str, *, is_final: bool = False) -> None:
        self.target = target
        self.is_final = is_final
        super().__init__(message, remedy)

    @property
    def headline(self) -> str:
        """The message, with where the server is."""
        return f"{self.target}: {self.message}"


class Meaning(NamedTuple):
    """What an answer means here, and the way out."""

    message: str
    remedy: str
    is_final: bool


_RUNS = "see whether it runs and can be reached, and host and port"
_WHO = "see user and password (or credentials, nkey, token), and the server's list of users"
_ROOM = "raise the stream's limits (max_bytes, max_msgs), delete what is old, or let readers get on"
# By the server's own error code: https://github.com/nats-io/nats-server/blob/main/server/errors.json
_MEANINGS = {
    10005: Meaning("its cluster has too few servers for so many replicas", "start them, or set fewer replicas", False),
    10008: Meaning("its cluster has no leader at the moment", "see whether most of its servers run", False),
    10009: Meaning("its cluster has no leader at the moment", "see whether most of its servers run", False),
    10023: Meaning("the server has not the room that was asked for", "raise its max_file_store, or free some", False),
    10025: Meaning("the server cannot be asked about streams by this user", _WHO, True),
    10028: Meaning("this account may have no more storage", "raise the account's limits on the server", False),
    10039: Meaning("JetStream is not enabled for this account", "enable it for the account on the server", True),
    10047: Meaning("the server has not the room that was asked for", "raise its max_file_store, or free some", False),
    10052: Meaning("the server refuses this stream", "see its log", True),
    10054: Meaning("the stream takes no message as large as these", "raise max_msg_size of the stream", True),
    10059: Meaning("the stream is not there", "it is made again once the server answers", False),
    10060: Meaning("this subject goes to another stream", "name that stream, or another one's subject", True),
    10065: Meaning("another stream there has these subjects", "name that one with stream:, or delete it", True),
    10074: Meaning("a single server keeps no replicas", "set replicas: 1, or name a cluster", True),
    10076: Meaning("the server has stopped JetStream", "see its log: its disk may be full", False),
    10077: Meaning("the stream is full, and discards what is new", _ROOM, False),
}
# What a server says in words alone, in small letters.
_IN_WORDS = (
    ("maximum bytes exceeded", _MEANINGS[10077]),
    ("maximum messages exceeded", Meaning("the stream is full, and discards what is new", _ROOM, False)),
    ("maximum messages per subject exceeded", Meaning("the subject is full, and discards what is new", _ROOM, False)),
    ("authorization violation", Meaning("the server refuses this user", _WHO, True)),
    ("authorization failed", Meaning("the server refuses this user", _WHO, True)),
    ("user authentication expired", Meaning("the user's credentials are no longer valid", _WHO, True)),
    ("account authentication expired", Meaning("the account is no longer valid", _WHO, True)),
    ("permissions violation", Meaning("this user has not the permissions", "grant them on the server", True)),
    ("maximum connections exceeded", Meaning("the server takes no more connections", "raise its limit", False)),
    ("secure connection", Meaning("the server and this connection differ about encryption", "", False)),
    ("no space left", Meaning("the server's disk is full", "free some space there; what is committed is safe", False)),
)
_TLS = "the server wants an encrypted connection: write tls:// in the endpoint, or name ca: its authority's certificate"


def explained(target: str, error: BaseException, secrets: Sequence[str] = ()) -> BrokerError:
    """That error as one of ours, without secrets."""
    if isinstance(error, BrokerError):
        return error
    said = _clean(str(error), secrets)
    meaning = _meaning(error, said)
    if meaning is not None:
        code = getattr(error, "description", None)
        told = f"{meaning.message} (NATS: {_clean(str(code), secrets)})" if code else meaning.message
        return BrokerError(target, told, meaning.remedy or _TLS, is_final=meaning.is_final)
    return BrokerError(target, f"the server cannot be used (NATS: {said or type(error).__name__})", "see its log")


def _meaning(error: BaseException, said: str) -> Meaning | None:
    known = _MEANINGS.get(getattr(error, "err_code", None) or 0)
    if known is not None:
        return known
    for words, meaning in _IN_WORDS:
        if words in said.lower():
            return meaning
    if isinstance(error, ssl.SSLCertVerificationError):
        what = f"the server's certificate is refused ({error.verify_message.rstrip('.')})"
        return Meaning(what, "name ca: the certificate of the authority that signed it", True)
    if isinstance(error, ssl.SSLError):
        what = f"no encrypted connection comes about ({error.reason or 'TLS'})"
        return Meaning(what.lower(), "see ca, certificate and key, and the server's log", False)
    if type(error).__name__ in ("NoRespondersError", "NoStreamResponseError"):
        return Meaning("JetStream does not answer there", "start the server with JetStream (-js)", False)
    if isinstance(error, TimeoutError):
        return Meaning("the server does not answer", "see whether it runs and can be reached", False)
    if isinstance(error, OSError):
        return Meaning(f"the server cannot be reached ({error.strerror or said})", _RUNS, False)
    if type(error).__name__ == "NoServersError":
        return Meaning("the server cannot be reached", _RUNS, False)
    if type(error).__name__ in ("ConnectionClosedError", "StaleConnectionError", "UnexpectedEOF"):
        return Meaning("the connection is lost", "see whether the server runs", False)
    return None


def _clean(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    line = text.strip().splitlines()[0] if text.strip() else ""
    return line.removeprefix("nats: ").strip("'")
