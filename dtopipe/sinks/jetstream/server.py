"""A NATS server as topologies and records speak of it; importable without nats-py."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from dtopipe.broker.address import Address, BrokerOptionError, address_of
from dtopipe.model.errors import SinkOptionError
from dtopipe.wire.log_messages import SUBJECT_ROOT, token

_ONE_VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")


def completed(options: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The options of a sink, whose subject is named after the topology unless it says otherwise."""
    return {**options, "run_name": options.get("run_name") or name}


def target(options: Mapping[str, Any], name: str) -> str:
    """Where it writes to, without credentials. Raises SinkOptionError."""
    return _address(options).target(f"{SUBJECT_ROOT}.{token(str(options.get('run_name') or name))}")


def is_own(part: Mapping[str, Any], resolved: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> bool:
    """True if this part of a topology means a server here, or the one of a variable, as `endpoint: ${NATS}`."""
    endpoint = part.get("endpoint")
    if not isinstance(endpoint, str):
        return False
    if _ONE_VARIABLE.fullmatch(endpoint):
        return True
    try:
        return Address(str(resolved({"endpoint": endpoint})["endpoint"])).is_here()
    except BrokerOptionError:
        return False


def _address(options: Mapping[str, Any]) -> Address:
    try:
        return address_of(options)
    except BrokerOptionError as error:
        raise SinkOptionError(None, error.message, error.remedy) from None
