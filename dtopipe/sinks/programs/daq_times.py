"""Times and errors of a program's blocks and readings as the sinks store them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def utc_ns_of(moment: datetime) -> int:
    """Nanoseconds since 1970, exact; a time without a zone is taken as UTC."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _MICROSECOND * 1000


def error_texts(error: BaseException | None) -> tuple[str, str] | None:
    """`error_type` and `error_message` of a row."""
    if error is None:
        return None
    return f"{type(error).__module__}.{type(error).__qualname__}", str(error)
