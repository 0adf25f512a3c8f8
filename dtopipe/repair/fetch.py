"""What a run lacks, fetched from the machine that serves the same run, into files that are there during a repair."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dtopipe.core.link_clock import LinkPair
from dtopipe.host.clock import mono_ns
from dtopipe.host.run_folder import RunFolder
from dtopipe.intake.joining import JoinedBoard, joined_board
from dtopipe.model.board_events import Ended, Opened, Overrun, Taken
from dtopipe.model.clock import Anchor
from dtopipe.model.errors import BoardError, DtopipeError, SinkError, UsageError
from dtopipe.model.policy import Layout, OnExists
from dtopipe.model.span import Gap, Span
from dtopipe.model.stream import Block, Stream
from dtopipe.repair.raw_samples import RawSamples, raw_samples_of
from dtopipe.sinks.contract import OutputOptions, SinkWriter
from dtopipe.sinks.registry import RAW, load_writer
from dtopipe.topology.followed import followed_options
from dtopipe.verify.outputs import outputs_of
from dtopipe.verify.recount import joined, without
from dtopipe.wire.describe import stream_from

_PREFIX = "fetched"
_TURN_S = 0.05
_COMMIT_VALUES = 1_000_000
# To ask once more costs less than what lies between.
_NEAR_SAMPLES = 100_000
# A link that breaks comes back; somebody waits at a terminal meanwhile.
_ANSWER_WITHIN_NS, _STALL_NS = 10_000_000_000, 60_000_000_000
OnProgress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came, and where the run has ended there; None while it goes on."""

    samples: tuple[RawSamples, ...]
    end: int | None


@contextlib.contextmanager
def fetched_from(folder: RunFolder, link: Mapping[str, Any], on_progress: OnProgress) -> Iterator[Fetched]:
    """What no raw file of the run has. `link`: endpoint and keys, as options of the board that follows there.

    Raises UsageError, TopologyError, BoardError, SinkError. The files go in the end, whatever becomes of the repair.
    """
    record = folder.read_record()
    if not record.get("stream"):
        raise SinkError(folder.path, "its board never started: nobody knows what it lacks", "follow the run again")
    stream = stream_from(record["stream"])
    if stream.polled:
        raise UsageError("readings cannot be fetched", "name a copy of the other machine's run folder: --from RUN_DIR")
    _clear(folder.path)
    board = _board(link, stream.run_id)
    try:
        opened = _opened(board, str(link["endpoint"]))
        _ensure_same(stream, opened)
        lacking = _lacking(folder, record, stream, opened)
        total = 0
        files = []
        for number, span in enumerate(lacking):
            file = folder.path / f"{_PREFIX}-{number}.dt-raw"
            total += _fetch(board, span, stream, file, lambda n, before=total: on_progress("fetching", before + n))  # type: ignore[misc]
            files.append(file)
        board.leave()
        yield Fetched(tuple(RawSamples(_PREFIX, file, stream) for file in files), opened.end_sample_index)
    finally:
        board.close()
        _clear(folder.path)


class _Wishes:
    """Gives an answer so much time, for somebody waits for it."""

    def __init__(self, began_ns: int) -> None:
        self._began_ns = began_ns

    def away(self, why: str) -> None:
        """It goes on by itself."""

    def back(self) -> None:
        """Nothing to do."""

    def compared(self, pair: LinkPair) -> None:
        """Clocks are not asked for here."""

    def is_wanted(self) -> bool:
        """False once there was time enough for an answer."""
        return mono_ns() - self._began_ns < _ANSWER_WITHIN_NS


def _board(link: Mapping[str, Any], run_id: str) -> JoinedBoard:
    options = followed_options({**link, "runs": run_id, "start": "earliest"})
    return joined_board({**options, "waits": False, "label": "dtopipe repair"}, _Wishes(mono_ns()), str(uuid.uuid4()))


def _opened(board: JoinedBoard, endpoint: str) -> Opened:
    try:
        return board.open()
    except BoardError as error:
        if error.is_final:
            raise
        raise DtopipeError(
            f"nobody serves this run at {endpoint}", "there: dtopipe serve RUN, as long as this takes"
        ) from error


def _ensure_same(stream: Stream, opened: Opened) -> None:
    names = [channel.name for channel in stream.channels]
    if [channel.name for channel in opened.channels] != names or opened.dtype != stream.dtype:
        raise UsageError("the other machine has this run with other channels", "install the same version on both")


def _lacking(folder: RunFolder, record: Mapping[str, Any], stream: Stream, opened: Opened) -> list[Span]:
    """The spans from the first output's start to the end of the run that are in no raw file here; near ones as one."""
    there = joined(
        span for source in raw_samples_of(folder, outputs_of(folder, record), stream) for span in source.spans()
    )
    start = min((sink["start"] for sink in record["sinks"].values()), default=0)
    end = max(record["acquired"]["end_sample_index"], opened.end_sample_index or 0)
    found: list[Span] = []
    for span in without([Span(max(start, opened.first_sample_index), end)], there):
        if found and span.start - found[-1].stop < _NEAR_SAMPLES:
            found[-1] = Span(found[-1].start, span.stop)
        else:
            found.append(span)
    return found


def _fetch(board: JoinedBoard, span: Span, stream: Stream, file: Path, on_samples: Callable[[int], None]) -> int:
    """Everything of `span` that is to be had, into a file; how many samples or gaps that were."""
    board.start(span.start)
    writer: SinkWriter = load_writer(RAW)(OutputOptions(file, Layout.WIDE, OnExists.OVERWRITE))
    writer.open(stream, span.start, resume=False)
    at, n_waiting, moved_ns = span.start, 0, mono_ns()
    anchor = Anchor(0, 0, 0)
    try:
        while at < span.stop:
            event = board.read(_TURN_S)
            if isinstance(event, Ended):
                break
            if event is None:
                if mono_ns() - moved_ns > _STALL_NS:
                    raise DtopipeError("the other machine has fallen silent", "call repair again")
                continue
            moved_ns = mono_ns()
            anchor = event.anchor or anchor if isinstance(event, Taken) else anchor
            item = _item(event, stream, anchor)
            item = item.trimmed(at, span.stop) if isinstance(item, Block) else item
            writer.append([item])
            at = item.span.stop
            n_waiting += len(item.span) * len(stream.channels)
            if n_waiting > _COMMIT_VALUES:
                writer.commit()
                n_waiting = 0
                on_samples(at - span.start)
        writer.close()
    except BaseException:
        writer.abandon()
        raise
    on_samples(at - span.start)
    return at - span.start


def _item(event: Taken | Overrun, stream: Stream, anchor: Anchor) -> Block | Gap:
    if isinstance(event, Taken):
        # As the board of that machine counted them, but for what it lost.
        number = event.first_sample_index // max(1, stream.samples_per_block)
        return Block(number, event.first_sample_index, event.codes, anchor, event.sensor_status)
    t_utc_ns = event.t_utc_ns
    if t_utc_ns is None:
        t_utc_ns = anchor.t_utc_ns + stream.clock.offset_ns(event.span.start - anchor.sample_index)
    return Gap(event.span, event.cause, t_utc_ns)


def _clear(folder: Path) -> None:
    for file in folder.glob(f"{_PREFIX}-*.dt-raw*"):
        with contextlib.suppress(OSError):
            file.unlink()
