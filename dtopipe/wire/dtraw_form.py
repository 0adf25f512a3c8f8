"""The headers of whole blocks without anything special, filled in instead of made anew: the fast path of raw files."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from dtopipe.model.clock import Anchor, SampleClock, iso_utc
from dtopipe.wire.dtraw_headers import BUFFER_DONE

_NS_PER_S = 1_000_000_000
# (seq, first_sample_index, block_index, crc32) of a block to its header.
BufferDoneForm: TypeAlias = Callable[[int, int, int, int], bytes]


def buffer_done_form(valid_samples: int, buffer_capacity: int, anchor: Anchor, clock: SampleClock) -> BufferDoneForm:
    """The JSON of whole blocks without anything special, which nearly all are, in a twentieth of the time of `json`.

    What blocks of this length and anchor have in common stands in it already.
    """
    index, mono_ns, utc_ns = anchor.sample_index, anchor.t_mono_ns, anchor.t_utc_ns
    period_ns = clock.whole_period_ns
    form = (
        f'{{"seq": %d, "event_kind": "{BUFFER_DONE}", "first_sample_index": %d, "valid_samples": {valid_samples}, '
        f'"buffer_capacity": {buffer_capacity}, "t_mono_ns": %d, "t_utc": "%b.%09d+00:00", "flags": [], '
        '"checksum": {"algorithm": "crc32", "value": %d}, "block_index": %d, '
        f'"anchor": [{index}, {mono_ns}, {utc_ns}]}}'
    ).encode()
    known_second, second_text = -1, b""

    def filled(seq: int, first_sample_index: int, block_index: int, crc32: int) -> bytes:
        nonlocal known_second, second_text
        n = first_sample_index - index
        offset_ns = clock.offset_ns(n) if period_ns is None else n * period_ns
        second, ns = divmod(utc_ns + offset_ns, _NS_PER_S)
        if second != known_second:
            known_second, second_text = second, iso_utc(second * _NS_PER_S).partition(".")[0].encode()
        return form % (seq, first_sample_index, mono_ns + offset_ns, second_text, ns, crc32, block_index)

    return filled
