"""The text of keys, byte by byte, as PROTOCOL.md has it."""

from __future__ import annotations

import pytest

from dtopipe.model.errors import WireError
from dtopipe.model.keys import KeyPair, PublicKey
from dtopipe.wire.key_text import is_key_name, parse_private_key, parse_public_key, private_key_text, public_key_text

PAIR = KeyPair(PublicKey("daq-pc", bytes(range(32))), bytes(range(32, 64)))
PUBLIC = f"""\
dtopipe public key, version 1
name: daq-pc
key: {bytes(range(32)).hex()}
fingerprint: 630d-cd29-66c4-3366
authorized: 2026-11-25T18:00:00Z
"""
PRIVATE = f"""\
dtopipe PRIVATE key, version 1: never send it to anybody
name: daq-pc
public: {bytes(range(32)).hex()}
secret: {bytes(range(32, 64)).hex()}
"""


def test_both_texts_are_as_the_protocol_has_them() -> None:
    notes = {"authorized": "2026-11-25T18:00:00Z"}
    assert public_key_text(PAIR.public, **notes) == PUBLIC
    assert parse_public_key(PUBLIC) == (PAIR.public, notes)
    assert private_key_text(PAIR) == PRIVATE
    assert parse_private_key(PRIVATE) == PAIR


def test_an_error_about_a_private_key_never_quotes_it() -> None:
    for spoilt in (PRIVATE[:-2], PRIVATE.replace("secret:", "secret"), PRIVATE.replace("secret", "secert")):
        with pytest.raises(WireError) as caught:
            parse_private_key(spoilt)
        assert PAIR.secret.hex()[:16] not in str(caught.value)


@pytest.mark.parametrize("name", ["", "..", ".x", "x.", "a/b", "a\\b", "a b", "CON:", "ü", "x" * 64, "a\n"])
def test_what_is_no_files_name_names_no_key(name: str) -> None:
    assert not is_key_name(name)


def test_letters_digits_and_signs_between_them_name_a_key() -> None:
    assert all(is_key_name(name) for name in ("a", "daq-pc", "daq_pc.2", "7", "x" * 63))
