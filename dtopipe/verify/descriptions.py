"""What an output says of itself in words: its columns, units, scales, and what long rows say of their channel."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from dtopipe.model.stream import Channel
from dtopipe.sinks.contract import OutputReader
from dtopipe.sinks.rows.long_words import words_of
from dtopipe.sinks.text.reader import TextReader
from dtopipe.verify.outputs import Output
from dtopipe.verify.raw_blocks import RawBlocks


def words_problems(output: Output, reader: OutputReader) -> list[str]:
    """What is wrong with the words of a text output, whose numbers were looked at."""
    words = getattr(reader, "words", None)
    if words is not None and not output.is_wide:
        strange = set(words()) - set(words_of(output.stream))
        return [f"words in its rows are not those of the run's channels: {_listed(strange)}"] if strange else []
    if output.stream.polled or not isinstance(reader, TextReader):
        return []
    n_lines, first = reader.misworded(output.stream, is_long=not output.is_wide)
    if not n_lines:
        return []
    return [f"words in {n_lines} of its lines are not those of the run's channels, first in line {first}"]


def description_problems(output: Output, reader: OutputReader) -> list[str]:
    """What an output says of its channels that the run record says otherwise."""
    if output.is_raw and output.path is not None:
        told: Sequence[Channel] = RawBlocks(output.path).stream.channels
    else:
        describe = getattr(reader, "channels", None)
        told = () if describe is None else describe()
    if not told or not all(isinstance(channel, Channel) for channel in told):
        return []
    if [channel.name for channel in told] != [channel.name for channel in output.stream.channels]:
        return ["it names other channels than the run record"]
    wrong = [
        own.name
        for own, channel in zip(told, output.stream.channels, strict=True)
        if (own.unit, own.input_scaling) != (channel.unit, channel.input_scaling)
    ]
    found = [f"unit or scale are not those of the run record: {', '.join(wrong)}"] if wrong else []
    if output.is_raw:
        other = [
            own.name
            for own, channel in zip(told, output.stream.channels, strict=True)
            if own.calibration != channel.calibration
        ]
        found += [f"calibrations are not those of the run record: {', '.join(other)}"] if other else []
    return found


def _listed(words: Collection[tuple[Any, ...]]) -> str:
    """The first of them, each of them on its own."""
    first = min(words, key=repr)
    more = f" and {len(words) - 1} more" if len(words) > 1 else ""
    return ", ".join(str(word) for word in first if word is not None) + more
