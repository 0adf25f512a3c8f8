"""What a run record must be: the one schema of `run.json`, which may come from anywhere.

It is written by hand, value by value: the models of a topology take longer to import than most commands to run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dtopipe.host.closed import closed
from dtopipe.host.system_errors import patiently
from dtopipe.model.errors import UsageError
from dtopipe.model.facts import Facts, Misfit, parsed
from dtopipe.model.identifiers import RUN_ID_HELP, is_file_name, is_run_id
from dtopipe.model.policy import Layout, Policy
from dtopipe.model.stream_facts import check_stream
from dtopipe.model.verdict_state import VerdictState

# A record of a thousand channels has half a megabyte.
_MOST_BYTES = 64 * 2**20
# As the paths of every system.
_MOST_PATH = 32_767
_MOST_WORD = 200
_MOST_RATE_HZ = 1e9
_COUNTS = ("start", "stop", "committed", "durable", "samples", "gaps", "dropped", "restarts")
# What a record may lack, and what is meant then.
_ABSENT: Mapping[str, Any] = {"stream": None, "verdict": None, "finished_at": None}


def read_run_record(path: Path) -> dict[str, Any]:
    """The run record in this file, every value of the type and in the range that its readers rely on.

    Keys that are not known are passed over. Raises UsageError, with the key that is wrong.
    """
    try:
        with patiently(lambda: path.open("rb")) as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES} bytes")
        record = parsed(data)
        check_run_record(Facts(record))
    except Misfit as error:
        raise UsageError(f"{path}: {error}", "this is not a run record as dtopipe writes it") from error
    except PermissionError as error:
        raise closed(path) from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not a run record: {error}") from error
    return {**_ABSENT, **record}


def check_run_record(record: Facts) -> None:
    """Raises Misfit for the first value that no record has."""
    if not is_run_id(record.text("run_id")):
        raise record.misfit("run_id", f"is no id of a run: {RUN_ID_HELP}")
    if not is_file_name(record.text("name")):
        raise record.misfit("name", "cannot be a folder's name")
    record.time("started_at")
    if record.has("finished_at"):
        record.time("finished_at")
    for name in ("versions", "host", "metadata", "channels"):
        if record.has(name):
            record.part(name).names()
    record.list("disks", default=[])
    for change in record.list("metadata_changes", default=[]):
        Facts(change, "metadata_changes").text("key")
    record.truth("simulated", default=False)
    record.truth("insecure", default=False)
    record.text("ended_early", default="")
    clock = record.part("clock")
    if clock.any("rate_nominal_hz") is not None:
        clock.number("rate_nominal_hz", above=0, most=_MOST_RATE_HZ)
    _check_acquired(record.part("acquired"))
    for name in ("verdict", "first_verdict"):
        if record.has(name):
            verdict = record.part(name)
            verdict.choice("state", [state.value for state in VerdictState])
            verdict.text("text")
    channels = None
    if record.has("stream"):
        check_stream(record.part("stream"))
        stream = record.part("stream")
        known = [*stream.list("channels"), *(stream.list("virtual") if stream.has("virtual") else ())]
        channels = [channel["name"] for channel in known]
    for name, sink in record.part("sinks").parts():
        if not is_file_name(name):
            raise record.misfit("sinks", f"{name!r} cannot be the name of a sink")
        _check_sink(sink)
    types = {name: sink.text("type") for name, sink in record.part("sinks").parts()}
    _check_topology(record.part("topology"), types, channels)


def _check_acquired(acquired: Facts) -> None:
    for name in ("blocks", "samples", "overrun_samples"):
        acquired.count(name)
    first = acquired.count("first_sample_index", default=0)
    acquired.count("end_sample_index", least=first)


def _check_sink(sink: Facts) -> None:
    _check_word(sink, "type")
    sink.choice("policy", [policy.value for policy in Policy])
    sink.text("state", most=_MOST_WORD)
    sink.text("failure", default="")
    if sink.any("path") is not None and not sink.text("path", most=_MOST_PATH):
        raise sink.misfit("path", "is empty")
    if sink.has("target"):
        sink.text("target", most=_MOST_PATH)
    counts = {name: sink.count(name) for name in _COUNTS}
    sink.count("retained_from", default=0)
    sink.count("part_samples", default=0)
    sink.count("rows", default=0)
    for name in ("row_samples", "rows_a_sample"):
        sink.count(name, default=1, least=1)
    for name in ("stop", "committed"):
        if counts[name] < counts["start"]:
            raise sink.misfit(name, "lies before start")
    if counts["samples"] > max(counts["stop"], counts["committed"]) - counts["start"]:
        raise sink.misfit("samples", "are more than there is room for between start and stop")


def _check_topology(topology: Facts, types: Mapping[str, str], channels: Iterable[str] | None) -> None:
    """What is asked of it again once the run has ended; options of sinks are checked by their types' models."""
    if topology.has("name"):
        topology.text("name")
    if topology.any("board", default={}):
        board = topology.part("board")
        board.text("type", default="")
        board.text("endpoint", default="")
        if board.has("server_key"):
            board.text("server_key", most=_MOST_PATH)
    if topology.has("listen"):
        topology.part("listen").text("endpoint", default="")
    if not topology.has("sinks"):
        return
    for name, sink in topology.part("sinks").parts():
        _check_word(sink, "type")
        # A variable stands for whatever it stood for.
        if "${" not in sink.text("type") and sink.text("type") != types.get(name, sink.text("type")):
            raise topology.misfit(f"sinks.{name}.type", "is not that of the output")
        if sink.has("layout") and "${" not in sink.text("layout"):
            sink.choice("layout", [layout.value for layout in Layout])
        for channel in sink.list("channels", default=[]) if sink.has("channels") else ():
            is_known = channels is None or channel in channels
            if not isinstance(channel, str) or not (is_known or "${" in channel):
                raise topology.misfit(f"sinks.{name}.channels", "names a channel that the run does not have")


def _check_word(part: Facts, name: str) -> None:
    """A word for a type, also one that a plug-in brought."""
    if not part.text(name, most=_MOST_WORD).isprintable():
        raise part.misfit(name, "is no word")
