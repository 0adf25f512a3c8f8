"""Keys as small texts: lines of `word: value`, after a first line that says what the text is."""

from __future__ import annotations

import re

from dtopipe.model.errors import WireError
from dtopipe.model.keys import KEY_BYTES, KeyPair, PublicKey

LONGEST_TEXT = 4096
_PUBLIC = "dtopipe public key, version 1"
_PRIVATE = "dtopipe PRIVATE key, version 1: never send it to anybody"
# A name is a file's name on every system.
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", re.ASCII)


def is_key_name(name: str) -> bool:
    """True for what can name a key: letters, digits, and . _ - between them, at most 63."""
    return _NAME.fullmatch(name) is not None


def public_key_text(public: PublicKey, **notes: str) -> str:
    """What a `.pub` file holds: section 7 of PROTOCOL.md. `notes` are further lines."""
    return _text(_PUBLIC, {"name": public.name, "key": public.key.hex(), "fingerprint": public.fingerprint, **notes})


def parse_public_key(text: str) -> tuple[PublicKey, dict[str, str]]:
    """The key of a `.pub` file, and its notes. Raises WireError."""
    lines = _lines(text)
    if lines[:1] == [_PRIVATE]:
        raise WireError("it is a private key, which must never be given away: take the file that ends in .pub")
    if lines[:1] != [_PUBLIC]:
        raise WireError("it is not the .pub file of a dtopipe key")
    words = _words(lines[1:])
    public = PublicKey(_name(words), _key_bytes(words, "key"))
    if words.pop("fingerprint", None) != public.fingerprint:
        raise WireError("its fingerprint is not that of its key: a part was changed or cut off on the way")
    return public, {word: value for word, value in words.items() if word not in ("name", "key")}


def private_key_text(pair: KeyPair) -> str:
    """What the private key's file holds."""
    return _text(_PRIVATE, {"name": pair.public.name, "public": pair.public.key.hex(), "secret": pair.secret.hex()})


def parse_private_key(text: str) -> KeyPair:
    """Both halves. Raises WireError, which never quotes the text."""
    lines = _lines(text)
    if lines[:1] != [_PRIVATE]:
        raise WireError("it is not a private key of dtopipe")
    words = _words(lines[1:])
    return KeyPair(PublicKey(_name(words), _key_bytes(words, "public")), _key_bytes(words, "secret"))


def _text(first: str, words: dict[str, str]) -> str:
    return "\n".join([first, *(f"{word}: {value}" for word, value in words.items())]) + "\n"


def _lines(text: str) -> list[str]:
    # Mail adds blanks, empty lines and other ends of lines; editors on Windows a mark in front.
    return [line.strip() for line in text.lstrip("\ufeff").splitlines() if line.strip()]


def _words(lines: list[str]) -> dict[str, str]:
    words = {}
    for line in lines:
        word, colon, value = line.partition(":")
        if not colon:
            raise WireError("it has a line that is not `word: value`")
        words[word.strip()] = value.strip()
    return words


def _name(words: dict[str, str]) -> str:
    name = words.get("name", "")
    if not is_key_name(name):
        raise WireError("it has no name of letters, digits and . _ -")
    return name


def _key_bytes(words: dict[str, str], word: str) -> bytes:
    digits = words.get(word, "")
    if not re.fullmatch(rf"[0-9a-f]{{{2 * KEY_BYTES}}}", digits):
        raise WireError(f"its {word!r} is not {2 * KEY_BYTES} hexadecimal digits")
    return bytes.fromhex(digits)
