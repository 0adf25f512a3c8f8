"""`dtopipe keys`, as it is typed on two machines: two key folders."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from dtopipe.cli.keys import keys
from dtopipe.cli.main import main
from dtopipe.transport.key_folder import KeyFolder, KeyState


class Machine:
    """One with a key folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.keys = KeyFolder(folder)
        self.said = ""

    def dtopipe(self, *arguments: str) -> Any:
        ended = CliRunner(env={"DTOPIPE_KEYS_DIR": str(self.keys.path), "COLUMNS": "120"}).invoke(
            main, ["keys", *arguments]
        )
        assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
        self.said += ended.output
        return ended

    def listed(self) -> dict[str, str]:
        return {key["name"]: key["state"] for key in json.loads(self.dtopipe("list", "--json").stdout)}

    @property
    def public_file(self) -> Path:
        return Path(json.loads(self.dtopipe("show", "--json").stdout)["file"])


@pytest.fixture
def daq(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "daq" / "keys")


@pytest.fixture
def office(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path / "office" / "keys")
    assert machine.dtopipe("new", "--name", "office").exit_code == 0
    return machine


def test_a_public_key_goes_from_one_machine_to_the_other_and_is_revoked_there(daq: Machine, office: Machine) -> None:
    assert daq.dtopipe("new", "--name", "daq-pc").exit_code == 0
    done = daq.dtopipe("authorize", str(office.public_file), "--name", "ana")
    assert done.exit_code == 0
    assert office.keys.own().public.fingerprint in done.output
    assert daq.listed() == {"daq-pc": "own", "ana": "authorized"}
    known = daq.keys.state_of(office.keys.own().public.key)
    assert known is not None
    assert (known.name, known.state) == ("ana", KeyState.AUTHORIZED)
    assert daq.dtopipe("revoke", "ana").exit_code == 0
    assert daq.listed() == {"daq-pc": "own", "ana": "revoked"}
    table = daq.dtopipe("list").output
    assert all(word in table for word in ("daq-pc", "ana", "revoked", office.keys.own().public.fingerprint))


def test_a_revoked_key_is_told_from_an_unknown_one_and_cannot_come_back_by_itself(
    daq: Machine, office: Machine
) -> None:
    key = office.keys.own().public.key
    assert daq.keys.state_of(key) is None
    daq.dtopipe("authorize", str(office.public_file))
    daq.dtopipe("revoke", "office")
    known = daq.keys.state_of(key)
    assert known is not None
    assert known.state is KeyState.REVOKED
    refused = daq.dtopipe("authorize", str(office.public_file), "--name", "other")
    assert refused.exit_code == 2
    assert "was revoked as office" in refused.output
    assert "dtopipe keys new --replace" in refused.output
    again = daq.dtopipe("revoke", "office")
    assert "office is revoked already" in again.output
    # The same name for the owner's new key, which may be revoked in its turn.
    office.dtopipe("new", "--name", "office", "--replace")
    assert daq.dtopipe("authorize", str(office.public_file)).exit_code == 0
    assert daq.dtopipe("revoke", "office").exit_code == 0
    assert daq.listed() == {"office": "revoked", "office-2": "revoked"}


def test_a_key_that_stands_in_both_folders_is_revoked(daq: Machine, office: Machine) -> None:
    daq.dtopipe("authorize", str(office.public_file))
    text = office.public_file.read_text()
    daq.dtopipe("revoke", "office")
    (daq.keys.path / "authorized" / "copied-back.pub").write_text(text)
    known = daq.keys.state_of(office.keys.own().public.key)
    assert known is not None
    assert known.state is KeyState.REVOKED


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX's")
def test_the_private_key_is_the_users_alone_and_never_shown(daq: Machine, office: Machine, tmp_path: Path) -> None:
    old_mask = os.umask(0)
    try:
        daq.dtopipe("new", "--name", "daq-pc")
    finally:
        os.umask(old_mask)
    secrets = [daq.keys.own().secret]
    path = daq.keys.private_path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    daq.dtopipe("show")
    daq.dtopipe("list", "--json")
    daq.dtopipe("authorize", str(office.public_file))
    daq.dtopipe("revoke", "office")
    refused = daq.dtopipe("authorize", str(path))
    assert "must never be given away" in refused.output
    daq.dtopipe("new", "--replace", "--json")
    secrets.append(daq.keys.own().secret)
    assert stat.S_IMODE(daq.keys.private_path.stat().st_mode) == 0o600
    path.write_text(path.read_text().replace("name:", "naem:"))
    daq.dtopipe("show")
    files = [file for file in tmp_path.rglob("*") if file.is_file() and file != path]
    for secret in secrets:
        assert secret.hex() not in daq.said
        assert not [file for file in files if secret.hex() in file.read_text()]
        assert secret.hex() not in repr(secret) + repr(office.keys.own())
    assert repr(office.keys.own().secret) not in repr(office.keys.own())


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX's")
def test_a_private_key_that_others_can_read_is_refused_with_the_way_out(office: Machine) -> None:
    office.keys.private_path.chmod(0o640)
    refused = office.dtopipe("show")
    assert refused.exit_code == 2
    assert f"chmod 600 {office.keys.private_path}" in refused.output
    assert office.listed() == {"?": "unreadable"}


def test_a_key_is_not_replaced_unasked(office: Machine) -> None:
    before = office.keys.own()
    refused = office.dtopipe("new")
    assert refused.exit_code == 2
    assert "there is a key already" in refused.output
    assert office.keys.own() == before
    assert office.dtopipe("new", "--name", "desk", "--replace").exit_code == 0
    assert office.keys.own().public.key != before.public.key
    assert [path.name for path in office.keys.private_path.parent.glob("*.pub")] == ["desk.pub"]


def test_a_name_by_itself_is_the_machines(daq: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "DAQ pc_1.lab.example.org")
    assert daq.dtopipe("new").exit_code == 0
    assert daq.keys.own().public.name == "DAQ-pc_1"


def test_what_show_prints_is_a_file_that_can_be_authorized(daq: Machine, office: Machine, tmp_path: Path) -> None:
    office.public_file.unlink()
    shown = office.dtopipe("show")
    assert Path(office.public_file).read_text() == shown.stdout
    mailed = tmp_path / "mailed.pub"
    # As a mail program on Windows may leave it.
    mailed.write_bytes(b"\xef\xbb\xbf\r\n" + shown.stdout.replace("\n", " \r\n\r\n").encode())
    assert daq.dtopipe("authorize", str(mailed)).exit_code == 0
    assert daq.listed() == {"office": "authorized"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text[:-3], "a part was changed or cut off"),
        (lambda text: text.replace("key: ", "key: 0", 1), "is not 64 hexadecimal digits"),
        (lambda text: text.replace("name: office", "name: ../../x"), "it has no name"),
        (lambda text: "ssh-ed25519 AAAA", "it is not the .pub file of a dtopipe key"),
        (lambda text: "\0" * 100_000, "it is not the .pub file of a dtopipe key"),
        (lambda text: text + "nonsense", "a line that is not"),
    ],
)
def test_what_is_no_public_key_is_refused_and_said_in_the_list(
    daq: Machine, office: Machine, tmp_path: Path, change: Any, words: str
) -> None:
    spoilt = tmp_path / "spoilt.pub"
    spoilt.write_text(change(office.public_file.read_text()))
    refused = daq.dtopipe("authorize", str(spoilt))
    assert refused.exit_code == 2
    assert words in refused.output
    assert "dtopipe keys show" in refused.output
    folder = daq.keys.path / "authorized"
    folder.mkdir(parents=True)
    spoilt.rename(folder / "office.pub")
    assert daq.listed() == {"office": "unreadable"}
    assert words in daq.dtopipe("list").output
    assert "delete it" in daq.dtopipe("revoke", "office").output


def test_every_refusal_has_a_way_out(daq: Machine, office: Machine, tmp_path: Path) -> None:
    assert "dtopipe keys new" in daq.dtopipe("show").output
    assert "dtopipe keys new" in daq.dtopipe("list").output
    assert "name the .pub file" in daq.dtopipe("authorize", str(tmp_path / "nosuch.pub")).output
    daq.dtopipe("authorize", str(office.public_file), "--name", "ana")
    assert "authorized already, as ana" in daq.dtopipe("authorize", str(office.public_file)).output
    other = Machine(tmp_path / "third")
    other.dtopipe("new", "--name", "third")
    taken = daq.dtopipe("authorize", str(other.public_file), "--name", "ANA")
    assert taken.exit_code == 2
    assert "dtopipe keys revoke ana" in taken.output
    assert "authorized: ana" in daq.dtopipe("revoke", "nobody").output
    assert "cannot be called" in daq.dtopipe("new", "--name", "../x").output
    damaged = office.keys.private_path
    damaged.write_text(damaged.read_text().replace("secret: ", "secret: ff", 1)[:-3] + "\n")
    assert "its two halves do not belong together" in office.dtopipe("show").output


def test_a_folder_that_cannot_be_written_is_an_error_with_the_way_out(daq: Machine, tmp_path: Path) -> None:
    daq.keys.path.parent.mkdir()
    daq.keys.path.write_text("a file is in the way")
    ended = daq.dtopipe("new")
    assert ended.exit_code == 1
    assert "cannot be written" in ended.output
    assert "DTOPIPE_KEYS_DIR" in ended.output


@pytest.mark.parametrize("command", sorted(keys.commands))
def test_every_command_of_keys_has_help_with_an_example(command: str, daq: Machine) -> None:
    lines = daq.dtopipe(command, "--help").output.splitlines()
    assert lines[lines.index("  Example:") + 1].strip().startswith(f"dtopipe keys {command}")
    assert isinstance(keys.commands[command], click.Command)
