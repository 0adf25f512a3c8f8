"""The gateway process of a run: serves it to other machines, and never holds anything of it."""

from __future__ import annotations

import sys
from pathlib import Path

from dtopipe.gateway.gateway import Gateway, Limits
from dtopipe.gateway.live import LiveRun
from dtopipe.model.errors import BoardError, DtopipeError
from dtopipe.shm.ring import Ring
from dtopipe.transport.key_folder import KeyFolder, keys_dir
from dtopipe.wire.control import Message
from dtopipe.wire.describe import stream_from
from dtopipe.workers.process import Worker, run_worker


def _listen(worker: Worker, gateway: Gateway) -> None:
    """What the supervisor says: the run that there is to serve, what it keeps for whom, and that it has ended."""
    while (message := worker.control.receive()) is not None:
        if message.kind == "begin":
            journal = message.body.get("journal")
            gateway.source = LiveRun(
                stream_from(message.get("stream", dict)),
                Ring.attach(message.get("segment", str)),
                None if journal is None else Path(journal),
                retires=message.get("retires", bool),
            )
        elif message.kind == "held":
            gateway.hold(message.get("remote", str), message.get("at", int))
        elif message.kind == "ended" and gateway.source is not None:
            gateway.source.end = message.get("end", int)


def _made(worker: Worker) -> Gateway:
    orders = worker.orders
    keep_for_s = orders.body.get("keep_for_s")
    limits = Limits(
        drain_ns=round(orders.get("drain_limit_s", float) * 1e9),
        keep_ns=None if keep_for_s is None else round(keep_for_s * 1e9),
    )
    keys = None if orders.get("insecure", bool) else KeyFolder(keys_dir())
    expected = [str(remote_id) for remote_id in orders.get("expected", list)]
    try:
        return Gateway(orders.get("endpoint", str), keys, limits, worker.control.send, expected)
    except DtopipeError as error:
        message, _, remedy = str(error).partition("\n")
        raise BoardError(
            "gateway", message, remedy.strip() or "is another run listening there? choose another port in listen:"
        ) from error


def main(worker: Worker) -> None:
    """Listen at once, so that a port that is taken is told before the run begins; serve; close."""
    gateway = _made(worker)
    worker.control.send(Message("serving", {"endpoint": gateway.endpoint}))
    try:
        # Left alone, nobody can say whether the run is whole: it is over for its remotes.
        while not (gateway.has_done() or worker.orphaned.is_set()):
            gateway.turn()
            _listen(worker, gateway)
    finally:
        gateway.close()


if __name__ == "__main__":
    sys.exit(run_worker(main))
