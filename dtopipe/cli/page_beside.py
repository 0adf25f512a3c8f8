"""The page that `up --web` starts beside its run: a process of its own, which the run neither waits for nor misses."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from typing import Any

from dtopipe.cli.web import TOKEN_VARIABLE, ensure_web, token_for
from dtopipe.host.http_address import Address, address_of, listening_socket
from dtopipe.host.own_python import own_command, own_environment
from dtopipe.model.errors import UsageError

# One that ends by itself is started again a few times, and then let go of.
_MOST_STARTS = 4
_AGAIN_AFTER_S = 2.0


class PageBeside:
    """Told of each turn of the run, it sees to the page. Nothing that becomes of the page reaches the run."""

    def __init__(self, listen: str) -> None:
        """Raises UsageError where nothing could be served there: before a run is started, not in its middle."""
        ensure_web()
        self._address: Address = address_of(listen)
        if not self._address.port:
            raise UsageError("the page needs a port", "such as --web 8480")
        listening_socket(self._address).close()
        self._token = token_for(self._address)
        # Nobody else who is started by this process needs it.
        os.environ.pop(TOKEN_VARIABLE, None)
        self.url = self._address.url(self._token)
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = ""
        self._starts, self._started_s = 0, 0.0
        self._is_let_go = False

    @property
    def environment(self) -> dict[str, str]:
        """What a command gets in its environment whose page is to have the same URL."""
        return {TOKEN_VARIABLE: self._token} if self._token else {}

    def see(self, status: Mapping[str, Any]) -> None:
        """One turn of the run whose status that is. Never raises, and waits for nothing."""
        folder = str(status["folder"])
        if folder != self._folder:
            # The next one of followed runs.
            self._end()
            self._folder, self._starts, self._is_let_go = folder, 0, False
        if self._is_let_go or status["phase"] == "finished" or (self._process and self._process.poll() is None):
            return
        if self._starts and time.monotonic() - self._started_s < _AGAIN_AFTER_S:
            return
        self._is_let_go = self._starts >= _MOST_STARTS
        if not self._is_let_go:
            self._start()

    def last_words(self) -> str:
        """What there is to say once the run is over; empty where the page did as it should."""
        if not self._is_let_go:
            return ""
        return f"the page ended {self._starts} times, and was let go of; see why with: dtopipe web {self._folder}"

    def _start(self) -> None:
        address = self._address
        host = f"[{address.host}]" if ":" in address.host else address.host
        command = own_command("dtopipe", "web", self._folder, "--listen", f"{host}:{address.port}")
        self._starts, self._started_s = self._starts + 1, time.monotonic()
        try:
            self._process = subprocess.Popen(
                [*command, "--beside"],
                env=own_environment(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # Ctrl-C is for the run; the page shows how it ends.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        except OSError:
            self._process = None

    def _end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
