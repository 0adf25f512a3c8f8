"""Why there is no link, in words: what is wrong, and the way out."""

from __future__ import annotations

from enum import StrEnum

from dtopipe.model.keys import PublicKey


class LinkFailure(StrEnum):
    """Why there is no link."""

    NONE = "none"
    NOT_REACHED = "not reached"
    UNKNOWN_KEY = "unknown key"
    REVOKED_KEY = "revoked key"
    WRONG_SERVER_KEY = "wrong server key"
    OTHER_PROTOCOL = "other protocol"


# Told by how a handshake ends, not by the other end.
GUESSED = frozenset({LinkFailure.WRONG_SERVER_KEY, LinkFailure.OTHER_PROTOCOL})
_REFUSALS = {
    LinkFailure.UNKNOWN_KEY: (
        "it does not know this machine's key {fingerprint}",
        "there: dtopipe keys authorize {name}.pub, with the file that dtopipe keys show names here",
    ),
    LinkFailure.REVOKED_KEY: (
        "it has revoked this machine's key {fingerprint}",
        "here: dtopipe keys new --replace, and there: dtopipe keys authorize the new .pub file",
    ),
    LinkFailure.WRONG_SERVER_KEY: (
        "reached, but the handshake failed: most likely server_key is not that machine's key",
        "there: dtopipe keys show; server_key names a copy of that file; neither side, or both, says insecure: true",
    ),
    LinkFailure.OTHER_PROTOCOL: (
        "reached, but it does not speak as it should",
        "is that the endpoint of listen: there? neither side, or both, says insecure: true",
    ),
}


def refusal_of(failure: LinkFailure, key: PublicKey | None) -> tuple[str, str] | None:
    """(what is wrong, the way out) for whoever has this key, if the other end will never take it as it is."""
    words = _REFUSALS.get(failure)
    if words is None:
        return None
    name, fingerprint = (key.name, key.fingerprint) if key else ("", "")
    return words[0].format(fingerprint=fingerprint), words[1].format(name=name)
