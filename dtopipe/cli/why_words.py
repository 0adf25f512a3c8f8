"""Who limits a run, in a sentence, and what to type about it: from the facts of a status or of a run record."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dtopipe.core.limiting import ACQUIRER, How
from dtopipe.verify.remedy import run_word

# Where the word alone says little.
_CALLS = {
    "read": "it takes blocks", "convert": "it makes values of codes", "sync": "it waits for the disk",
    "network": "it waits for its server", "publish": "it copies blocks", "idle": "it had nothing to do",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Why:
    """`sentence`: who limits the run, since when, in which call. `type_this`: what helps, empty where nothing need."""

    sentence: str
    type_this: str


def why_now(status: Mapping[str, Any]) -> Why:
    """Of a run in progress, by its status."""
    limiter = status["limiting"]["limiter"]
    if limiter is None:
        if status["phase"] == "opening":
            return Why(f"{status['name']} is only beginning: nobody limits it yet", "")
        rest = "" if status["phase"] == "running" else f" ({status['phase']})"
        return Why(f"nothing limits {status['name']}{rest}: every process keeps up", "")
    sentence = f"{_who(limiter)} {_does(limiter)} since {limiter['since']}, in {limiter['call']}{_explained(limiter)}"
    return Why(sentence, _type_this(limiter, status))


def why_then(record: Mapping[str, Any]) -> Why:
    """Of a run that is over, by its record: who limited it last."""
    told = told_of(record)
    if not told and not isinstance(record.get("limited"), list):
        return Why(f"who limited {record['name']} its record does not tell", "")
    if not told:
        return Why(f"nothing limited {record['name']}, as far as its record tells: every process kept up", "")
    last = told[-1]
    span = f"from {last['since']} to {last['until']} ({last['for_s']:.1f} s altogether)"
    return Why(f"{_who(last)} {_did(last)} {span}, in {last['call']}{_explained(last)}", _for_the_next(last))


def told_of(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Who limited the run, the last one last; what a stranger may have written into a record is passed over."""
    told = record.get("limited")
    return [each for each in told if _is_whole(each)] if isinstance(told, list) else []


def _is_whole(each: object) -> bool:
    if not isinstance(each, dict) or not isinstance(each.get("for_s"), (int, float)):
        return False
    return all(isinstance(each.get(key), str) for key in _TEXTS) and each["how"] in tuple(How)


def limit_sentence(status: Mapping[str, Any]) -> str:
    """The sentence for a table that shows the rest; empty while nothing limits the run."""
    return why_now(status).sentence if (status.get("limiting") or {}).get("limiter") else ""


def _who(limiter: Mapping[str, Any]) -> str:
    return f"the {limiter['process']}" if limiter["how"] in _OF_BOARD else str(limiter["process"])


_TEXTS = ("process", "call", "how", "since", "until")
_OF_BOARD = (How.BOARD, How.OVERRUNS, How.SOURCE, How.PROCESSOR)
# What it does now, and what it did.
_VERBS = {
    How.BOARD: ("limits the run", "limited the run"),
    How.HOLDS: ("limits the run: the ring is full and it holds the board,", "limited the run: it held the board"),
    How.LAGS: ("limits the run: it is behind and does not catch up,", "limited the run: it was behind"),
    How.DROPS: ("does not keep up and drops samples, as its policy has it,", "did not keep up and dropped samples"),
    How.OVERRUNS: ("limits the run: the board overruns,", "limited the run: the board overran"),
    How.SOURCE: ("limits the run: nobody waits for anything else,", "limited the run: nobody waited for anything else"),
    How.PROCESSOR: ("limits the run: every core is busy with it,", "limited the run: every core was busy"),
    How.DRAINS: ("is what the end waits for,", "is what the end waited for"),
}


def _does(limiter: Mapping[str, Any]) -> str:
    return _with_trouble(_VERBS[How(limiter["how"])][0], limiter)


def _did(limiter: Mapping[str, Any]) -> str:
    return _with_trouble(_VERBS[How(limiter["how"])][1], limiter)


def _with_trouble(words: str, limiter: Mapping[str, Any]) -> str:
    if limiter.get("slowest"):
        words = f"{words.rstrip(',')} and {limiter['slowest']} suffers most,"
    if limiter.get("trouble"):
        words = f"{words.rstrip(',')} ({limiter['trouble']})"
    return words


def _explained(limiter: Mapping[str, Any]) -> str:
    if limiter["how"] == How.BOARD and limiter["call"] == "wait":
        return " (the acquirer waits for samples)"
    words = _CALLS.get(limiter["call"])
    return f" ({words})" if words else ""


def _type_this(limiter: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    """One line; where a command helps, it stands behind a colon, as it is to be typed."""
    how, name = How(limiter["how"]), limiter["process"]
    run = shlex.quote(run_word(Path(status["folder"])))
    trouble = limiter.get("trouble", "")
    pid = _pid(status, name)
    if trouble.startswith("stopped") and pid is not None:
        return f"its process was stopped; let it go on: kill -CONT {pid}"
    if how is How.BOARD:
        return f"look at the board and its cable; what it says: dtopipe status {run}"
    if how is How.OVERRUNS:
        return (
            "give the board more time: a larger task: {samples_per_block} or {driver_buffers}, or fewer programs here"
        )
    if how is How.SOURCE:
        return "nothing need be done: the run goes as fast as its board gives samples"
    if how is How.PROCESSOR:
        slowest = limiter["slowest"]
        if slowest not in status["sinks"]:
            return "end other programs; next time a lower rate, or fewer sinks"
        return f"end other programs, or let the run go on without its slowest sink: {_detach(slowest, run)}"
    if how is How.DRAINS:
        return f"wait, or end it without: dtopipe stop --now {run}"
    if how is How.DROPS:
        return f"nothing else is touched; if it must miss nothing, set policy: block; without it: {_detach(name, run)}"
    sink = status["sinks"][name]
    if trouble.startswith("hung"):
        output = sink.get("target") or sink["path"]
        return f"look at its output {output}; let the run go on without it: {_detach(name, run)}"
    if sink.get("is_journal"):
        return "give it a faster disk, or next time sync: none; without it the run would have no journal"
    if how is How.HOLDS:
        return f"let the run go on without it: {_detach(name, run)}; next time give the run a journal"
    if sink.get("is_covered"):
        return f"nothing is lost, the journal covers it; without it: {_detach(name, run)}"
    return f"nothing is lost while the ring has room for it; without it: {_detach(name, run)}; next time a journal"


def _for_the_next(limiter: Mapping[str, Any]) -> str:
    """What to change for the next run; nothing can be done about this one."""
    how = How(limiter["how"])
    if how in (How.SOURCE, How.DRAINS):
        return ""
    if how in (How.BOARD, How.OVERRUNS):
        return "see what the next run is planned to take: dtopipe check FILE"
    return "see what the next run takes of disk and processor, and give it a journal: dtopipe check FILE"


def _detach(name: str, run: str) -> str:
    return f"dtopipe detach {shlex.quote(name)} {run}"


def _pid(status: Mapping[str, Any], name: str) -> int | None:
    facts = status["board"] if name in (ACQUIRER, "board") else status["sinks"].get(name, {})
    pid = facts.get("pid")
    return None if pid is None else int(pid)
