"""Encrypted connections to a real server: what comes about, and of what does not the reason and the way out."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from recordings import blocks, recorded
from tls_server import CERTIFIED, PASSWORD, TlsServer, running_tls_server

from dtopipe.errors import SinkError, SinkUnavailable
from dtopipe.sinks.contract import OutputOptions
from dtopipe.sinks.postgres.writer import PostgresWriter

# The server keeps what each test wrote, so that each needs a run of its own.
NUMBERS = count()


@pytest.fixture(scope="module")
def running() -> Iterator[TlsServer]:
    yield from running_tls_server()


@pytest.fixture
def server(running: TlsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TlsServer:
    """With its right certificate, and without any files of this user's."""
    monkeypatch.setenv("HOME", str(tmp_path))
    running.server_is("right")
    return running


def write(dsn: str) -> int:
    writer = PostgresWriter(OutputOptions(None), dsn=dsn, schema="lab")
    try:
        run = recorded(run_id=f"run-{next(NUMBERS)}")
        writer.open(run, 0, resume=False)
        writer.append(blocks(run, 0, 10))
        return writer.close().samples
    finally:
        writer.abandon()


def refused(dsn: str) -> SinkError:
    with pytest.raises(SinkError) as error:
        write(dsn)
    assert PASSWORD not in str(error.value)
    assert "s3cr3t" not in str(error.value)
    assert error.value.remedy
    return error.value


@pytest.mark.parametrize("mode", ["prefer", "require", "verify-ca", "verify-full"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_with_the_right_certificates_every_mode_writes(mode: str, host: str, server: TlsServer) -> None:
    assert write(server.dsn(host, sslmode=mode, sslrootcert=server.certificate("ca"))) == 10


def test_the_users_own_root_certificate_and_the_environment_are_found(
    server: TlsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert "root certificate file" in refused(server.dsn()).message
    monkeypatch.setenv("PGSSLROOTCERT", str(server.certificate("ca")))
    assert write(server.dsn()) == 10
    monkeypatch.delenv("PGSSLROOTCERT")
    (tmp_path / ".postgresql").mkdir()
    (tmp_path / ".postgresql" / "root.crt").write_bytes(server.certificate("ca").read_bytes())
    assert write(server.dsn()) == 10


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_without_a_root_certificate_it_is_asked_for(mode: str, server: TlsServer) -> None:
    error = refused(server.dsn(sslmode=mode))
    assert "the server's certificate cannot be checked: root certificate file" in error.message
    assert "sslrootcert=" in error.remedy
    assert not isinstance(error, SinkUnavailable)


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_an_authority_that_has_not_signed_it_is_told(mode: str, server: TlsServer) -> None:
    error = refused(server.dsn(sslmode=mode, sslrootcert=server.certificate("stranger-ca")))
    assert "the server's certificate is refused (self-signed certificate in certificate chain)" in error.message
    assert "sslrootcert=" in error.remedy
    # It may be put right while the run goes on.
    assert isinstance(error, SinkUnavailable)


@pytest.mark.parametrize(("host", "said"), [("localhost", "Hostname mismatch"), ("127.0.0.1", "IP address mismatch")])
def test_a_certificate_of_another_host_is_told(host: str, said: str, server: TlsServer) -> None:
    server.server_is("elsewhere")
    root = server.certificate("ca")
    error = refused(server.dsn(host, sslmode="verify-full", sslrootcert=root))
    assert f"is refused ({said}, certificate is not valid for '{host}')" in error.message
    assert "as it stands in the certificate" in error.remedy
    # Only that mode asks for the name.
    assert write(server.dsn(host, sslmode="verify-ca", sslrootcert=root)) == 10


def test_a_certificate_that_has_expired_is_told(server: TlsServer) -> None:
    server.server_is("expired")
    for mode in ("require", "verify-ca", "verify-full"):
        error = refused(server.dsn(sslmode=mode, sslrootcert=server.certificate("ca")))
        assert "is refused (certificate has expired)" in error.message
        assert "valid now" in error.remedy
    # Without a root certificate nobody looks.
    assert write(server.dsn(sslmode="require")) == 10


def test_files_that_are_not_there_or_no_certificates_are_named(server: TlsServer, tmp_path: Path) -> None:
    root = server.certificate("ca")
    (tmp_path / "notes").write_text("no certificate")
    missing = refused(server.dsn(sslmode="verify-full", sslrootcert=tmp_path / "none.crt"))
    assert f"sslrootcert {tmp_path / 'none.crt'}, the certificate of the server's authority, cannot be read" in str(
        missing
    )
    assert "is not the certificate of the server's authority in PEM" in str(
        refused(server.dsn(sslmode="verify-full", sslrootcert=tmp_path / "notes"))
    )
    as_client: dict[str, Any] = {"user": CERTIFIED, "sslmode": "verify-full", "sslrootcert": root}
    error = refused(server.dsn(**as_client, sslcert=server.certificate("client"), sslkey=tmp_path / "none.key"))
    assert "none.key, the client's key, cannot be read (No such file or directory)" in error.message
    pairs: list[dict[str, Any]] = [
        {"sslcert": tmp_path / "notes", "sslkey": server.key("client")},
        {"sslcert": server.certificate("client")},
    ]
    for files in pairs:
        error = refused(server.dsn(**as_client, **files))
        assert "sslcert and its sslkey cannot be read as PEM" in error.message
        assert not isinstance(error, SinkUnavailable)
    error = refused(server.dsn(**as_client, sslcert=server.certificate("client"), sslkey=server.key("nobody")))
    assert "sslkey is not the key of sslcert" in error.message


def test_a_mode_that_there_is_not_is_told(server: TlsServer) -> None:
    error = refused(server.dsn(sslmode="verify"))
    assert "sslmode parameter must be one of: disable, allow, prefer" in error.message


def test_a_client_shows_its_certificate(server: TlsServer) -> None:
    as_client: dict[str, Any] = {"user": CERTIFIED, "sslmode": "verify-full", "sslrootcert": server.certificate("ca")}

    def with_certificate(name: str) -> str:
        return server.dsn(**as_client, sslcert=server.certificate(name), sslkey=server.key(name))

    assert write(with_certificate("client")) == 10
    error = refused(server.dsn(**as_client))
    assert "connection requires a valid client certificate" in error.message
    assert "sslcert=" in error.remedy
    error = refused(with_certificate("nobody"))
    assert "certificate authentication failed" in error.message
    assert "sslcert=" in error.remedy
    error = refused(with_certificate("stranger"))
    assert "most likely it does not know who signed sslcert" in error.message
    assert "ssl_ca_file" in error.remedy


def test_a_clients_key_may_have_a_password_that_nobody_is_shown(server: TlsServer, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(server.key("client").read_bytes(), None)
    kept = tmp_path / "kept.key"
    encoding = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    kept.write_bytes(key.private_bytes(*encoding, serialization.BestAvailableEncryption(b"of-the-key")))
    as_client: dict[str, Any] = {"user": CERTIFIED, "sslmode": "verify-full", "sslrootcert": server.certificate("ca")}
    files: dict[str, Any] = {"sslcert": server.certificate("client"), "sslkey": kept}
    assert write(server.dsn(**as_client, **files, sslpassword="of-the-key")) == 10
    error = refused(server.dsn(**as_client, **files, sslpassword="another-one"))
    assert "sslcert and its sslkey cannot be read as PEM" in error.message
    assert "sslpassword" in error.remedy
    assert "another-one" not in str(error)


def test_whoever_insists_on_no_encryption_or_on_it_is_told_what_the_other_side_wants(
    server: TlsServer, postgres: Any
) -> None:
    error = refused(server.dsn(sslmode="disable"))
    assert "no encryption" in error.message
    assert "sslmode=require" in error.remedy
    assert write(server.dsn(database="plain", sslmode="disable")) == 10
    # The tests' other server was built without it.
    error = refused(f"{postgres.dsn}?sslmode=require")
    assert "the server speaks without encryption only" in error.message
    assert "sslmode=prefer" in error.remedy


def test_a_certificate_that_expires_while_a_run_goes_on_is_waited_for(server: TlsServer) -> None:
    run = recorded(run_id="long")
    writer = PostgresWriter(
        OutputOptions(None), dsn=server.dsn(sslmode="verify-full", sslrootcert=server.certificate("ca")), schema="lab"
    )
    writer.open(run, 0, resume=False)
    writer.append(blocks(run, 0, 10))
    server.server_is("expired")
    # The connection breaks, and is made anew.
    writer._server.drop()
    with pytest.raises(SinkUnavailable, match="certificate has expired"):
        writer.commit()
    server.server_is("right")
    assert writer.close().samples == 10
