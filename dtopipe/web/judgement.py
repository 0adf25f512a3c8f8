"""One light and three answers about a run: is it recording, is anything lost, who is slow."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from dtopipe.core.board_condition import BoardCondition
from dtopipe.core.lifecycle import SinkState, condition_of, lacks
from dtopipe.model.policy import Policy
from dtopipe.model.verdict_state import VerdictState

# Commits come in steps of a `flush_interval`, a table's in larger ones: less than that is nobody's fault.
_SLOW_FROM_S = 2.0
_SLOW_FROM_BLOCKS = 3
# A loss that is younger is not over yet, as far as anybody can tell.
_GOES_ON_S = 5.0


class Tone(StrEnum):
    """How an answer is meant; the words say it too."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Answer:
    """`word`: the answer, to be seen from afar. `text`: what there is to say about it."""

    word: str
    text: str
    tone: Tone


@dataclass(frozen=True, slots=True)
class Judgement:
    """`light`: its word, and the verdict in words; green where it is good, red where it is bad, never anything else."""

    light: Answer
    recording: Answer
    lost: Answer
    slow: Answer

    def facts(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def judgement_of_status(status: Mapping[str, Any], gaps: Sequence[Mapping[str, Any]] = ()) -> Judgement:
    """Of a run in progress, by its status; `gaps` are what the board lost, as `gaps.jsonl` has them, in order."""
    recording, lost, slow = _recording(status), _lost(status, gaps), _slow(status)
    failed = _failed(status["sinks"])
    if stands := _LIGHTS.get(status["board"]["condition"]):
        light = Answer(stands, recording.text, Tone.BAD)
    elif lost.tone is Tone.BAD:
        rest = f" {recording.text}" if recording.tone is not Tone.GOOD else ""
        light = Answer("SAMPLES LOST", f"{lost.text}{rest}", Tone.BAD)
    elif failed:
        light = Answer("OUTPUT FAILED", failed, Tone.BAD)
    else:
        word = {"opening": "STARTING", "draining": "ENDING"}.get(status["phase"], "RECORDING")
        rest = f" {slow.text}" if slow.tone is not Tone.GOOD else ""
        light = Answer(word, f"{recording.text} {lost.text}{rest}", Tone.GOOD)
    return Judgement(light, recording, lost, slow)


def judgement_of_record(record: Mapping[str, Any], remedy: str = "", run: str = "RUN") -> Judgement:
    """Of a run that is over, by its record; without a verdict it was killed.

    `remedy`: what there is to do about it. `run`: as commands name it.
    """
    verdict = record.get("verdict")
    sinks, acquired = record.get("sinks") or {}, record.get("acquired") or {}
    rate_hz = (record.get("stream") or {}).get("rate_hz")
    lost = _lost({"sinks": sinks, "board": {**acquired, "rate_nominal_hz": rate_hz}})
    slow = Answer("nobody", "The run is over.", Tone.GOOD)
    if verdict is None:
        text = f"Every process of the run was killed. Complete its record with: dtopipe repair {run}"
        if lost.tone is not Tone.BAD:
            lost = Answer("not known", "Nobody has looked yet what is in the outputs.", Tone.WARNING)
        return Judgement(Answer("INTERRUPTED", text, Tone.BAD), Answer("interrupted", text, Tone.BAD), lost, slow)
    state = verdict["state"]
    is_good = state in (VerdictState.GOOD, VerdictState.REPAIRED)
    text = f"{verdict['text']}\n{remedy[:1].upper()}{remedy[1:]}" if remedy else verdict["text"]
    samples = f"{acquired.get('samples', 0):,} samples per channel."
    recording = Answer("finished", samples, Tone.GOOD)
    if state in (VerdictState.ABORTED, VerdictState.INTERRUPTED):
        recording = Answer("broken off", f"Until then it took {samples}", Tone.BAD)
    return Judgement(Answer(state, text, Tone.GOOD if is_good else Tone.BAD), recording, lost, slow)


def judgement_of_link(*, is_there: bool, has_ended: bool, samples: int, dropped: int) -> Judgement:
    """Of a run of another machine, by what has come from there."""
    skipped = f" The page passed over {dropped:,} samples." if dropped else ""
    lost = Answer("not told", f"Whether anything is lost, its own machine knows.{skipped}", Tone.WARNING)
    slow = Answer("not told", "Who is slow, its own machine knows.", Tone.WARNING)
    if has_ended:
        text = "The run of the other machine is over."
        return Judgement(Answer("ENDED", text, Tone.GOOD), Answer("finished", text, Tone.GOOD), lost, slow)
    if not is_there:
        text = "The other machine does not answer, or has no run."
        return Judgement(Answer("NO CONNECTION", text, Tone.BAD), Answer("no connection", text, Tone.BAD), lost, slow)
    text = f"Samples come from the other machine: {samples:,} per channel so far."
    return Judgement(Answer("RECEIVING", text, Tone.GOOD), Answer("yes", text, Tone.GOOD), lost, slow)


def _recording(status: Mapping[str, Any]) -> Answer:
    board = status["board"]
    condition, state = board.get("condition", ""), board.get("state", "")
    if status["phase"] == "opening":
        return Answer("starting", f"The board is {state}.", Tone.GOOD)
    if status["phase"] in ("draining", "finished"):
        return Answer("ending", "No more samples are taken; outputs are being completed.", Tone.GOOD)
    if condition == BoardCondition.SILENT:
        return Answer("no", f"The board delivers nothing: {board.get('why') or state}.", Tone.BAD)
    if condition == BoardCondition.AWAY:
        return Answer("no", f"The board is away: {board.get('why') or state}.", Tone.BAD)
    if condition == BoardCondition.HUNG:
        return Answer("no", f"Nothing comes from the board: its process is {state}.", Tone.BAD)
    if condition == BoardCondition.WAITING:
        if _overruns(status):
            return Answer("not now", f"The ring is full, and the board is {state}.", Tone.BAD)
        return Answer("it waits", f"The ring is full: the board is {state}.", Tone.WARNING)
    rate_hz = board.get("rate_hz") or 0.0
    return Answer("yes", f"{board.get('channels') or 0} channels at {rate_hz:,.0f} samples a second each.", Tone.GOOD)


def _lost(status: Mapping[str, Any], gaps: Sequence[Mapping[str, Any]] = ()) -> Answer:
    board, sinks = status["board"], status["sinks"]
    overrun = int(board.get("overrun_samples") or 0)
    behind = {name: lacks(sink) for name, sink in sinks.items() if sink["policy"] == Policy.BLOCK}
    dropped = {name: int(sink["dropped"]) for name, sink in sinks.items() if sink["dropped"]}
    lacking = {name: count for name, count in behind.items() if count > overrun}
    if lacking:
        words = "; ".join(f"{name} lacks {count:,} samples" for name, count in lacking.items())
        return Answer("yes", f"{words}.", Tone.BAD)
    if not overrun and _overruns(status):
        return Answer("yes", "The board has no room left: what it measures now is lost.", Tone.BAD)
    if overrun:
        seconds = _seconds(overrun, board)
        text = f"{overrun:,} samples{seconds} were lost before they could be taken from the board{_when(status, gaps)}."
        return Answer("yes", text, Tone.BAD)
    stopped = {name: sink for name, sink in sinks.items() if condition_of(sink) in _BAD}
    words = "; ".join(
        f"{name} has nothing from sample {sink['committed']:,}{_seconds(sink['committed'], board)} on "
        f"({sink.get('failure') or sink['state']})"
        for name, sink in stopped.items()
    )
    if stopped and len(stopped) == len(sinks):
        return Answer("yes", f"No output is being written any more: {words}.", Tone.BAD)
    if stopped:
        where = next(iter(stopped)) if len(stopped) == 1 else f"{len(stopped)} outputs"
        return Answer(f"only in {where}", f"{words}; the other outputs lack nothing.", Tone.WARNING)
    if board.get("condition") in _LIGHTS:
        text = "Nothing was lost before; what the board measures now, nobody sees."
        return Answer("not known", text, Tone.WARNING)
    if dropped:
        words = "; ".join(f"{name} passed over {count:,} samples, as it may" for name, count in dropped.items())
        return Answer("no", f"Nothing is lost. {words}.", Tone.GOOD)
    return Answer("no", "Nothing is lost.", Tone.GOOD)


def _seconds(samples: int, board: Mapping[str, Any]) -> str:
    """How long so many samples take, in words; empty where the rate is not known."""
    rate_hz = board.get("rate_nominal_hz")
    return f" ({samples / rate_hz:,.1f} s)" if rate_hz else ""


def _when(status: Mapping[str, Any], gaps: Sequence[Mapping[str, Any]]) -> str:
    """When the newest of it was lost; empty where that is not known."""
    if _overruns(status):
        return ", and it goes on"
    board = status["board"]
    rate_hz, end = board.get("rate_nominal_hz") or 0.0, board.get("end_sample_index")
    stop = gaps[-1].get("stop") if gaps else None
    if not isinstance(stop, int) or not rate_hz or end is None:
        return ""
    ago_s = max(0.0, (end - stop) / rate_hz)
    if ago_s < max(_GOES_ON_S, _SLOW_FROM_BLOCKS * _block_s(status)):
        return ", and it goes on"
    return f", the last of them {_span(ago_s)} ago"


def _span(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _overruns(status: Mapping[str, Any]) -> bool:
    """True if what the board measures now is lost: the ring is full, and its own buffers are, where it has any."""
    board = status["board"]
    if board.get("condition") != BoardCondition.WAITING:
        return False
    own = (status.get("headroom") or {}).get("board")
    return own["left_s"] <= 0 if own else bool(board.get("overrun_samples"))


def _slow(status: Mapping[str, Any]) -> Answer:
    board, sinks = status["board"], status["sinks"]
    condition = board.get("condition")
    helps = f" What helps, says: dtopipe why {shlex.quote(status['name'])}" if status.get("name") else ""
    if condition == BoardCondition.WAITING:
        return Answer(_named(board), f"The board is {board['state']}: it holds the ring full.{helps}", Tone.BAD)
    if condition == BoardCondition.HUNG:
        return Answer("the acquirer", f"The process that owns the board is {board['state']}.{helps}", Tone.BAD)
    if condition in _LIGHTS:
        return Answer("the board", f"Everybody waits for it: {board['state']}.{helps}", Tone.BAD)
    troubled = {name: sink for name, sink in sinks.items() if condition_of(sink) in _TROUBLED}
    if troubled:
        name, sink = next(iter(troubled.items()))
        why = f": {sink['failure']}" if sink.get("failure") else ""
        return Answer(name, f"{name} is {sink['state']}{why}.{helps}", Tone.WARNING)
    stopped = [name for name, sink in sinks.items() if condition_of(sink) in _BAD]
    behind = {name: float(sink["lag_s"]) for name, sink in sinks.items() if not condition_of(sink).is_over}
    name = max(behind, key=lambda each: behind[each], default="")
    block_s = _block_s(status)
    if name and behind[name] > max(_SLOW_FROM_S, _SLOW_FROM_BLOCKS * block_s):
        return Answer(name, f"{name} is {behind[name]:.1f} s behind the board.{helps}", Tone.WARNING)
    if stopped:
        return Answer(stopped[0], f"{' and '.join(stopped)}: nothing more is written.", Tone.WARNING)
    most = f" The furthest behind is {name}, {behind[name]:.1f} s." if name else ""
    return Answer("nobody", f"Everybody keeps up.{most}", Tone.GOOD)


_LIGHTS = {
    BoardCondition.SILENT: "BOARD SILENT",
    BoardCondition.AWAY: "BOARD AWAY",
    BoardCondition.HUNG: "BOARD HANGS",
}
_BAD = (SinkState.GAVE_UP, SinkState.CUT_OFF, SinkState.INTERRUPTED)
_TROUBLED = (SinkState.AWAY, SinkState.HUNG, SinkState.RESTARTING)


def _named(board: Mapping[str, Any]) -> str:
    return str(board["state"]).removeprefix("waiting for ")


def _block_s(status: Mapping[str, Any]) -> float:
    rate_hz = status["board"].get("rate_nominal_hz") or 0.0
    return float(status["board"].get("samples_per_block") or 0) / rate_hz if rate_hz else 0.0


def _failed(sinks: Mapping[str, Mapping[str, Any]]) -> str:
    """The outputs that gave up, in words; empty if none has."""
    return " ".join(
        f"{name}: {sink.get('failure') or 'gave up'}. Revive it with: dtopipe restart {name}"
        for name, sink in sinks.items()
        if condition_of(sink) in _BAD
    )
