"""What to type about a run that is not good, by its record; nothing is taken out of a verdict's text."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dtopipe.core.lifecycle import lacks
from dtopipe.core.remedy import Repair, repair_from
from dtopipe.host.run_folder import RunFolder
from dtopipe.model.policy import Policy

_RUNS = Path("runs")


@dataclass(frozen=True, slots=True)
class Remedy:
    """`command`: to be typed as it stands; None where there is none that helps. `text`: what people are told."""

    command: str | None
    text: str


def remedy_of(record: Mapping[str, Any], folder: Path) -> Remedy | None:
    """What to do about this run, whose folder that is; None for one that is good or goes on."""
    verdict = record.get("verdict") or {}
    repair = repair_from(verdict.get("repair"))
    if repair is Repair.NEEDLESS:
        return None
    if repair is Repair.NEVER_CAME:
        return Remedy(None, "the board lost it: no repair can bring it back")
    words = ["dtopipe", "repair", run_word(folder), *_outside_words(record, folder)]
    if repair is Repair.NOT_HERE:
        command = _typed([*words, "--from"])
        return Remedy(None, f"no other output of this run has what is absent; if there is a copy: {command} RUN_DIR")
    words += [word for name in _to_name(record) for word in ("--sink", name)]
    if repair is Repair.HELPS:
        command = _typed(words)
        return Remedy(command, f"complete it with: {command}")
    source = _source_words(record)
    if source is None:
        command = _typed([*words, "--from"])
        return Remedy(None, f"complete it from a copy of the other machine's run folder: {command} RUN_DIR")
    command = _typed([*words, *source])
    return Remedy(command, f"complete it with: {command}\n  if that run is over, first type there: dtopipe serve RUN")


def remedy_facts(record: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The remedy for JSON: `remedy`, the command or null, and `remedy_text`; empty for a run that needs none."""
    remedy = remedy_of(record, folder)
    return {} if remedy is None else {"remedy": remedy.command, "remedy_text": remedy.text}


def command_for(name: str, record: Mapping[str, Any], folder: Path) -> str:
    """A command of ours for the run in that folder, as it is to be typed."""
    return _typed(["dtopipe", name, str(folder), *_outside_words(record, folder)])


def _outside_words(record: Mapping[str, Any], folder: Path) -> list[str]:
    """What a command has to be told where outputs lie elsewhere."""
    # Only of a run that is not good, and it takes a while to import.
    from dtopipe.verify.outside import needs_outside

    return ["--outside"] if needs_outside(RunFolder(folder), record) else []


def run_word(folder: Path) -> str:
    """How a command names this run from here: NAME/START for one that is kept in `runs`, else its folder."""
    folder = folder.absolute()
    return "/".join(folder.parts[-2:]) if folder.parent.parent == _RUNS.absolute() else str(folder)


def _to_name(record: Mapping[str, Any]) -> list[str]:
    """The outputs that a repair must be told by name: all that need it, if one of them is a DROP output."""
    sinks = record["sinks"]
    failed = [name for name, sink in sinks.items() if sink.get("failure")]
    if all(sinks[name]["policy"] == Policy.BLOCK for name in failed):
        return []
    return [name for name, sink in sinks.items() if name in failed or (sink["policy"] == Policy.BLOCK and lacks(sink))]


def _source_words(record: Mapping[str, Any]) -> list[str] | None:
    """Where a repair finds the machine that was followed; None where nothing can be fetched from there."""
    endpoint = (record.get("source") or {}).get("endpoint")
    if not isinstance(endpoint, str) or not endpoint.startswith("tcp://") or (record.get("stream") or {}).get("polled"):
        return None
    # The keys are those that the run had.
    return ["--from", endpoint]


def _typed(words: list[str]) -> str:
    """As it is typed; what a terminal would not show as it is, is shown as it is written in Python."""
    return " ".join(shlex.quote(word if word.isprintable() else ascii(word)) for word in words)
