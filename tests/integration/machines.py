"""Machines on one loopback: each with topologies, runs and keys of its own, and a cable between them."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from free_ports import free_port
from laboratory import Lab, counter_topology
from ready_commands import Commands

from dtopipe.transport.curve import new_key_pair
from dtopipe.transport.key_folder import KeyFolder, read_public_file


class Machine(Lab):
    """A folder with topologies, runs, and keys of its own."""

    def __init__(self, folder: Path, name: str, commands: Commands) -> None:
        folder.mkdir()
        super().__init__(folder, commands)
        self.keys = KeyFolder(folder / "keys")
        self.keys.write_own(new_key_pair(name))
        self.public_file = self.keys.public_path(name)

    @property
    def settings(self) -> dict[str, str]:
        return {"DTOPIPE_KEYS_DIR": str(self.keys.path)}

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.run_folder / "events.jsonl").read_text().splitlines()]


@pytest.fixture
def daq(tmp_path: Path, ready_commands: Commands) -> Iterator[Machine]:
    machine = Machine(tmp_path / "daq", "daq-pc", ready_commands)
    yield machine
    machine.close()


@pytest.fixture
def office(tmp_path: Path, daq: Machine, ready_commands: Commands) -> Iterator[Machine]:
    machine = Machine(tmp_path / "office", "office", ready_commands)
    daq.keys.authorize(read_public_file(machine.public_file), "2026-11-25T00:00:00Z")
    yield machine
    machine.close()


@pytest.fixture
def port() -> int:
    return free_port()


def served(port: int, **board: Any) -> dict[str, Any]:
    topology = counter_topology(**board)
    topology["listen"] = {"endpoint": f"tcp://127.0.0.1:{port}"}
    topology["sinks"] = {
        "archive": {"type": "hbuf", "path": "archive.dt-raw", "flush_interval": "100ms"},
        "table": {"type": "csv", "path": "table.csv"},
    }
    return topology


def following(port: int, daq: Machine) -> dict[str, Any]:
    return {
        "name": "office",
        "board": {"type": "remote", "endpoint": f"tcp://127.0.0.1:{port}", "server_key": str(daq.public_file)},
        "sinks": {
            "copy": {"type": "hbuf", "path": "copy.dt-raw"},
            "table": {"type": "csv", "path": "table.csv"},
            "base": {"type": "sqlite", "path": "base.db"},
        },
    }


def board_gaps(machine: Machine) -> list[dict[str, Any]]:
    return gaps_of(machine, None)


def gaps_of(machine: Machine, sink: str | None) -> list[dict[str, Any]]:
    """What `gaps.jsonl` says of a sink, of a remote, or of the board."""
    lines = [json.loads(line) for line in (machine.run_folder / "gaps.jsonl").read_text().splitlines()]
    return [line for line in lines if line["sink"] == sink]


class Cable:
    """A TCP relay that can be cut, or fall silent as a firewall does that drops without a word."""

    def __init__(self, target_port: int, holds_after: int | None = None) -> None:
        """`holds_after`: so many bytes come through from the target, then it falls silent."""
        self._target = target_port
        self._room = holds_after
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lets_pass = threading.Event()
        self._lets_pass.set()
        self._is_out = self._is_closed = False
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def cut(self) -> None:
        """Every connection breaks, and none is made."""
        self._is_out = True
        for pair in self._pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._is_out = False

    def hold(self) -> None:
        """Nothing comes through, and nobody is told."""
        self._lets_pass.clear()

    def release(self) -> None:
        self._lets_pass.set()

    def close(self) -> None:
        self._is_closed = True
        self.release()
        self.cut()
        # Accepting does not end by itself when the socket is closed.
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._is_closed:
            near, _ = self._listener.accept()
            try:
                if self._is_out:
                    raise ConnectionRefusedError
                far = socket.create_connection(("127.0.0.1", self._target), 5)
            except OSError:
                near.close()
                continue
            self._pairs.append((near, far))
            self._start(self._pump, near, far)
            self._start(self._pump_back, far, near)

    def _pump_back(self, source: socket.socket, sink: socket.socket) -> None:
        while self._room:
            data = b""
            with contextlib.suppress(OSError):
                data = source.recv(self._room)
                sink.sendall(data)
            if not data:
                break
            self._room -= len(data)
        if self._room == 0:
            self.hold()
        self._pump(source, sink)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._lets_pass.wait()
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()


@pytest.fixture
def cable(port: int) -> Iterator[Cable]:
    relay = Cable(port)
    yield relay
    relay.close()
