"""What is served of a run that does not answer any more, and where."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import pytest

pytest.importorskip("prometheus_client")

from dtopipe.host.http_address import Address, listening_socket
from dtopipe.metrics.server import MetricsServer
from dtopipe.model.errors import DtopipeError


def test_what_was_seen_before_is_not_served_once_the_run_does_not_answer() -> None:
    status = {
        "name": "lab", "run_id": "run-1", "simulated": True, "phase": "running",
        "elapsed_s": 1.0, "headroom_s": 4.0, "sinks": {}, "disks": [],
        "malformed": 0, "marks": {"count": 0, "newest": []}, "subscribers": [],
        "board": {
            "type": "simulated", "channels": 1,
            "state": "running", "condition": "running", "samples": 500, "overrun_samples": 0, "rate_hz": 1e3,
            "rate_nominal_hz": 1e3, "samples_per_block": 100, "end_sample_index": 500, "blocks": 5, "restarts": 0,
            "pid": None,
        },
    }  # fmt: skip
    answers: list[Any] = [status, DtopipeError("it is gone"), status]

    def ask() -> Mapping[str, Any] | None:
        answer = answers.pop(0)
        if isinstance(answer, DtopipeError):
            raise answer
        return answer  # type: ignore[no-any-return]

    with listening_socket(Address("127.0.0.1", 0)) as listening:
        server = MetricsServer(ask, listening)
        seen = []
        for _ in range(3):
            server._look()
            seen.append(server.answer("/metrics"))
    assert [each[0] for each in seen] == [HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.OK]
    assert b"dtopipe_samples_total" in seen[0][2]
    assert b"the run does not answer: it is gone" in seen[1][2]
