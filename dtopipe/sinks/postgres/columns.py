"""The columns of tables of a Postgres output that hold no samples."""

from __future__ import annotations

MARKS = {
    "run": "bigint",
    "number": "bigint",
    "label": "text",
    "text": "text",
    "sample_index": "bigint",
    "t_mono_ns": "bigint",
    "t_utc": "timestamp with time zone",
    # To the nanosecond, which a timestamp cannot tell.
    "t_utc_ns": "bigint",
    "set_by": "text",
    "set_at": "timestamp with time zone",
    "set_at_ns": "bigint",
}
