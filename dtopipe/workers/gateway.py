"""The gateway process of a run: serves it to other machines, and never holds anything of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from dtopipe.gateway.gateway import Gateway, Limits
from dtopipe.gateway.live import LiveRun
from dtopipe.host.clock import mono_ns
from dtopipe.host.run_events import newest_event
from dtopipe.intake.newest_values import ValuesOfRing
from dtopipe.model.errors import BoardError, CannotListen, DtopipeError
from dtopipe.shm.ring import Ring
from dtopipe.transport.key_folder import KeyFolder, keys_dir
from dtopipe.wire.commands import AskStatus, StatusSnapshot
from dtopipe.wire.link_messages import RunSeen
from dtopipe.wire.messages import BeginServing, Held, Serving, ToGateway
from dtopipe.wire.orders import GatewayOrders
from dtopipe.wire.vocabulary import Vocabulary
from dtopipe.workers.process import Worker, run_worker

_MOST_BYTES = 2**30
_LOOK_EVERY_NS = 250_000_000
# Beside what a gateway is told, the answer to what it asks as commands do.
_HEARD: Vocabulary[ToGateway | StatusSnapshot] = Vocabulary(ToGateway | StatusSnapshot)
# Of an event; what else it has may name what a status does not.
_TOLD_OF_EVENTS = ("t_utc", "process", "event")


class _Sight:
    """What somebody who only looks is shown of the run; read when it is asked for."""

    def __init__(self, run_folder: Path) -> None:
        self._folder = run_folder
        self._values: ValuesOfRing | None = None

    def begin(self, run: LiveRun) -> None:
        """From now on there are values."""
        # One block is enough to look at, at any rate.
        self._values = ValuesOfRing(run.stream, run.ring, of_last_s=0.0)

    def of(self, answer: StatusSnapshot) -> RunSeen:
        """The run, of which the supervisor says this."""
        event = newest_event(self._folder)
        if event is not None:
            event = {key: str(event[key]) for key in _TOLD_OF_EVENTS if key in event}
        values = None if self._values is None else self._values.newest()
        return RunSeen(_without_words_to_programs(answer.snapshot), values, event)


def _without_words_to_programs(status: Mapping[str, Any]) -> dict[str, Any]:
    """What commands under `on` are given, and what they say, is between them and this machine: tokens may be in it."""
    shown = dict(status)
    if "on" in shown:
        shown["on"] = {
            kind: {**facts, "command": facts["command"][:1], **({"trouble": "see there"} if "trouble" in facts else {})}
            for kind, facts in shown["on"].items()
        }
    return shown


def _listen(worker: Worker[GatewayOrders], gateway: Gateway, sight: _Sight) -> None:
    """What the supervisor says: the run that there is to serve, what it keeps for whom, how it is, and its end."""
    while (message := worker.control.receive(_HEARD)) is not None:
        if isinstance(message, BeginServing):
            run = LiveRun(
                message.stream,
                Ring.attach(message.segment, message.held),
                None if message.journal is None else Path(message.journal),
                retires=message.retires,
            )
            gateway.source = run
            sight.begin(run)
        elif isinstance(message, Held):
            gateway.hold(message.remote, message.at)
        elif isinstance(message, StatusSnapshot):
            gateway.show(sight.of(message))
        elif gateway.source is not None:
            gateway.source.end = message.end


def _ensure_small() -> None:
    """Raises DtopipeError where strangers have filled this process: a new one begins without what waits in it.

    ZeroMQ has no limit for messages that never end, nor for what comes faster than it is dropped; nobody who only asks
    for samples comes near to this one.
    """
    memory = psutil.Process().memory_info()
    # The ring is not ours alone.
    own_bytes = memory.rss - getattr(memory, "shared", 0)
    if own_bytes > _MOST_BYTES:
        raise DtopipeError(
            f"{own_bytes >> 20} MiB of what other machines have sent, or do not take, wait in the gateway"
        )


def _made(worker: Worker[GatewayOrders]) -> Gateway:
    orders = worker.orders
    limits = Limits(
        drain_ns=round(orders.drain_limit_s * 1e9),
        keep_ns=None if orders.keep_for_s is None else round(orders.keep_for_s * 1e9),
    )

    def ask_status() -> None:
        worker.control.send(AskStatus())

    keys = None if orders.insecure else KeyFolder(keys_dir())
    try:
        return Gateway(orders.endpoint, keys, limits, worker.control.send, orders.expected, ask_status)
    except DtopipeError as error:
        remedy = error.remedy
        if not remedy and isinstance(error, CannotListen) and error.is_in_use:
            remedy = "is another run listening there? choose another port in listen:"
        remedy = remedy or "name an address of this machine; 0.0.0.0 is every one, and [::] those of IPv6 too"
        raise BoardError("gateway", error.headline, remedy) from error


def main(worker: Worker[GatewayOrders]) -> None:
    """Listen at once, so that a port that is taken is told before the run begins; serve; close."""
    gateway, sight = _made(worker), _Sight(Path(worker.orders.run_folder))
    worker.control.send(Serving(gateway.endpoint))
    try:
        # Left alone, nobody can say whether the run is whole: it is over for its remotes.
        looked_ns = mono_ns()
        while not (gateway.has_done() or worker.orphaned.is_set()):
            gateway.turn()
            _listen(worker, gateway, sight)
            if mono_ns() - looked_ns > _LOOK_EVERY_NS:
                looked_ns = mono_ns()
                _ensure_small()
    finally:
        gateway.close()


if __name__ == "__main__":
    sys.exit(run_worker(main, GatewayOrders))
