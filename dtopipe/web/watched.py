"""One run as pages see it: its newest bins and values, and how it is. Threads call it; nothing of it is the run's."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dtopipe.host.run_folder import RunFolder
from dtopipe.host.run_life import holder_of, reached
from dtopipe.host.run_marks import MarkLines
from dtopipe.model.errors import DtopipeError
from dtopipe.model.marks import Mark
from dtopipe.model.stream import Channel, Stream
from dtopipe.transport.control import ControlClient
from dtopipe.transport.run_link import answer_of, control_of
from dtopipe.verify.remedy import remedy_of, run_word
from dtopipe.web.bins import BinHistory, BinReducer, samples_per_bin
from dtopipe.web.event_tail import EventTail
from dtopipe.web.judgement import Judgement, judgement_of_link, judgement_of_record, judgement_of_status
from dtopipe.web.live_source import EndpointSource, LiveSource, RingSource
from dtopipe.web.newest import NewestSamples
from dtopipe.web.spectrum import NoSpectrum, ensure_whole, spectrum_of
from dtopipe.wire.commands import AskStatus, StatusSnapshot
from dtopipe.wire.describe import stream_from

# A page's longest window, and what it gets at once when it is opened, as far as the ring goes back.
_HISTORY_BINS = 12_000
_MOST_MARKS, _PASSED_OVER_KEPT = 500, 100
_SAYS_NOTHING_AFTER_S = 5.0


class Watched:
    """What is the same for a run of this machine and for one of another.

    `turn` takes samples, many times a second, and `look` the rest, twice a second; each from one thread at a time.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.source: LiveSource | None = None
        self.stream: Stream | None = None
        self.channels: Sequence[Channel] = ()
        self.history: BinHistory | None = None
        self.values: list[float | None] = []
        self.end_sample_index = 0
        self.is_over = False
        self.passed_over: list[tuple[int, int]] = []
        self._reducer: BinReducer | None = None
        self._newest = NewestSamples()
        # Held while samples are taken; the other one while bins are read or written.
        self._using = threading.Lock()

    def turn(self) -> bool:
        """Take what has come; True if there is anything new to draw."""
        with self._using:
            source = self.source
            if source is None:
                return False
            pieces = source.take()
            made = [(piece, self._reducer.add(piece.first_sample_index, piece.values)) for piece in pieces
                    if self._reducer is not None]  # fmt: skip
        with self.lock:
            for piece, found in made:
                if piece.is_overtaken and self.end_sample_index < piece.first_sample_index:
                    self.passed_over.append((self.end_sample_index, piece.first_sample_index))
                    del self.passed_over[:-_PASSED_OVER_KEPT]
                for bins in found:
                    if self.history is not None:
                        self.history.add(bins)
                self.end_sample_index = piece.first_sample_index + piece.values.shape[1]
                self._newest.add(piece.first_sample_index, piece.values)
        if pieces:
            self.values = [value if math.isfinite(value) else None for value in pieces[-1].values[:, -1].tolist()]
        return bool(pieces)

    def begin(self, source: LiveSource) -> None:
        """Samples come from there from now on."""
        bin_samples = samples_per_bin(source.stream.rate_hz)
        with self._using, self.lock:
            if self.history is None:
                self.history = BinHistory(len(source.channels), _HISTORY_BINS)
            self._reducer = BinReducer(bin_samples)
            self.stream, self.channels, self.source = source.stream, source.channels, source

    def rest(self) -> None:
        """Nobody looks any more: let go of everything that belongs to the run."""
        with self._using:
            source, self.source = self.source, None
            if source is not None:
                source.close()

    def spectrum(self, channel: int) -> dict[str, Any]:
        """The spectrum of the newest samples of one channel. Raises UsageError, in words, where there is none."""
        with self.lock:
            stream, channels = self.stream, self.channels
            first, values = self._newest.of(channel)
        if stream is None or stream.polled:
            raise NoSpectrum("readings have no fixed rate, and so no spectrum")
        ensure_whole(np.arange(first, first + len(values)), values, len(values))
        return spectrum_of(values, stream.rate_hz, channels[channel].unit)

    def description(self) -> dict[str, Any] | None:
        """What a page must know before it can draw; None before the board is open."""
        stream = self.stream
        if stream is None:
            return None
        return {
            "type": "description",
            "run_id": stream.run_id,
            "device": stream.device,
            "started_at": stream.started_at,
            "rate_hz": stream.rate_hz,
            "bin_samples": samples_per_bin(stream.rate_hz),
            "history_bins": _HISTORY_BINS,
            "simulated": stream.simulated,
            "channels": [{"name": each.name, "unit": each.unit, **self._limits(each.name)} for each in self.channels],
        }

    def _limits(self, channel: str) -> Mapping[str, Any]:
        return {}

    def look(self) -> None:
        """See how the run is."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """How the run is by now, for a page."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of everything."""
        self.rest()


class WatchedFolder(Watched):
    """A run of this machine, in progress or over, by its folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = RunFolder(folder)
        self._tail, self._mark_lines = EventTail(folder), MarkLines(folder)
        self._marks: list[Mark] = []
        self._control: ControlClient | None = None
        self._status: Mapping[str, Any] = {}
        self._record: Mapping[str, Any] = {}
        self._judgement: Judgement | None = None
        self._judged: Mapping[str, Any] = {}
        self._trouble = ""
        self._seen_s = -math.inf

    def look(self) -> None:
        """Ask its supervisor, or its record once there is none; open the ring as soon as there is one."""
        with contextlib.suppress(DtopipeError, OSError):
            self._tail.look()
            self._marks = [*self._marks, *self._mark_lines.take()][-_MOST_MARKS:]
        try:
            self._ask()
        except (DtopipeError, OSError) as error:
            self._forget_control()
            self._not_seen(error.headline if isinstance(error, DtopipeError) else str(error))
        if self.source is None and self._status and not self.is_over:
            with contextlib.suppress(DtopipeError, OSError):
                self._open()
        elif self.is_over and self.source is not None and self.source.has_ended:
            # The ring's memory is given back as long as the page shows the verdict.
            self.rest()

    def state(self) -> dict[str, Any]:
        """The judgement, the pipeline, events, marks and gaps."""
        facts = self._status or self._record
        return {
            "type": "state",
            "name": facts.get("name", ""),
            "folder": str(self._folder.path),
            "is_over": self.is_over,
            "trouble": self._trouble,
            "judgement": None if self._judgement is None else self._judgement.facts(),
            "status": facts,
            "events": list(self._tail.events),
            "gaps": list(self._tail.gaps),
            "marks": [mark.to_json() for mark in self._marks],
            "passed_over": list(self.passed_over),
        }

    def close(self) -> None:
        """Let go of everything."""
        super().close()
        self._forget_control()

    def _ask(self) -> None:
        if self._control is None:
            facts = reached(self._folder)
            self._control = None if facts is None else control_of(facts)
        if self._control is None:
            self._look_at_record()
            return
        snapshot = answer_of(self._control.ask(AskStatus(), 2.0), StatusSnapshot).snapshot
        self._status = snapshot
        self._seen(judgement_of_status(self._status, self._tail.gaps))

    def _look_at_record(self) -> None:
        record = self._record = self._folder.read_record()
        if record.get("verdict") is None and (holder := holder_of(self._folder)) is not None:
            self._not_seen(holder.words)
            return
        self._status = {}
        judgement = self._judgement
        if judgement is None or not self.is_over or record != self._judged:
            folder = self._folder.path
            judgement = judgement_of_record(record, _remedy_text(record, folder), run_word(folder))
            self._judged = record
        self._seen(judgement)
        self.is_over = True

    def _seen(self, judgement: Judgement) -> None:
        self._judgement, self._trouble, self._seen_s = judgement, "", time.monotonic()

    def _not_seen(self, trouble: str) -> None:
        """It may be busy, or just ending; after a while what was seen last says nothing of the run any more."""
        self._trouble = trouble
        if time.monotonic() - self._seen_s > _SAYS_NOTHING_AFTER_S:
            self._judgement = None

    def _open(self) -> None:
        facts, record = reached(self._folder), self._folder.read_record()
        self._record = record
        if facts is not None and facts.segment and record.get("stream"):
            self.begin(RingSource(facts, stream_from(record["stream"])))

    def _limits(self, channel: str) -> Mapping[str, Any]:
        limits = ((self._record.get("topology") or {}).get("limits") or {}).get(channel) or {}
        return {f"limit_{side}": limits[side] for side in ("low", "high") if isinstance(limits.get(side), int | float)}

    def _forget_control(self) -> None:
        control, self._control = self._control, None
        if control is not None:
            control.close()


class WatchedEndpoint(Watched):
    """A run that another machine serves; how it is, is known there alone."""

    def __init__(self, endpoint: str, server_key: Path | None, *, insecure: bool) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._server_key, self._insecure = server_key, insecure
        self._joining: EndpointSource | None = None
        self._trouble = ""

    def look(self) -> None:
        """Join it once it is there."""
        if self.source is not None:
            self.is_over = self.source.has_ended
            return
        try:
            if self._joining is None:
                self._joining = EndpointSource(self._endpoint, self._server_key, insecure=self._insecure)
            if self._joining.join():
                source, self._joining = self._joining, None
                self.begin(source)
            self._trouble = ""
        except DtopipeError as error:
            self._trouble = error.headline
            self._leave()

    def state(self) -> dict[str, Any]:
        """What has come from there."""
        judgement = judgement_of_link(
            is_there=self.source is not None,
            has_ended=self.is_over,
            samples=self.end_sample_index,
            dropped=sum(stop - start for start, stop in self.passed_over),
        )
        return {
            "type": "state",
            "name": self._endpoint,
            "folder": "",
            "is_over": self.is_over,
            "trouble": self._trouble,
            "judgement": judgement.facts(),
            "status": {},
            "events": [],
            "gaps": [],
            "marks": [],
            "passed_over": list(self.passed_over),
        }

    def rest(self) -> None:
        """Leave that machine too where it was not there yet."""
        super().rest()
        self._leave()

    def _leave(self) -> None:
        joining, self._joining = self._joining, None
        if joining is not None:
            joining.close()


def _remedy_text(record: Mapping[str, Any], folder: Path) -> str:
    """What to do about the run; empty also where what it is reckoned from cannot be read."""
    with contextlib.suppress(DtopipeError, OSError):
        remedy = remedy_of(record, folder)
        return "" if remedy is None else remedy.text
    return ""


def as_page_sees(values: Sequence[float | None]) -> dict[str, Any]:
    """The newest value of each channel, null where there is none."""
    return {"type": "values", "values": list(values)}
