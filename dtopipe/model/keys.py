"""CURVE keys of users and machines: who may be spoken with over a network."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One that may be told to anybody; `name` is what its owner calls it."""

    name: str
    key: bytes

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits, short enough to be compared over the telephone."""
        digits = hashlib.sha256(self.key).hexdigest()[:16]
        return "-".join(digits[at : at + 4] for at in range(0, 16, 4))


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A user's own; the secret half shows itself in no text."""

    public: PublicKey
    secret: bytes = field(repr=False)
