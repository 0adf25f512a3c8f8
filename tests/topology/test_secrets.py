"""Passwords that stand in a topology stay out of the records."""

from __future__ import annotations

from typing import Any

import pytest

from dtopipe.topology.secrets import without_secrets


def recorded(**sink: Any) -> dict[str, Any]:
    found: dict[str, Any] = without_secrets({"board": {"type": "simulated"}, "sinks": {"db": sink}})["sinks"]["db"]
    return found


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:hunter2@h:5432/d",
        "postgresql://u:hun@ter2hunter2@h/d",
        "postgresql://u:${A}hunter2${B}@h/d",
        "postgresql://u:${A:-hunter2}@h/d",
        "postgresql://u@h/d?password=hunter2",
        "postgresql://u@h/d?Password=hunter2&x=1",
        "postgresql://${U:-bob}:hunter2@h/d",
    ],
)
def test_a_password_that_is_written_out_is_not_recorded(dsn: str) -> None:
    assert "hunter2" not in str(recorded(type="postgres", dsn=dsn))
    assert "hunter2" not in str(recorded(type="other", urls=[dsn], nested={"token": "hunter2"}, password="hunter2"))


@pytest.mark.parametrize(
    "dsn", ["postgresql://u:${PG}@h/d", "${DSN}", "postgresql://${U:-bob}:${P}@h/d", "postgresql://h/d", "tcp://h:5700"]
)
def test_what_holds_no_password_is_recorded_as_it_is(dsn: str) -> None:
    assert recorded(type="postgres", dsn=dsn) == {"type": "postgres", "dsn": dsn}


def test_a_postgres_password_is_left_to_libpqs_own_variable() -> None:
    assert recorded(type="postgres", dsn="postgresql://u:x@h/d")["dsn"] == "postgresql://u@h/d"
    assert recorded(type="postgres", host="h", password="x")["password"] == "${PGPASSWORD}"
