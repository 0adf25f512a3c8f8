"""What the verdict says of signals that are dead though no sample is missing."""

from __future__ import annotations

import pytest

from dtopipe.core.signals import Signal, signal_remarks

HOUR = 3600 * 1000
RATE_HZ = 1000.0


@pytest.mark.parametrize(
    ("signal", "words"),
    [
        (Signal("flux", HOUR), ""),
        (Signal("tc3", HOUR, n_open=41 * 60_000, n_not_ok=41 * 60_000), "tc3 open for 41 min"),
        (Signal("tc3", HOUR, n_open=1500, n_not_ok=1500), "tc3 open for 1.5 s"),
        (Signal("tc3", HOUR, n_open=999, n_not_ok=999), ""),
        (Signal("tc3", 2000, n_open=30, n_not_ok=30), "tc3 open for 0.03 s"),
        (Signal("tc3", 4 * HOUR, n_open=3 * HOUR, n_not_ok=3 * HOUR), "tc3 open for 3.0 h"),
        (Signal("tc3", HOUR, n_not_ok=60_000), "tc3 without a value for 60 s"),
        (
            Signal("tc3", HOUR, n_open=1000, n_not_ok=3000),
            "tc3 open for 1 s and without a value for 2 s",
        ),
        (Signal("p1", HOUR, n_at_rail=108_000, at_upper=True), "p1 at its upper rail 3 % of the time"),
        (Signal("p1", HOUR, n_at_rail=HOUR, at_lower=True, is_flat=True), "p1 at its lower rail 100 % of the time"),
        (Signal("p1", HOUR, n_at_rail=HOUR // 3, at_lower=True, at_upper=True), "p1 at its rails 33.3 % of the time"),
        (Signal("p1", HOUR, n_at_rail=HOUR // 200, at_upper=True), ""),
        (Signal("p1", HOUR, is_flat=True), "p1 without any change"),
        (Signal("p1", 9_999, is_flat=True), ""),
        (Signal("p1", HOUR, n_open=HOUR, n_not_ok=HOUR, is_flat=True), "p1 open for 60 min"),
    ],
)
def test_a_dead_signal_is_told_in_words(signal: Signal, words: str) -> None:
    assert [remark.text for remark in signal_remarks([signal], RATE_HZ)] == ([words] if words else [])


def test_it_makes_no_verdict_worse() -> None:
    (remark,) = signal_remarks([Signal("p1", HOUR, is_flat=True)], RATE_HZ)
    assert not remark.is_lack


def test_of_many_the_first_are_named_and_the_others_counted() -> None:
    signals = [Signal(f"c{number}", HOUR, is_flat=True) for number in range(100)]
    texts = [remark.text for remark in signal_remarks(signals, RATE_HZ)]
    assert len(texts) == 7
    assert texts[:2] == ["c0 without any change", "c1 without any change"]
    assert "94 more channels" in texts[-1]


def test_a_run_without_a_sample_has_no_signal() -> None:
    assert signal_remarks([Signal("flux", 0), Signal("tc1", 0, is_flat=True)], RATE_HZ) == ()
