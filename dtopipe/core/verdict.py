"""What a run came to, in one word and one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dtopipe.core.ending import Ending, ending_from
from dtopipe.core.followed import Followed, followed_from
from dtopipe.core.limit_words import limit_remarks
from dtopipe.core.outcome import SinkOutcome
from dtopipe.core.remark import Remark, remarks_from
from dtopipe.core.remedy import Repair, help_of_repair
from dtopipe.model.policy import Policy
from dtopipe.model.span import Span
from dtopipe.model.verdict_state import VerdictState

__all__ = ["SinkOutcome", "Verdict", "VerdictState", "judge", "judge_recorded"]


_SIMULATED = " (simulated board)"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The worst that is true, why, and what a repair can do about it."""

    state: VerdictState
    text: str
    repair: Repair = Repair.NEEDLESS

    def facts(self) -> dict[str, str]:
        """As in the run record: `{state, text}`, and what a repair can do if it is not good."""
        return {"state": self.state.value, "text": self.text, **({"repair": self.repair.value} if self.repair else {})}


def judge(
    sinks: Sequence[SinkOutcome],
    *,
    end_sample_index: int,
    aborted: str = "",
    interrupted: bool = False,
    simulated: bool = False,
    repaired: bool = False,
    ended_early: str = "",
    first_sample_index: int = 0,
    followed: Followed | None = None,
    ended_by: Ending | None = None,
    remarks: Sequence[Remark] = (),
) -> Verdict:
    """The verdict of a run from `first_sample_index` to `end_sample_index`; the worst of all that holds wins.

    `repaired`: it was not good at first. `ended_early`: why it ended in order before it should; no fault by itself.
    `followed`: what is known of the other machine's run that it is a copy of: without that one's end it is not whole.
    `remarks`: what else the board and the clocks did. A run without a sample is never good.
    """
    reasons: dict[VerdictState, list[str]] = {state: [] for state in VerdictState}
    if interrupted:
        reasons[VerdictState.INTERRUPTED].append("the supervisor was killed or the power was cut")
    if aborted:
        reasons[VerdictState.ABORTED].append(aborted)
    for sink in sinks:
        if sink.failure:
            reasons[VerdictState.DEGRADED].append(f"{sink.name}: {sink.failure}")
        if not sink.adds_up:
            off = sink.stop - sink.start - sink.samples - sink.gaps
            reasons[VerdictState.DEGRADED].append(f"{sink.name}: {off:+d} samples are not accounted for")
    lacking = [sink for sink in sinks if sink.lacks and sink.policy is Policy.BLOCK]
    reasons[VerdictState.INCOMPLETE] += _gap_texts(lacking)
    reasons[VerdictState.INCOMPLETE] += [remark.text for remark in remarks if remark.is_lack]
    if end_sample_index <= first_sample_index:
        reasons[VerdictState.INCOMPLETE].append("no sample was acquired")
    lack = "" if followed is None else followed.lack(end_sample_index)
    best = VerdictState.INCOMPLETE if lack else VerdictState.REPAIRED if repaired else VerdictState.GOOD
    worst = next((state for state in reversed(VerdictState) if reasons[state]), best)
    words = list(reasons[worst])
    if worst in (VerdictState.GOOD, VerdictState.REPAIRED):
        words.append(_good_text(sinks, Span(first_sample_index, end_sample_index)))
    # Whatever else is wrong: nobody could see it in the outputs.
    told = "" if ended_by is None else ended_by.told_in_verdict
    # A reason may be the text of a former verdict.
    remarked = [remark.text for remark in remarks]
    words += [more for more in (*remarked, lack, told) if more and not any(more in word for word in words)]
    text = "; ".join(words)
    if ended_early:
        text = f"ended early: {ended_early}; {text}"
    repair = help_of_repair(sinks, follows=followed is not None, lacks_end=bool(lack))
    if worst is VerdictState.INTERRUPTED and repair is not Repair.HELPS_FROM_SOURCE:
        # It recounts what is there, and closes what was left open.
        repair = Repair.HELPS
    return Verdict(worst, f"{text}{_SIMULATED}" if simulated and _SIMULATED not in text else text, repair)


def judge_recorded(
    record: Mapping[str, Any],
    sinks: Sequence[SinkOutcome],
    *,
    aborted: str = "",
    interrupted: bool = False,
    repaired: bool = False,
) -> Verdict:
    """The verdict of a run that has ended, by its record and what its outputs are now."""
    acquired = record["acquired"]
    return judge(
        sinks,
        end_sample_index=acquired["end_sample_index"],
        first_sample_index=acquired.get("first_sample_index", 0),
        aborted=aborted,
        interrupted=interrupted,
        simulated=bool(record.get("simulated")),
        repaired=repaired,
        ended_early=str(record.get("ended_early", "")),
        followed=followed_from(record.get("source")),
        ended_by=ending_from(record.get("ended_by")),
        remarks=(*remarks_from(record.get("remarks")), *limit_remarks(record)),
    )


def _gap_texts(lacking: Sequence[SinkOutcome]) -> list[str]:
    """What BLOCK outputs lack; what the board lost is said once for all that lack nothing else."""
    overrun = [sink for sink in lacking if sink.lacks == sink.overruns]
    texts = [
        f"{sink.name} lacks {sink.lacks} of {sink.stop - sink.start} samples" for sink in lacking if sink not in overrun
    ]
    if overrun:
        lost = max(sink.lacks for sink in overrun)
        texts.insert(0, f"the board lost {lost} samples per channel, named as gaps in {_named(overrun)}")
    return texts


def _named(sinks: Sequence[SinkOutcome]) -> str:
    names = [sink.name for sink in sinks]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _good_text(sinks: Sequence[SinkOutcome], run: Span) -> str:
    """What the outputs have; those that were attached later or detached before the end have a part of it."""
    blocking = [sink for sink in sinks if sink.policy is Policy.BLOCK]
    parts = [sink for sink in blocking if (sink.start, sink.stop) != (run.start, run.stop)]
    triggered = [sink for sink in blocking if sink.untriggered and sink not in parts]
    whole = len(blocking) - len(parts) - len(triggered)
    outputs = "output" if whole == 1 else "outputs"
    text = f"{len(run)} samples per channel" + (f", whole in {whole} {outputs}" if whole or not triggered else "")
    around = (f"{sink.name} has the {sink.samples} around its events" for sink in triggered)
    return "; ".join([text, *around, *(f"{sink.name} has {sink.start} to {sink.stop}" for sink in parts)])
