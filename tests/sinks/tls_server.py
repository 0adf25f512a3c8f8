"""A real PostgreSQL server that speaks TLS, with an authority of the tests' own; skips in words where there is none."""

from __future__ import annotations

import contextlib
import datetime
import pwd
import shlex
import shutil
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from postgres_server import free_tcp_port, own_environment, server_user, short_folder

_PATIENCE_S = 30.0
USER, CERTIFIED, PASSWORD = "lab", "certified", "s3cr3t-p@ss/word"
# Where distributions and package managers put one; any other is found by the PATH.
_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin", "/usr/local/pgsql/bin")
_HBA = f"""local all all trust
hostssl all {USER} 127.0.0.1/32 scram-sha-256
hostssl all {CERTIFIED} 127.0.0.1/32 cert
hostnossl plain {USER} 127.0.0.1/32 scram-sha-256
"""


class TlsServer:
    """The server; `server_is` chooses its certificate: `right`, `elsewhere` (another host's) or `expired`."""

    def __init__(self, folder: Path, programs: Path, user: str | None) -> None:
        import trustme

        self._folder, self._programs, self._user = folder, programs, user
        self._data = folder / "data"
        authority, stranger = trustme.CA(), trustme.CA()
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        ago = [now - datetime.timedelta(days=days) for days in (20, 10)]
        certificates = {
            "right": authority.issue_cert("localhost", "127.0.0.1"),
            "elsewhere": authority.issue_cert("db.example.org"),
            "expired": authority.issue_cert("localhost", "127.0.0.1", not_before=ago[0], not_after=ago[1]),
            "client": authority.issue_cert(common_name=CERTIFIED),
            "stranger": stranger.issue_cert(common_name=CERTIFIED),
            "nobody": authority.issue_cert(common_name="nobody"),
        }
        for name, certificate in certificates.items():
            self.certificate(name).write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))
            self.key(name).write_bytes(certificate.private_key_pem.bytes())
        for name, ca in (("ca", authority), ("stranger-ca", stranger)):
            self.certificate(name).write_bytes(ca.cert_pem.bytes())
        self._run("initdb", "-D", str(self._data), "-U", "postgres", "--auth=trust", "--no-sync")
        (self._data / "pg_hba.conf").write_text(_HBA)
        self.port = free_tcp_port()
        self._give(self.certificate("ca"), "ca.crt")
        self._put("right")
        options = (
            f"-h 127.0.0.1 -p {self.port} -k {shlex.quote(str(folder))}"
            " -c ssl=on -c ssl_cert_file=server.crt -c ssl_key_file=server.key"
            " -c ssl_ca_file=ca.crt -c fsync=off -c shared_buffers=16MB -c max_connections=20"
        )
        self._run("pg_ctl", "start", "-D", str(self._data), "-w", "-t", "30", "-o", options, "-l", str(folder / "log"))
        for statement in (
            f"CREATE ROLE {USER} SUPERUSER LOGIN PASSWORD '{PASSWORD}'",
            f"CREATE ROLE {CERTIFIED} SUPERUSER LOGIN",
            "CREATE DATABASE plain",
        ):
            self._run("psql", "-h", str(folder), "-p", str(self.port), "-U", "postgres", "-q", "-c", statement)

    def certificate(self, name: str) -> Path:
        return self._folder / f"{name}.crt"

    def key(self, name: str) -> Path:
        return self._folder / f"{name}.key"

    def server_is(self, name: str) -> None:
        """From the next connection on."""
        self._put(name)
        self._run("pg_ctl", "reload", "-D", str(self._data))
        wanted = ssl.PEM_cert_to_DER_cert(self.certificate(name).read_text())
        deadline = time.monotonic() + _PATIENCE_S
        while self._shown() != wanted:
            assert time.monotonic() < deadline, f"the server does not show its certificate {name}"
            time.sleep(0.02)

    def dsn(self, host: str = "localhost", user: str = USER, database: str = "postgres", **tls: object) -> str:
        """With the password, as a user would write it; `tls` goes into the query."""
        password = PASSWORD.replace("@", "%40").replace("/", "%2F")
        asked = "&".join(f"{key}={value}" for key, value in tls.items())
        return f"postgresql://{user}:{password}@{host}:{self.port}/{database}?{asked}"

    def close(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self._run("pg_ctl", "stop", "-D", str(self._data), "-w", "-m", "immediate")

    def _shown(self) -> bytes | None:
        """The certificate that the server shows to whoever asks for encryption."""
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", self.port), _PATIENCE_S) as plain:
            # SSLRequest: https://www.postgresql.org/docs/current/protocol-message-formats.html
            plain.sendall(struct.pack("!ii", 8, 80877103))
            assert plain.recv(1) == b"S"
            with trusting.wrap_socket(plain) as encrypted:
                return encrypted.getpeercert(binary_form=True)

    def _put(self, name: str) -> None:
        for source, place in ((self.certificate(name), "server.crt"), (self.key(name), "server.key")):
            self._give(source, place)

    def _give(self, source: Path, place: str) -> None:
        """A copy in the server's folder, of its user."""
        draft = self._data / f"{place}.new"
        shutil.copy(source, draft)
        draft.chmod(0o600)
        if self._user is not None:
            shutil.chown(draft, self._user, pwd.getpwnam(self._user).pw_gid)
        draft.replace(self._data / place)

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [str(self._programs / program), *words], check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, user=self._user, timeout=60, cwd=self._folder,
            env=own_environment(),
        )  # fmt: skip
        if done.returncode:
            log = self._folder / "log"
            said = done.stderr + (log.read_text(errors="replace") if log.exists() else "")
            if "SSL is not supported by this build" in said:
                pytest.skip(f"the PostgreSQL server in {self._programs} was built without TLS")
            raise subprocess.CalledProcessError(done.returncode, program, stderr=said)


def running_tls_server() -> Iterator[TlsServer]:
    """One server for a fixture. Skips where no server, or no user for it, is to be found."""
    pytest.importorskip("trustme", reason="certificates for the tests are made with trustme")
    found = shutil.which("pg_ctl")
    places = [path for pattern in _PLACES for path in sorted(Path("/").glob(pattern.lstrip("/")), reverse=True)]
    programs = Path(found).resolve().parent if found else next(iter(places), None)
    if programs is None:
        pytest.skip("there is no PostgreSQL server with TLS here; the distribution's package postgresql has one")
    user = server_user()
    folder = short_folder("pgtls-")
    if user is not None:
        shutil.chown(folder, user, pwd.getpwnam(user).pw_gid)
    folder.chmod(0o755)
    server: Any = None
    try:
        server = TlsServer(folder, programs, user)
        yield server
    finally:
        if server is not None:
            server.close()
        shutil.rmtree(folder, ignore_errors=True)
