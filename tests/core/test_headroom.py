"""How long a journal can still keep what others lack."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dtopipe.core.headroom import Headroom, journal_headroom

SECONDS = st.floats(0, 1e9)


def test_it_is_the_room_on_its_disk_and_of_it_what_is_kept_already() -> None:
    assert journal_headroom(3600.0, 0.0, None) == Headroom(3600.0, 3600.0)
    assert journal_headroom(3600.0, 1200.0, None) == Headroom(3600.0, 4800.0)


def test_a_machine_that_is_away_is_kept_for_no_longer_than_was_said() -> None:
    assert journal_headroom(3600.0, 50.0, 10.0) == Headroom(10.0, 60.0)
    assert journal_headroom(None, 50.0, 10.0) == Headroom(10.0, 60.0)


def test_where_nobody_knows_there_is_none() -> None:
    assert journal_headroom(None, 7.0, None) is None


@given(SECONDS, st.floats(-1e9, 1e9), st.none() | SECONDS)
def test_what_is_left_is_never_more_than_all(room_s: float, behind_s: float, forgotten_in_s: float | None) -> None:
    found = journal_headroom(room_s, behind_s, forgotten_in_s)
    assert found is not None
    assert 0 <= found.left_s <= found.of_s
    assert found.left_s <= room_s
