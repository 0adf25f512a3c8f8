"""The runs of every device on NATS servers, as the list of runs has them."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Any

from dtopipe.broker.address import Address
from dtopipe.broker.errors import BrokerError
from dtopipe.broker.listing import SILENT_S, PublishedRun, published_runs

# However many pages ask: the servers have other things to do, and each older run takes some thirty requests.
_LOOKS_EVERY_S = 4.0
_MOST_OF_A_DEVICE = 5


class Published:
    """What the servers have, asked for when somebody looks. For any thread."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._rows: list[dict[str, Any]] = []
        self._looked_s = 0.0

    def rows(self) -> list[dict[str, Any]]:
        """One of each run; one that says why, where the servers do not answer."""
        with self._lock:
            if not self._looked_s or time.monotonic() - self._looked_s > _LOOKS_EVERY_S:
                now = datetime.now(UTC)
                try:
                    self._rows = [_row(found, now) for found in published_runs(self._address, _MOST_OF_A_DEVICE)]
                except BrokerError as error:
                    self._rows = [_blank(self._address.target()) | {"state": "unreadable", "text": error.message}]
                self._looked_s = time.monotonic()
            return self._rows


def _row(found: PublishedRun, now: datetime) -> dict[str, Any]:
    document = found.document(now)
    stream = None if found.description is None else found.description.stream
    is_silent = document["in_progress"] and document["silent_s"] >= SILENT_S
    return _blank(f"{found.run_name}/{found.device}") | {
        "run_id": found.run_id,
        "started_at": document["started_at"],
        "samples": document["samples"],
        "length_s": document["length_s"],
        "channels": [] if stream is None else [channel.name for channel in stream.channels],
        "state": "silent" if is_silent else "in progress" if document["in_progress"] else "ended",
        "text": f"nothing for {document['silent_s']:.0f} s" if is_silent else "",
        "in_progress": document["in_progress"] and not is_silent,
        "metadata": document["metadata"],
    }


def _blank(name: str) -> dict[str, Any]:
    """`elsewhere`: there is no page of it here."""
    return {"run": name, "started_at": None, "samples": 0, "length_s": None, "state": "", "text": "",
            "in_progress": False, "metadata": {}, "elsewhere": True}  # fmt: skip
