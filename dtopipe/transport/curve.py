"""CURVE keys as ZeroMQ makes them."""

from __future__ import annotations

import zmq
from zmq.utils import z85

from dtopipe.model.errors import DtopipeError
from dtopipe.model.keys import KeyPair, PublicKey


def new_key_pair(name: str) -> KeyPair:
    """A new one, from the system's randomness. Raises DtopipeError where libzmq was built without CURVE."""
    if not zmq.has("curve"):
        raise DtopipeError(
            "this ZeroMQ library was built without CURVE",
            "install pyzmq from its wheel: pip install --force-reinstall pyzmq",
        )
    public, secret = zmq.curve_keypair()
    return KeyPair(PublicKey(name, z85.decode(public)), z85.decode(secret))


def belong_together(pair: KeyPair) -> bool:
    """True if the public half is that of the secret one."""
    return z85.decode(zmq.curve_public(z85.encode(pair.secret))) == pair.public.key
