"""Who may reach a real NATS server, and how: certificates, keys, tokens and credentials files."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nkeys
import pytest
from nats_server import NatsServer
from recordings import blocks, recorded

from dtopipe.model.errors import SinkError
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.jetstream.reader import JetStreamReader
from dtopipe.sinks.jetstream.writer import JetStreamWriter

trustme = pytest.importorskip("trustme", reason="certificates for the tests are made with trustme")
STREAM = recorded()


@dataclass(frozen=True)
class Papers:
    """Certificates: of the server, of a laboratory that it knows, and of a stranger's authority."""

    folder: Path

    def __post_init__(self) -> None:
        authority, stranger = trustme.CA(), trustme.CA()
        issued_to = [("server", authority, "127.0.0.1"), ("lab", authority, "lab@dtopipe.test")]
        for name, issuer, who in [*issued_to, ("other", stranger, "lab@other.test")]:
            issued = issuer.issue_cert(who)
            issued.private_key_pem.write_to_path(str(self.folder / f"{name}.key"))
            issued.cert_chain_pems[0].write_to_path(str(self.folder / f"{name}.crt"))
        authority.cert_pem.write_to_path(str(self.folder / "ca.crt"))
        stranger.cert_pem.write_to_path(str(self.folder / "other-ca.crt"))

    def file(self, name: str) -> str:
        return str(self.folder / name)

    def server(self, more: str = "") -> NatsServer:
        files = f'cert_file: "{self.file("server.crt")}", key_file: "{self.file("server.key")}"'
        return NatsServer(f'tls {{ {files}, ca_file: "{self.file("ca.crt")}", {more} }}')


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return Papers(tmp_path_factory.mktemp("papers"))


@contextlib.contextmanager
def running(server: NatsServer) -> Iterator[NatsServer]:
    try:
        yield server
    finally:
        server.close()


def there_and_back(server: NatsServer, endpoint: str = "", **options: Any) -> list[int]:
    """Write 300 samples, and read them back."""
    own = {"endpoint": endpoint or server.endpoint, "timeout_s": 5.0, **options}
    writer = JetStreamWriter(OutputOptions(None), run_name="heat", **own)
    try:
        writer.open(STREAM, 0, resume=False)
        writer.append(blocks(STREAM, 0, 300))
        writer.close()
    finally:
        writer.abandon()
    reader = JetStreamReader(None, "run-1", run_name="heat", **own)
    return [int(index) for rows in reader.batches() for index in rows.sample_index]


def test_an_encrypted_server_is_known_by_its_authority(papers: Papers) -> None:
    with running(papers.server()) as server:
        encrypted = f"tls://127.0.0.1:{server.port}"
        assert there_and_back(server, encrypted, ca=papers.file("ca.crt")) == list(range(300))
        for ca in (None, papers.file("other-ca.crt")):
            with pytest.raises(SinkError, match=r"(?i)certificate"):
                there_and_back(server, encrypted, **({} if ca is None else {"ca": ca}))


def test_a_server_that_wants_certificates_takes_those_of_its_authority(papers: Papers) -> None:
    with running(papers.server("verify: true")) as server:
        own = {"ca": papers.file("ca.crt"), "certificate": papers.file("lab.crt"), "key": papers.file("lab.key")}
        assert there_and_back(server, **own) == list(range(300))
        for name in ("", "other"):
            certificate = {"certificate": papers.file(f"{name}.crt"), "key": papers.file(f"{name}.key")} if name else {}
            with pytest.raises(SinkError):
                there_and_back(server, ca=papers.file("ca.crt"), **certificate)


class Listener:
    """One that says it is a server without encryption, and keeps what it is told."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._told = b""
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> bytes:
        self._thread.join()
        self._socket.close()
        return self._told

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            info = {
                "server_id": "x",
                "version": "2.10.0",
                "max_payload": 1048576,
                "headers": True,
                "auth_required": True,
            }
            connection.sendall(b"INFO " + json.dumps(info).encode() + b"\r\n")
            while data := connection.recv(4096):
                self._told += data


def test_a_server_without_encryption_is_not_spoken_to_where_it_is_asked_for(nats_server: NatsServer) -> None:
    heard = Listener()
    for port in (nats_server.port, heard.port):
        with pytest.raises(SinkError, match="the server does not encrypt"):
            there_and_back(nats_server, f"tls://127.0.0.1:{port}", user="lab", password="s3cr3t")
    assert b"s3cr3t" not in heard.close()


def test_a_token_opens_its_server_and_is_in_no_error() -> None:
    with running(NatsServer('authorization { token: "t0ken-of-the-lab" }')) as server:
        assert there_and_back(server, token="t0ken-of-the-lab") == list(range(300))
        with pytest.raises(SinkError) as refused:
            there_and_back(server, token="an0ther-token")
        assert "an0ther-token" not in str(refused.value)


def pair(kind: int, word: str) -> nkeys.KeyPair:
    """Keys that are told by a word alone."""
    return nkeys.from_seed(nkeys.encode_seed(hashlib.sha256(word.encode()).digest(), kind))


def test_an_nkey_opens_its_server(tmp_path: Path) -> None:
    lab, stranger = (pair(nkeys.PREFIX_BYTE_USER, word) for word in ("lab", "stranger"))
    public = lab.public_key.decode()
    for name, keys in (("lab", lab), ("stranger", stranger)):
        (tmp_path / f"{name}.nk").write_bytes(bytes(keys.seed))
    with running(NatsServer(f"authorization {{ users: [ {{nkey: {public}}} ] }}")) as server:
        assert there_and_back(server, nkey=str(tmp_path / "lab.nk")) == list(range(300))
        with pytest.raises(SinkError, match="refuses"):
            there_and_back(server, nkey=str(tmp_path / "stranger.nk"))


def token_of(issuer: nkeys.KeyPair, subject: nkeys.KeyPair, name: str, facts: dict[str, Any]) -> str:
    """A JWT as NATS has them: of an operator, an account or a user."""
    claims = {
        "jti": name, "iat": int(time.time()), "iss": issuer.public_key.decode(), "name": name,
        "sub": subject.public_key.decode(), "nats": {"version": 2, **facts},
    }  # fmt: skip
    parts = [{"typ": "JWT", "alg": "ed25519-nkey"}, claims]
    text = ".".join(_in_base64(json.dumps(part).encode()) for part in parts)
    return f"{text}.{_in_base64(issuer.sign(text.encode()))}"


def _in_base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_a_credentials_file_opens_its_account(tmp_path: Path) -> None:
    operator = pair(nkeys.PREFIX_BYTE_OPERATOR, "operator")
    account = pair(nkeys.PREFIX_BYTE_ACCOUNT, "account")
    user = pair(nkeys.PREFIX_BYTE_USER, "user")
    endless = dict.fromkeys(
        ("subs", "data", "payload", "imports", "exports", "conn", "leaf", "mem_storage", "disk_storage", "streams",
         "consumer"), -1,
    )  # fmt: skip
    of_operator = token_of(operator, operator, "operator", {"type": "operator"})
    of_account = token_of(operator, account, "account", {"type": "account", "limits": {**endless, "wildcards": True}})
    of_user = token_of(account, user, "user", {"type": "user", "subs": -1, "data": -1, "payload": -1})
    creds = tmp_path / "lab.creds"
    creds.write_text(
        f"-----BEGIN NATS USER JWT-----\n{of_user}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{bytes(user.seed).decode()}\n------END USER NKEY SEED------\n"
    )
    system = pair(nkeys.PREFIX_BYTE_ACCOUNT, "system")
    without_store = {**endless, "mem_storage": 0, "disk_storage": 0}
    accounts = {
        system.public_key.decode(): token_of(operator, system, "system", {"type": "account", "limits": without_store}),
        account.public_key.decode(): of_account,
    }
    preloaded = ", ".join(f"{name}: {told}" for name, told in accounts.items())
    extra = (
        f"operator: {of_operator}\nsystem_account: {system.public_key.decode()}\nresolver: MEMORY\n"
        f"resolver_preload: {{ {preloaded} }}"
    )
    with running(NatsServer(extra)) as server:
        assert there_and_back(server, credentials=str(creds)) == list(range(300))
        with pytest.raises(SinkError, match="refuses"):
            there_and_back(server)
