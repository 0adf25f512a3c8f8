"""The table that `up` shows while a run goes on, drawn from a status snapshot."""

from __future__ import annotations

import shlex
from typing import Any

from rich.console import Group
from rich.text import Text

from dtopipe.cli.limit_lines import limit_lines
from dtopipe.cli.whole_table import Keeps, WholeTable
from dtopipe.cli.why_words import limit_sentence
from dtopipe.core.lifecycle import SinkState, condition_of, lacks
from dtopipe.core.limiting import ACQUIRER
from dtopipe.model.shown import shown, shown_lines

_GOOD, _BUSY, _BAD = "green", "yellow", "red"
_COLOURS = {
    "running": _GOOD, "done": _GOOD, "ready": _GOOD, "restarting": _BUSY, "gave_up": _BAD, "cut_off": _BAD,
    "interrupted": _BAD, "hung": _BAD, "waiting": _BUSY,
}  # fmt: skip


def status_table(status: dict[str, Any]) -> Group:
    """A headline, one row for the board and one a sink, and what must be seen at once: reasons in full, below."""
    table = WholeTable()
    for title in ("", "state"):
        table.add_column(title, keeps=Keeps.WORDS)
    table.add_numbers("rate", "lag", "dropped", "committed")
    for title in ("restarts", "cores", "memory"):
        table.add_column(title, justify="right", is_spare=True)
    board = status["board"]
    table.add_row(
        Text(shown(f"board {board['device'] or board['type']}")),
        _board_state(board),
        _rate(board["rate_hz"]),
        "",
        _count(board["overrun_samples"], "overrun"),
        f"{board['end_sample_index']:,}",
        *_taken(status, ACQUIRER, board),
    )
    for name, sink in status["sinks"].items():
        # One line a process, also in a narrow terminal: by its short name a policy is known too.
        policy = "drop" if sink["policy"] == "drop_oldest" else sink["policy"]
        kind = sink["type"] if policy == "block" else f"{sink['type']}, {policy}"
        table.add_row(
            Text(shown(f"{name} ({kind})")),
            _sink_state(sink),
            _rate(sink["rate_hz"]),
            f"{sink['lag_s']:.1f} s",
            _count(lacks(sink), "gap" if lacks(sink) > sink["dropped"] else ""),
            f"{sink['committed']:,}",
            *_taken(status, name, sink),
        )
    of_sinks = {name: _trouble(name, sink, status) for name, sink in status["sinks"].items()}
    troubles = {"board": board.get("why", ""), **of_sinks}
    reasons = [Text(shown_lines(f"{name}: {trouble}"), style=_BAD) for name, trouble in troubles.items() if trouble]
    lines = [
        *reasons,
        *_limited(status),
        *limit_lines(status),
        *_remarked(status),
        *_followed(status),
        *_served(status),
        *_kept(status),
        *_triggered(status),
        *_marked(status),
        *disk_lines(status),
    ]
    return Group(headline(status), table, *lines, _foot(status))


def _taken(status: dict[str, Any], name: str, facts: dict[str, Any]) -> tuple[str, str, str]:
    """Restarts, cores and memory of one process."""
    process = (status.get("limiting") or {}).get("processes", {}).get(name, {})
    if "cpu" not in process:
        return f"{facts.get('restarts', 0)}", "", ""
    return f"{facts.get('restarts', 0)}", f"{process['cpu']:.2f}", f"{process['memory_bytes'] / 2**20:.0f} MiB"


def _limited(status: dict[str, Any]) -> list[Text]:
    """The line that says who limits the run, while somebody does."""
    sentence = limit_sentence(status)
    return [Text(shown(sentence), style=_BUSY)] if sentence else []


def _trouble(name: str, sink: dict[str, Any], status: dict[str, Any]) -> str:
    """What is wrong with a sink, what becomes of it, and what to type where nothing does; empty if nothing is."""
    why: str = sink.get("failure", "")
    state = condition_of(sink)
    if why and state == SinkState.RESTARTING:
        return f"{why}; it is started again (restart {sink['restarts'] + 1})"
    if why and state == SinkState.GAVE_UP and status["phase"] == "running":
        return f"{why}; mend it, then type: dtopipe restart {shlex.quote(name)} {shlex.quote(status['name'])}"
    return why


def headline(status: dict[str, Any]) -> Text:
    """Name, phase, board time, and that a simulated board is one."""
    board = status["board"]
    board_s = board["end_sample_index"] / board["rate_nominal_hz"] if board["rate_nominal_hz"] else 0.0
    of = f" of {status['duration_s']:g} s" if status.get("duration_s") else ""
    text = Text.assemble((shown(status["name"]), "bold"), f"  {status['phase']}  {board_s:.1f} s{of}")
    if hint := drain_hint(status):
        text.append(f"  {hint}", style=_BUSY)
    if status["simulated"]:
        text.append("  SIMULATED BOARD", style="bold magenta")
    if status.get("insecure"):
        text.append("  INSECURE LINK", style="bold red")
    return text


def drain_hint(status: dict[str, Any]) -> str:
    """While a run is ending: what asking again would do; empty before and behind."""
    if status["phase"] != "draining":
        return ""
    if status.get("hurried"):
        return "hurried: sinks have 2 s to write what they hold"
    by_ctrl_c = status.get("ended_by", {}).get("by") == "ctrl_c"
    return f"{'Ctrl-C again' if by_ctrl_c else 'Ctrl-C, or stop --now,'} ends it without waiting for slow sinks"


def disk_lines(status: dict[str, Any]) -> list[Text]:
    """A line for each disk that will be full soon, and for the end that one has brought."""
    lines = [
        Text(shown(f"disk {disk['folder']} {disk['warning']}"), style=_BAD)
        for disk in status.get("disks", ())
        if disk["warning"]
    ]
    if why := status.get("ended_early"):
        lines.append(Text(shown(f"ending early: {why}"), style=_BAD))
    return lines


def _remarked(status: dict[str, Any]) -> list[Text]:
    """A line for each thing that the board and the clocks did, which the verdict will tell too."""
    return [Text(shown(text), style=_BUSY) for text in status.get("remarks", ())]


def _followed(status: dict[str, Any]) -> list[Text]:
    """Programs that read along."""
    return [
        Text(
            shown(f"followed by {each['program']} (pid {each['pid']}, {each['policy']})")
            + f", {each['lag_s']:.1f} s behind",
            "dim",
        )
        for each in status.get("subscribers", ())
    ]


def _kept(status: dict[str, Any]) -> list[Text]:
    """The line that says from where a journal that retires segments is there, and what keeps it from retiring more."""
    return [
        Text(f"{name} retained from sample {sink['retained_from']:,}, kept for {', '.join(sink['kept_for'])}", "dim")
        for name, sink in status["sinks"].items()
        if sink.get("kept_for")
    ]


def _triggered(status: dict[str, Any]) -> list[Text]:
    """A line for each sink that waits for its trigger: for what, and how often it came."""
    return [
        Text(shown(f"{name} {_event_words(sink['trigger'])}"), "dim")
        for name, sink in status["sinks"].items()
        if sink.get("trigger")
    ]


def _event_words(trigger: dict[str, Any]) -> str:
    count = trigger["events"]
    events = f"{count:,} event{'' if count == 1 else 's'} so far"
    return f"{'waits for' if trigger['waits'] else 'writes an event:'} {trigger['when']}, {events}"


def _marked(status: dict[str, Any]) -> list[Text]:
    """The line that names the last mark, and how many there are."""
    marks = status.get("marks") or {}
    newest, count = marks.get("newest") or [], marks.get("count", 0)
    if not newest:
        return []
    last = newest[-1]
    more = f", the last of {count:,} marks" if count > 1 else ""
    return [Text(shown(f"marked {last['label']} at sample {last['sample_index']:,}{more}"), "dim")]


def _served(status: dict[str, Any]) -> list[Text]:
    """Where the run is served, and to whom."""
    listen = status.get("listen")
    if not listen:
        return []
    served = [_remote(remote) for remote in listen["remotes"]]
    served += [f"{name} {fate}" for name, fate in listen.get("former", {}).items()]
    text = Text(shown(f"serving {listen['endpoint']}: {'; '.join(served) or 'nobody yet'}"), "dim")
    if listen.get("malformed"):
        text.append(f"  {listen['malformed']:,} malformed requests dropped", style=_BUSY)
    if listen.get("failure"):
        text.append(shown(f"  {listen['failure']}"), style=_BAD)
    return [text]


def _remote(remote: dict[str, Any]) -> str:
    """`office (PC-7/heat-flux at 10.0.0.7) was sent 12,000, has 11,500 on disk`."""
    called = f"{remote['label']} at {remote['address']}" if remote["label"] else remote["address"]
    kept = ", drop" if remote["policy"] == "drop" else f", has {remote['durable']:,} on disk"
    gaps = f", lacks {remote['gaps']:,}" if remote["gaps"] else ""
    away = ", has everything" if remote.get("finished") else ", away" if remote["away"] else ""
    return f"{remote['name'] or remote['id'][:8]} ({called}) was sent {remote['sent']:,}{kept}{gaps}{away}"


def _foot(status: dict[str, Any]) -> Text:
    headroom_s = status.get("headroom_s")
    if headroom_s is None:
        return Text(status["folder"], style="dim")
    colour = _GOOD if headroom_s > 1 else _BAD
    return Text.assemble(("headroom ", "dim"), (f"{headroom_s:.1f} s", colour), (f"   {status['folder']}", "dim"))


def _board_state(board: dict[str, Any]) -> Text:
    """Why it is so stands below the table."""
    condition = board.get("condition", board["state"])
    return Text(shown(condition if board.get("why") else board["state"]), style=_COLOURS.get(condition, ""))


def _sink_state(sink: dict[str, Any]) -> Text:
    state = condition_of(sink)
    waits = state == SinkState.RUNNING and sink.get("trigger", {}).get("waits")
    return Text(shown("waits for its trigger" if waits else sink["state"]), style=_COLOURS.get(state, ""))


def _rate(rate_hz: float) -> str:
    for limit, unit in ((1e6, "MS/s"), (1e3, "kS/s")):
        if rate_hz >= limit:
            return f"{rate_hz / limit:.2f} {unit}"
    return f"{rate_hz:.1f} S/s"


def _count(count: int, what: str) -> Text:
    return Text(f"{count:,} {what}".rstrip(), style=_BAD) if count else Text("0")
