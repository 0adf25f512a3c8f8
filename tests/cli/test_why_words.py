"""What `why` says that nobody has looked at, and what it gives to type."""

from __future__ import annotations

from typing import Any

import pytest

from dtopipe.cli.why_words import why_now, why_then

BASE = {"name": "lab", "phase": "running", "folder": "/data/lab/1", "board": {"pid": 1}}


def _told(sinks: dict[str, Any], **limiter: str) -> str:
    facts = {"call": "commit", "since": "2026-11-22T23:41:00Z", **limiter}
    return why_now({**BASE, "sinks": sinks, "limiting": {"limiter": facts}}).type_this


@pytest.mark.parametrize(
    ("facts", "how", "words"),
    [
        ({"is_covered": True}, "lags", "nothing is lost, the journal covers it; without it: dtopipe detach table "),
        ({}, "lags", "nothing is lost while the ring has room for it; without it: dtopipe detach table "),
        ({"is_journal": True}, "lags", "give it a faster disk, or next time sync: none"),
        ({"is_journal": True}, "holds", "give it a faster disk, or next time sync: none"),
        ({}, "holds", "let the run go on without it: dtopipe detach table "),
    ],
)
def test_what_helps_a_slow_sink_depends_on_who_covers_it(facts: dict[str, Any], how: str, words: str) -> None:
    assert _told({"table": {"path": "t.csv", **facts}}, process="table", how=how).startswith(words)


def test_only_a_sink_is_to_be_detached_where_every_core_is_busy() -> None:
    sinks = {"table": {"path": "t.csv"}}
    assert "dtopipe detach table " in _told(sinks, process="processor", how="processor", slowest="table")
    assert "detach" not in _told(sinks, process="processor", how="processor", slowest="acquirer")


def test_a_record_that_does_not_tell_says_so_and_one_of_a_run_that_kept_up_too() -> None:
    assert why_then({"name": "old"}).sentence == "who limited old its record does not tell"
    assert "every process kept up" in why_then({"name": "new", "limited": []}).sentence


def test_a_run_that_only_begins_has_kept_up_with_nothing() -> None:
    told = why_now({**BASE, "phase": "opening", "limiting": {"limiter": None}})
    assert "keeps up" not in told.sentence


def test_a_board_of_which_nothing_comes_is_waited_for() -> None:
    facts = {"process": "board", "how": "board", "call": "wait", "since": "2026-11-22T23:41:00Z", "trouble": "silent"}
    told = why_now({**BASE, "sinks": {}, "limiting": {"limiter": facts}}).sentence
    assert told.endswith("in wait (the acquirer waits for samples)")
