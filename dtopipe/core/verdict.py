"""What a run came to, in one word and one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dtopipe.model.policy import Policy
from dtopipe.model.verdict_state import VerdictState

__all__ = ["SinkOutcome", "Verdict", "VerdictState", "judge"]


@dataclass(frozen=True, slots=True)
class SinkOutcome:
    """How one sink ended; `failure` says why it gave up or was cut off, else it is empty.

    Counts are samples per channel. `overruns`: what of `gaps` the board lost itself.
    """

    name: str
    policy: Policy
    start: int
    stop: int
    samples: int
    gaps: int
    failure: str = ""
    overruns: int = 0

    @property
    def adds_up(self) -> bool:
        """The accounting identity."""
        return self.start + self.samples + self.gaps == self.stop


@dataclass(frozen=True, slots=True)
class Verdict:
    """The worst that is true, and why."""

    state: VerdictState
    text: str


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
) -> Verdict:
    """The verdict of a run from `first_sample_index` to `end_sample_index`; the worst of all that holds wins.

    `repaired`: it was not good at first. `ended_early`: why it ended in order before it should; no fault by itself.
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
    lacking = [sink for sink in sinks if sink.gaps and sink.policy is Policy.BLOCK]
    reasons[VerdictState.INCOMPLETE] += _gap_texts(lacking)
    best = VerdictState.REPAIRED if repaired else VerdictState.GOOD
    worst = next((state for state in reversed(VerdictState) if reasons[state]), best)
    text = "; ".join(reasons[worst]) if reasons[worst] else _good_text(sinks, end_sample_index - first_sample_index)
    if ended_early:
        text = f"ended early: {ended_early}; {text}"
    return Verdict(worst, f"{text} (simulated board)" if simulated else text)


def _gap_texts(lacking: Sequence[SinkOutcome]) -> list[str]:
    """What BLOCK outputs lack; what the board lost is said once for all that lack nothing else."""
    overrun = [sink for sink in lacking if sink.gaps == sink.overruns]
    texts = [
        f"{sink.name} lacks {sink.gaps} of {sink.stop - sink.start} samples" for sink in lacking if sink not in overrun
    ]
    if overrun:
        lost = max(sink.gaps for sink in overrun)
        texts.insert(0, f"the board lost {lost} samples per channel, named as gaps in {_named(overrun)}")
    return texts


def _named(sinks: Sequence[SinkOutcome]) -> str:
    names = [sink.name for sink in sinks]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _good_text(sinks: Sequence[SinkOutcome], n_samples: int) -> str:
    whole = sum(1 for sink in sinks if sink.policy is Policy.BLOCK)
    outputs = "output" if whole == 1 else "outputs"
    return f"{n_samples} samples per channel, whole in {whole} {outputs}"
