"""Quantities with units, as topologies and command lines write them."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
_BYTES = {
    "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
# Beyond these, sums in floats and in 64-bit integers would overflow: three hundred years, and an exbibyte.
# Who waits says so at least twice a second.
_SHORTEST_HANG_S = 1.0
_LONGEST_S = 1e10
_MOST_BYTES = 2**60
_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)\s*")


def seconds(value: Any) -> float:
    """Seconds of `60s`, `500ms`, `2min`, `1h`. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError("a time is written like 500ms, 60s, 2min or 1h")
    if value == 0:
        return 0.0
    found = _QUANTITY.fullmatch(str(value))
    if not found or found[2] not in _SECONDS:
        hint = f", such as {value}s" if re.fullmatch(r"[0-9.]+", str(value)) else ""
        raise ValueError(f"a time needs a unit (ms, s, min or h){hint}; this is {value!r}")
    # Exactly: 700 times 0.001 is a little more than 0.7, which would be a sample more.
    found_s = float(Fraction(found[1]) * Fraction(repr(_SECONDS[found[2]])))
    if found_s > _LONGEST_S:
        raise ValueError(f"a time is at most {_LONGEST_S:g} s")
    return found_s


def spelled(time_s: float) -> str:
    """Seconds as a topology writes them: `500ms`, `60s`."""
    return f"{time_s * 1000:g}ms" if 0 < time_s < 1 else f"{time_s:g}s"


def plain_seconds(value: Any) -> Any:
    """Seconds of `4s`; plain numbers are seconds already. Raises ValueError."""
    return seconds(value) if isinstance(value, str) and _QUANTITY.fullmatch(value) else value


def limit_seconds(value: Any) -> float | None:
    """None of `none`, else a time. Raises ValueError."""
    return None if value in ("none", None) else seconds(value)


def hung_seconds(value: Any) -> float | None:
    """None of `none`, else a time of a second or more. Raises ValueError."""
    found_s = limit_seconds(value)
    if found_s is not None and found_s < _SHORTEST_HANG_S:
        raise ValueError("a process is not hung before 1s")
    return found_s


def n_bytes(value: Any) -> int:
    """Bytes of `64MiB`, `1GB` or a plain number. Raises ValueError."""
    found = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    size: float = value if isinstance(value, int) and not isinstance(value, bool) else -1
    if found and found[2] in _BYTES:
        size = float(found[1]) * _BYTES[found[2]]
    elif isinstance(value, str) and value.isdecimal():
        size = float(value)
    if not 0 <= size <= _MOST_BYTES:
        raise ValueError(f"a size is written like 64MiB or 1GB; this is {value!r}")
    return round(size)


def sync_seconds(value: Any) -> float | None:
    """None of `none`, 0 of `every`, else a time. Raises ValueError."""
    return 0.0 if value == "every" else limit_seconds(value)


def retention(value: Any) -> Any:
    """`all`, or `{until: durable}`. Raises ValueError."""
    if value not in ("all", {"until": "durable"}):
        raise ValueError(f"retention is all, or {{until: durable}}; this is {value!r}")
    return value


def endpoint_text(value: Any) -> str:
    """An endpoint `tcp://HOST:PORT`. Raises ValueError."""
    text = value if isinstance(value, str) else ""
    host, colon, port = text.removeprefix("tcp://").rpartition(":")
    is_port = port.isascii() and port.isdecimal() and 0 < int(port) < 65536
    if not text.startswith("tcp://") or not colon or not is_port or not host or any(c in host for c in "/ @"):
        raise ValueError(f"an endpoint is written like tcp://daq-pc:5700; this is {value!r}")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ValueError(f"an IPv6 address stands in brackets, as in tcp://[::1]:5700; this is {value!r}")
    return text


# A variable may stand anywhere: ${DURATION:-60s}.
_RUN_ID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


def followed_runs(value: Any) -> str:
    """`next`, `every`, or a run's id. Raises ValueError."""
    if value in ("next", "every") or (isinstance(value, str) and _RUN_ID.fullmatch(value)):
        return str(value)
    raise ValueError(f"must be next, every, or the run_id of one run, not {value!r}")


def start(value: Any) -> str | int:
    """`earliest`, `latest`, or a sample index, also as text. Raises ValueError."""
    if value in ("earliest", "latest"):
        return str(value)
    if isinstance(value, str) and value.strip().replace("_", "").isdecimal():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError(f"must be earliest, latest, or a sample index, not {value!r}")


_TIME = {
    "type": "string",
    "pattern": r"^[0-9]+(\.[0-9]+)?\s*(ms|s|min|h)$|\$\{",
    "examples": ["500ms", "60s", "2min"],
}
_SIZE = {
    "type": ["string", "integer"],
    "pattern": r"^[0-9]+(\.[0-9]+)?\s*([kMGT]?B|[KMGT]iB)$|\$\{",
    "examples": ["64MiB"],
}

PlainSeconds = Annotated[
    float, BeforeValidator(plain_seconds), WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, _TIME]})
]
Endpoint = Annotated[
    str,
    BeforeValidator(endpoint_text),
    WithJsonSchema({"type": "string", "pattern": r"^tcp://.+:[0-9]+$|\$\{", "examples": ["tcp://daq-pc:5700"]}),
]
FollowedRuns = Annotated[
    str,
    BeforeValidator(followed_runs),
    WithJsonSchema({"type": "string", "pattern": rf"^(next|every)$|{_RUN_ID.pattern}|\$\{{"}),
]
Start = Annotated[
    str | int,
    BeforeValidator(start),
    WithJsonSchema({"anyOf": [{"enum": ["earliest", "latest"]}, {"type": "integer", "minimum": 0}]}),
]
Limit = Annotated[
    float | None, BeforeValidator(limit_seconds), WithJsonSchema({"anyOf": [{"enum": ["none", None]}, _TIME]})
]
Seconds = Annotated[float, BeforeValidator(seconds), WithJsonSchema(_TIME)]
HungLimit = Annotated[
    float | None, BeforeValidator(hung_seconds), WithJsonSchema({"anyOf": [{"enum": ["none", None]}, _TIME]})
]
Retention = Annotated[
    str | dict[str, str],
    BeforeValidator(retention),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["all"]},
                {
                    "type": "object",
                    "properties": {"until": {"enum": ["durable"]}},
                    "required": ["until"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
Bytes = Annotated[int, BeforeValidator(n_bytes), WithJsonSchema(_SIZE)]
SplitText = Annotated[str, WithJsonSchema({"anyOf": [_TIME, {**_SIZE, "type": "string"}]})]
Sync = Annotated[
    float | None,
    BeforeValidator(sync_seconds),
    WithJsonSchema({"anyOf": [{"enum": ["none", "every"]}, _TIME]}),
]
