"""Whole runs into a Postgres server over TLS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from laboratory import Lab, counter_topology
from tls_server import PASSWORD, TlsServer, running_tls_server


@pytest.fixture(scope="module")
def running() -> Iterator[TlsServer]:
    yield from running_tls_server()


@pytest.fixture
def server(running: TlsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TlsServer:
    monkeypatch.setenv("HOME", str(tmp_path))
    running.server_is("right")
    return running


def topology(dsn: str) -> dict[str, Any]:
    made = counter_topology(max_samples=2000, pace="max")
    made["sinks"] = {
        "archive": {"type": "hbuf", "path": "archive.dt-raw"},
        "base": {"type": "postgres", "dsn": dsn, "schema": "tls lab"},
    }
    return made


def test_a_run_over_verified_tls_is_checked_written_and_verified(lab: Lab, server: TlsServer) -> None:
    made = topology(server.dsn(sslmode="verify-full", sslrootcert=server.certificate("ca")))
    made["sinks"]["certified"] = {
        "type": "postgres",
        "schema": "tls lab certified",
        "dsn": server.dsn(
            user="certified",
            sslmode="verify-full",
            sslrootcert=server.certificate("ca"),
            sslcert=server.certificate("client"),
            sslkey=server.key("client"),
        ),
    }
    checked = lab.dtopipe("check", str(lab.write(made)))
    assert checked.code == 0, checked.stdout + checked.stderr
    ended = lab.up(made)
    assert ended.code == 0, ended.stderr
    # What a record leaves out of a dsn comes from the environment.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSWORD", PASSWORD)
        # The record names files of this user, and a user's own run is one that they say is theirs.
        verified = lab.dtopipe("verify", str(lab.run_folder), "--outside", "--json")
    assert verified.code == 0, verified.stdout
    samples = {output["name"]: output["samples"] for output in json.loads(verified.stdout)["outputs"]}
    assert samples == {"archive": 2000, "base": 2000, "certified": 2000}
    secrets = [PASSWORD, PASSWORD.replace("@", "%40").replace("/", "%2F"), server.key("client").read_text()]
    for file in (path for path in lab.run_folder.rglob("*") if path.is_file()):
        text = file.read_text(errors="replace")
        assert not [secret for secret in secrets if secret in text], file


@pytest.mark.parametrize(
    ("certificate", "options", "said"),
    [
        ("right", {"sslmode": "verify-full"}, "the server's certificate cannot be checked: root certificate file"),
        ("elsewhere", {"sslmode": "verify-full", "sslrootcert": "ca"}, "Hostname mismatch"),
        ("expired", {"sslmode": "verify-ca", "sslrootcert": "ca"}, "certificate has expired"),
        ("right", {"sslmode": "verify-ca", "sslrootcert": "stranger-ca"}, "self-signed certificate in certificate"),
    ],
)
def test_a_run_whose_server_is_not_to_be_trusted_does_not_begin(
    certificate: str, options: dict[str, str], said: str, lab: Lab, server: TlsServer
) -> None:
    server.server_is(certificate)
    tls: dict[str, Any] = {
        key: server.certificate(value) if key == "sslrootcert" else value for key, value in options.items()
    }
    refused = lab.up(topology(server.dsn(**tls)))
    assert refused.code == 2, refused.stderr
    assert said in " ".join(refused.stderr.split())
    assert "s3cr3t" not in refused.stderr
    assert not lab.run_folders()
