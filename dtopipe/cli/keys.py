"""`dtopipe keys`: the own key, and those of the machines that may connect."""

from __future__ import annotations

import re
import socket
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from dtopipe.cli.console import Console
from dtopipe.cli.output import print_json
from dtopipe.cli.whole_table import WholeTable
from dtopipe.model.errors import DtopipeError, UsageError
from dtopipe.model.keys import PublicKey
from dtopipe.transport.curve import new_key_pair
from dtopipe.transport.key_folder import KeyFolder, KeyState, KnownKey, keys_dir, read_public_file
from dtopipe.wire.key_text import is_key_name, public_key_text


@click.group()
def keys() -> None:
    r"""Make the CURVE key of this user on this machine, and say whose keys may connect to it.

    Each machine has one key. Its public half, a small text file that ends in .pub, is given to the other side, by
    mail if you like; its private half never leaves the machine. Keys are in the user's configuration folder, or in
    DTOPIPE_KEYS_DIR.

    \b
    Example:
      dtopipe keys new                               on both machines
      dtopipe keys authorize office.pub              on the one that serves
    """


@keys.command()
@click.option("--name", metavar="NAME", help="What the key is called; default: this machine's name.")
@click.option(
    "--replace", "replacing", is_flag=True, help="Replace a key that is there; others must be given the new one."
)
@click.option("--json", "as_json", is_flag=True, help="Print the public half as JSON.")
def new(name: str | None, replacing: bool, as_json: bool) -> None:
    r"""Make the key of this user on this machine.

    \b
    Example:
      dtopipe keys new
      dtopipe keys new --name daq-pc
    """
    name = _key_name(name) if name is not None else _machine_name()
    folder = KeyFolder(keys_dir())
    if folder.has_own() and not replacing:
        raise UsageError(
            f"there is a key already: {folder.private_path}",
            "see it: dtopipe keys show; --replace makes a new one, and others must be given that",
        )
    pair = new_key_pair(name)
    folder.write_own(pair)
    path = folder.public_path(name)
    if as_json:
        print_json(_own_document(pair.public, path))
        return
    click.echo(f"made key {name}, fingerprint {pair.public.fingerprint}")
    click.echo(f"give this file to the other side: {path}")
    click.echo(f"and there: dtopipe keys authorize {path.name}")


@keys.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(as_json: bool) -> None:
    r"""Show the own public key, and the file to give away; what is on stdout can be mailed as well.

    \b
    Example:
      dtopipe keys show
      dtopipe keys show > daq-pc.pub
    """
    folder = KeyFolder(keys_dir())
    public = folder.own().public
    path = folder.ensure_public_file(public)
    if as_json:
        print_json(_own_document(public, path))
        return
    click.echo(public_key_text(public), nl=False)
    click.echo(f"this is {path}", err=True)


@keys.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="What to call it here; default: the name that it has itself.")
def authorize(file: Path, name: str | None) -> None:
    r"""Let the owner of a public key connect to this user's runs.

    FILE is the other side's .pub file. Compare its fingerprint with its owner's if it came by mail.

    \b
    Example:
      dtopipe keys authorize office.pub
      dtopipe keys authorize office.pub --name ana
    """
    public = read_public_file(file)
    if name is not None:
        public = replace(public, name=_key_name(name))
    path = KeyFolder(keys_dir()).authorize(public, _now())
    click.echo(f"authorized {public.name}, fingerprint {public.fingerprint}: {path}")


@keys.command()
@click.argument("name")
def revoke(name: str) -> None:
    r"""Never let the owner of a key connect again.

    The key is kept among the revoked ones, so that its owner is told what happened to it.

    \b
    Example:
      dtopipe keys revoke ana
    """
    path = KeyFolder(keys_dir()).revoke(name, _now())
    click.echo(f"revoked {name}: {path}")


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    r"""List the own key, those that may connect, and those that no longer may.

    \b
    Example:
      dtopipe keys list
      dtopipe keys list --json
    """
    folder = KeyFolder(keys_dir())
    known = [*_own(folder), *folder.known()]
    if as_json:
        print_json([_document(key) for key in known])
        return
    if not known:
        click.echo(f"no keys in {folder.path}; make one with: dtopipe keys new")
        return
    table = WholeTable()
    for title in ("name", "state", "since", "fingerprint"):
        table.add_column(title)
    for key in known:
        table.add_row(
            Text(key.name), key.state.value, key.since[:10] or "-", key.public.fingerprint if key.public else "-"
        )
    Console().print(table)
    for key in known:
        if key.problem:
            click.echo(f"{key.path} {key.problem}", err=True)


def _own(folder: KeyFolder) -> list[KnownKey]:
    if not folder.has_own():
        return []
    try:
        public = folder.own().public
    except DtopipeError as error:
        problem = str(error).removeprefix(f"{folder.private_path} ")
        return [KnownKey("?", KeyState.UNREADABLE, folder.private_path, None, problem=problem)]
    return [KnownKey(public.name, KeyState.OWN, folder.public_path(public.name), public)]


def _own_document(public: PublicKey, path: Path) -> dict[str, Any]:
    return _document(KnownKey(public.name, KeyState.OWN, path, public))


def _document(key: KnownKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "state": key.state.value,
        "since": key.since or None,
        "public_key": key.public.key.hex() if key.public else None,
        "fingerprint": key.public.fingerprint if key.public else None,
        "file": str(key.path),
        "problem": key.problem or None,
    }


def _key_name(name: str) -> str:
    if not is_key_name(name):
        raise UsageError(
            f"a key cannot be called {name!r}", "letters, digits, and . _ - between them; at most 63, such as daq-pc"
        )
    return name


def _machine_name() -> str:
    """The machine's name, as far as it can name a key."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", socket.gethostname().partition(".")[0])[:63].strip("._-")
    return name or "this-machine"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
