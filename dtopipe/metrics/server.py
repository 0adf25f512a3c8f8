"""Serves `/metrics` and `/healthz` of one run; it asks the run's supervisor, and touches nothing of the run."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import Any

from dtopipe.host.clock import mono_ns
from dtopipe.metrics.exposition import CONTENT_TYPE, exposition
from dtopipe.metrics.health import Health, HealthWatch
from dtopipe.metrics.processes import loads_of
from dtopipe.model.errors import DtopipeError

_LOOK_EVERY_S = 0.5
_CLIENT_PATIENCE_S = 10.0
_PLAIN = "text/plain; charset=utf-8"

# A snapshot of the run; None once it is over. Raises DtopipeError if it does not answer.
Ask = Callable[[], Mapping[str, Any] | None]


class MetricsServer:
    """Looks at the run twice a second, and tells whoever asks what was seen last."""

    def __init__(self, ask: Ask, listening: socket) -> None:
        """`listening`: belongs to the server from now on."""
        self._ask = ask
        self._watch = HealthWatch()
        self._page = b""
        self._health = Health(("it has not been looked at yet",))
        self._is_over = False
        handler = type("Handler", (_Handler,), {"metrics": self})
        self._server = ThreadingHTTPServer(listening.getsockname(), handler, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = listening
        self._server.daemon_threads = True

    def serve(self) -> None:
        """Serve until the run is over. Raises DtopipeError without prometheus_client."""
        self._look()
        thread = threading.Thread(target=self._server.serve_forever, args=(_LOOK_EVERY_S,), daemon=True)
        thread.start()
        pause = threading.Event()
        try:
            while not self._is_over:
                pause.wait(_LOOK_EVERY_S)
                self._look()
        finally:
            self._server.shutdown()
            self._server.server_close()

    def answer(self, path: str) -> tuple[HTTPStatus, str, bytes]:
        """Status, type and body for a path."""
        if path == "/metrics" and not self._page:
            # What was seen last would be taken for how it is.
            return HTTPStatus.SERVICE_UNAVAILABLE, _PLAIN, f"{'; '.join(self._health.why)}\n".encode()
        if path == "/metrics":
            return HTTPStatus.OK, CONTENT_TYPE, self._page
        if path == "/healthz":
            status = HTTPStatus.OK if self._health.is_well else HTTPStatus.SERVICE_UNAVAILABLE
            return status, "application/json", json.dumps(self._health.facts()).encode()
        return HTTPStatus.NOT_FOUND, _PLAIN, b"there is /metrics and /healthz\n"

    def _look(self) -> None:
        try:
            status = self._ask()
        except DtopipeError as error:
            self._health, self._page = Health((f"the run does not answer: {error.headline}",)), b""
            return
        if status is None:
            self._is_over = True
            self._health = Health(("the run is over",))
            return
        health = self._watch.look(status, mono_ns())
        self._page = exposition(status, loads_of(status), is_healthy=health.is_well)
        self._health = health


class _Handler(BaseHTTPRequestHandler):
    metrics: MetricsServer
    timeout = _CLIENT_PATIENCE_S

    def do_GET(self) -> None:
        """One answer."""
        status, kind, body = self.metrics.answer(self.path.partition("?")[0])
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Each scrape is no news."""
