"""The user's key folder: the own key pair, and the public keys of others that may, or no longer may, speak with us.

    own/private.key        both halves of the own key, readable by the user only
    own/NAME.pub           the own public key, to be given to others
    authorized/NAME.pub    who may connect
    revoked/NAME.pub       who no longer may: kept, so that a revoked key is told from an unknown one

The files are the truth, each written whole or not at all; they are looked at each time.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import platformdirs

from dtopipe.host.disk_names import make_folders, sync_names
from dtopipe.host.durability import sync_bytes
from dtopipe.host.private_file import keep_private, others_may_read
from dtopipe.host.run_folder import replace_text
from dtopipe.host.system_errors import replace_file
from dtopipe.model.errors import DtopipeError, UsageError, WireError
from dtopipe.model.keys import KeyPair, PublicKey
from dtopipe.transport.curve import belong_together
from dtopipe.wire.key_text import LONGEST_TEXT, parse_private_key, parse_public_key, private_key_text, public_key_text

_PRIVATE_FILE = "private.key"


class KeyState(StrEnum):
    """What a key may do here."""

    OWN = "own"
    AUTHORIZED = "authorized"
    REVOKED = "revoked"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key of the folder: the name that it has here, since when (ISO 8601), its file; no key where unreadable."""

    name: str
    state: KeyState
    path: Path
    public: PublicKey | None
    since: str = ""
    problem: str = ""


def keys_dir() -> Path:
    """The user's folder of keys, which may not be there yet; `DTOPIPE_KEYS_DIR` overrides it.

    Raises UsageError for a user without a home folder.
    """
    if named := os.environ.get("DTOPIPE_KEYS_DIR"):
        return Path(named)
    # Some versions raise for want of a home folder, others name it as `~`.
    with contextlib.suppress(RuntimeError):
        folder = Path(platformdirs.user_config_dir("dtopipe", appauthor=False)) / "keys"
        if not folder.parts[0].startswith("~"):
            return folder
    raise UsageError("this user has no home folder for keys", "set DTOPIPE_KEYS_DIR to a folder of your own, or HOME")


class KeyFolder:
    """The folder at `path`; every method looks at the files as they are now."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def private_path(self) -> Path:
        """The private key's file."""
        return self._folder(KeyState.OWN) / _PRIVATE_FILE

    def public_path(self, name: str) -> Path:
        """Where the own public key is, if that is its name."""
        return self._folder(KeyState.OWN) / f"{name}.pub"

    def has_own(self) -> bool:
        """True if there is a private key, readable or not."""
        return os.path.lexists(self.private_path)

    def own(self) -> KeyPair:
        """The own key pair. Raises UsageError where there is none, or it is damaged, or others can read it."""
        try:
            mode = self.private_path.stat().st_mode
            text = _read(self.private_path)
        except FileNotFoundError:
            raise UsageError(f"there is no key in {self.path}", "make one: dtopipe keys new") from None
        except OSError as error:
            raise DtopipeError(f"{self.private_path} cannot be read: {error.strerror}") from error
        if others_may_read(mode):
            raise UsageError(
                f"{self.private_path} can be read by other users of this machine",
                f"if nobody has: chmod 600 {self.private_path}; else make a new key: dtopipe keys new --replace",
            )
        try:
            pair = parse_private_key(text)
            if not belong_together(pair):
                raise WireError("its two halves do not belong together")
        except WireError as error:
            raise UsageError(
                f"{self.private_path} is damaged: {error}",
                "bring it back from a backup, or make a new key: dtopipe keys new --replace",
            ) from error
        return pair

    def write_own(self, pair: KeyPair) -> None:
        """Store the own key pair, in place of the one before. Raises DtopipeError."""
        with self._writing():
            self._make_folder(KeyState.OWN)
            _write_private(self.private_path, private_key_text(pair))
            # What is left of a key before this one would be given to others by mistake.
            for path in self._folder(KeyState.OWN).glob("*.pub"):
                path.unlink()
            replace_text(self.public_path(pair.public.name), public_key_text(pair.public))

    def ensure_public_file(self, public: PublicKey) -> Path:
        """The own `.pub` file, written again where it is gone. Raises DtopipeError."""
        path = self.public_path(public.name)
        with self._writing():
            if not path.exists():
                replace_text(path, public_key_text(public))
        return path

    def known(self) -> list[KnownKey]:
        """Every key of the others: those that may connect, then those that no longer may."""
        return [*self._of(KeyState.AUTHORIZED), *self._of(KeyState.REVOKED)]

    def authorized(self) -> list[KnownKey]:
        """Those that may connect, and what cannot be read among them."""
        revoked = {known.public.key for known in self._of(KeyState.REVOKED) if known.public}
        return [k for k in self._of(KeyState.AUTHORIZED) if k.public is None or k.public.key not in revoked]

    def state_of(self, key: bytes) -> KnownKey | None:
        """What is known of this public key; one that is in both folders is revoked; None if it is unknown."""
        return self.states().get(key)

    def states(self) -> dict[bytes, KnownKey]:
        """The same for every key that is known."""
        return {known.public.key: known for known in self.known() if known.public}

    def authorize(self, public: PublicKey, t_utc: str) -> Path:
        """Let this key connect, under its name. Raises UsageError if key or name are there already."""
        same = self.state_of(public.key)
        if same is not None and same.state is KeyState.REVOKED:
            raise UsageError(
                f"this key was revoked as {same.name} on {same.since[:10]}",
                "let its owner make a new one: dtopipe keys new --replace\n"
                f"    or, if it was revoked by mistake, delete {same.path} and authorize it again",
            )
        if same is not None:
            raise UsageError(
                f"this key is authorized already, as {same.name}", f"to name it anew, delete {same.path} first"
            )
        # Some file systems do not tell upper from lower case.
        taken = [known for known in self._of(KeyState.AUTHORIZED) if known.name.lower() == public.name.lower()]
        if taken:
            raise UsageError(
                f"another key is authorized as {taken[0].name}",
                f"give this one another name with --name, or first: dtopipe keys revoke {taken[0].name}",
            )
        with self._writing():
            path = self._make_folder(KeyState.AUTHORIZED) / f"{public.name}.pub"
            replace_text(path, public_key_text(public, authorized=t_utc))
        return path

    def revoke(self, name: str, t_utc: str) -> Path:
        """Never let that key connect again. Raises UsageError if there is none of this name."""
        authorized = {known.name: known for known in self._of(KeyState.AUTHORIZED)}
        known = authorized.get(name)
        if known is None:
            raise self._nobody(name, sorted(authorized))
        if known.public is None:
            raise UsageError(
                f"{known.path} {known.problem}, so nobody can connect with it", f"delete it: rm {known.path}"
            )
        with self._writing():
            path = _free(self._make_folder(KeyState.REVOKED), name)
            # First the revocation: a key that stands in both folders is revoked.
            replace_text(path, public_key_text(known.public, authorized=known.since, revoked=t_utc))
            known.path.unlink()
        return path

    def _nobody(self, name: str, authorized: list[str]) -> UsageError:
        if any(known.name == name for known in self._of(KeyState.REVOKED)):
            return UsageError(f"{name} is revoked already", "see them all: dtopipe keys list")
        return UsageError(f"no key is authorized as {name}", f"authorized: {', '.join(authorized) or 'none'}")

    def _folder(self, state: KeyState) -> Path:
        return self.path / state.value

    def _make_folder(self, state: KeyState) -> Path:
        folder = self._folder(state)
        make_folders(folder, 0o700)
        return folder

    def _of(self, state: KeyState) -> Iterator[KnownKey]:
        for path in sorted(self._folder(state).glob("*.pub")):
            try:
                public, notes = parse_public_key(_read(path))
            except OSError as error:
                yield KnownKey(path.stem, KeyState.UNREADABLE, path, None, problem=f"cannot be read: {error.strerror}")
            except WireError as error:
                yield KnownKey(path.stem, KeyState.UNREADABLE, path, None, problem=f"is damaged: {error}")
            else:
                yield KnownKey(path.stem, state, path, public, notes.get(state.value, ""))

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DtopipeError(
                f"{error.filename or self.path} cannot be written: {error.strerror}",
                "DTOPIPE_KEYS_DIR names another folder for keys",
            ) from error


def read_public_file(path: Path) -> PublicKey:
    """The key of a `.pub` file. Raises UsageError."""
    try:
        return parse_public_key(_read(path))[0]
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "name the .pub file of the other side") from error
    except WireError as error:
        raise UsageError(f"{path}: {error}", "ask its owner for the file that `dtopipe keys show` names") from error


def _read(path: Path) -> str:
    with path.open("rb") as file:
        # A stranger's file may be of any size and content.
        return file.read(LONGEST_TEXT).decode("utf-8", errors="replace")


def _write_private(path: Path, text: str) -> None:
    """Replace it by a file that at no instant anybody else could read."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
        keep_private(draft)
        file.write(text)
        file.flush()
        sync_bytes(file.fileno())
    replace_file(draft, path)
    sync_names(path.parent)


def _free(folder: Path, name: str) -> Path:
    path, number = folder / f"{name}.pub", 2
    while path.exists():
        path, number = folder / f"{name}-{number}.pub", number + 1
    return path
