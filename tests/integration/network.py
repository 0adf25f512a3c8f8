"""A network of real hosts: each in a network namespace of its own, joined by a switch in yet another one.

Nothing is in the machine's own network. A host reaches the others by their names, `tcp://daq-pc:5700`, and by addresses
of both families; `NAME-6` has only the IPv6 one. Links are cut as links are: nobody is told, packets vanish.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import psutil
import pytest
from laboratory import PATIENCE_S, Ended, RunningUp
from leftovers import SHORT
from machines import Machine
from ready_commands import Command, StartedCommands
from system import kill

from dtopipe.transport.key_folder import read_public_file

# `down`: the switch's port loses its carrier, which the host sees at its own. `loss`: the port is no longer in the
# switch, and every packet is lost, which nobody sees: as by `netem loss 100%`, which not every kernel has.
Way = Literal["down", "loss"]

_NAMES = re.compile(r"dtp(\d+)n\d+-")
_PER_HOST_FILES = Path("/etc/netns")
_KEYS_SINCE = "2026-11-25T00:00:00Z"
_numbers = itertools.count()


class NoNamespaces(Exception):
    """They cannot be made here."""


class HostRun(RunningUp):
    """A command in progress on a host."""

    def __init__(self, process: Command, host: Host) -> None:
        super().__init__(process, host)
        self._host = host
        self._older = set(host.run_folders())

    @property
    def folder(self) -> Path:
        """The folder that was made since this command began, and not that of a run before it."""
        while self._folder is None:
            self._folder = next((path for path in self._host.run_folders() if path not in self._older), None)
            if self._folder is None and self.process.poll() is not None:
                raise AssertionError(f"no run has begun: {self.process.communicate()[1]}")
            time.sleep(0.005)
        return self._folder

    def status(self) -> dict[str, Any] | None:
        with self._host.at_home():
            return super().status()

    def finish(self, timeout_s: float = PATIENCE_S) -> Ended:
        stdout, stderr = self.process.communicate(timeout=timeout_s)
        return Ended(self.process.wait(), stdout, stderr)


class Host(Machine):
    """A machine with addresses, keys and a runtime folder of its own; its commands run in its namespace."""

    def __init__(self, folder: Path, name: str, namespace: str, number: int) -> None:
        # `ip` becomes the command that it is given: signals reach dtopipe itself.
        super().__init__(folder, name, StartedCommands("ip", "netns", "exec", namespace))
        self.name, self.namespace, self.number = name, namespace, number
        self.ipv4, self.ipv6 = f"10.99.0.{number}", f"fd99::{number}"
        # Short, for sockets.
        self.runtime = Path(tempfile.mkdtemp(prefix="dtp-", dir=SHORT))

    @property
    def settings(self) -> dict[str, str]:
        return {**super().settings, "DTOPIPE_RUNTIME_DIR": str(self.runtime)}

    @contextlib.contextmanager
    def at_home(self) -> Iterator[None]:
        """What this process does meanwhile, it does with the host's folders."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.settings.items():
                patch.setenv(name, value)
            yield

    def start(self, topology: dict[str, Any], *arguments: str) -> HostRun:
        return self.run("up", str(self.write(topology)), "--json", *arguments)

    def run(self, *words: str) -> HostRun:
        running = HostRun(self._begun(words), self)
        self._running.append(running)
        return running

    def dtopipe(self, *arguments: str) -> Ended:
        if arguments[0] in ("runs", "status", "verify"):
            with self.at_home():
                return super().dtopipe(*arguments)
        return self.run(*arguments).finish()

    def processes(self) -> list[psutil.Process]:
        with self.at_home():
            return super().processes()

    def wait_for_the_end_of_all(self) -> None:
        with self.at_home():
            super().wait_for_the_end_of_all()

    def kill_all(self) -> None:
        """Every process of the host, at once."""
        _kill_all(self.namespace)
        self.wait_for(lambda: not _pids(self.namespace), "end of the host's processes")
        for running in self._running:
            running.process.wait(PATIENCE_S)

    def close(self) -> None:
        """End what runs. Raises AssertionError if something of it stays."""
        self.kill_all()
        with self.at_home():
            super().close()
        left = [path.name for path in self.runtime.iterdir() if not path.match("*.lock")]
        shutil.rmtree(self.runtime, ignore_errors=True)
        assert not left, f"{self.name} has left runtime entries behind: {left}"


class Network:
    """Hosts and a switch, from the first `host()` to `close()`. Raises NoNamespaces where none can be made."""

    def __init__(self, folder: Path) -> None:
        """`folder`: of the hosts' folders."""
        self._folder = folder
        self._prefix = f"dtp{os.getpid()}n{next(_numbers)}-"
        self._switch = f"{self._prefix}switch"
        self._cut: dict[str, Way] = {}
        self.hosts: dict[str, Host] = {}
        if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
            raise NoNamespaces("only root on Linux, with iproute2, can make network namespaces")
        _clear_away_what_the_dead_left()
        try:
            _ip("netns", "add", self._switch)
            # Neighbours are asked for by multicast, which a switch that snoops may hold back at first.
            self._at_switch("link", "add", "bridge", "type", "bridge", "mcast_snooping", "0", "stp_state", "0")
            self._at_switch("link", "set", "bridge", "up")
            # Both ends of a link must be possible as well.
            self._plug("probe", 1)
            self._unplug("probe", 1)
        except (subprocess.CalledProcessError, OSError) as error:
            self.close()
            raise NoNamespaces(f"network namespaces cannot be made here: {error}") from error

    def host(self, name: str) -> Host:
        """A new one, which every other knows by its name, and whose key every other has authorized."""
        number = len(self.hosts) + 1
        host = self.hosts[name] = Host(self._folder / name, name, f"{self._prefix}{name}", number)
        for one, other in itertools.permutations(self.hosts.values(), 2):
            if host in (one, other):
                one.keys.authorize(read_public_file(other.public_file), _KEYS_SINCE)
        # Commands that run already have the old file; they were not told of the new host.
        self._plug(name, number)
        self._write_names()
        return host

    def cut(self, host: Host, way: Way = "loss") -> None:
        """Nothing goes to this host or comes from it."""
        self._cut[host.name] = way
        change = ("down",) if way == "down" else ("nomaster",)
        self._at_switch("link", "set", f"port{host.number}", *change)

    def mend(self, host: Host) -> None:
        """Everything goes again; harmless where nothing is cut."""
        way = self._cut.pop(host.name, None)
        if way is not None:
            change = ("up",) if way == "down" else ("master", "bridge")
            self._at_switch("link", "set", f"port{host.number}", *change)

    def power_off(self, host: Host) -> None:
        """As if its plug were drawn: no process goes on, and no word of farewell, of its kernel neither, comes out."""
        self.cut(host)
        host.kill_all()
        self._unplug(host.name, host.number)

    def power_on(self, host: Host) -> None:
        """With the addresses, folders and keys that it had, and no memory of any connection."""
        self._cut.pop(host.name, None)
        self._plug(host.name, host.number)

    def close(self) -> None:
        """End everything that runs on the hosts, then take them away. Raises AssertionError for what they leave."""
        with contextlib.ExitStack() as stack:
            for namespace in (self._switch, *(host.namespace for host in self.hosts.values()), f"{self._prefix}probe"):
                stack.callback(_take_away, namespace)
            for host in self.hosts.values():
                stack.callback(host.close)

    def _plug(self, name: str, number: int) -> None:
        namespace, port = f"{self._prefix}{name}", f"port{number}"
        _ip("netns", "add", namespace)
        self._at_switch("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        self._at_switch("link", "set", port, "master", "bridge", "up")
        for link in ("lo", "eth0"):
            _ip("-n", namespace, "link", "set", link, "up")
        _ip("-n", namespace, "addr", "add", f"10.99.0.{number}/24", "dev", "eth0")
        # Nobody else can have it: without this it would not be usable for the first second or two.
        _ip("-n", namespace, "addr", "add", f"fd99::{number}/64", "dev", "eth0", "nodad")

    def _unplug(self, name: str, number: int) -> None:
        # Both ends go, at once: a namespace is cleared away when the kernel finds the time.
        self._at_switch("link", "del", f"port{number}")
        _ip("netns", "del", f"{self._prefix}{name}")

    def _write_names(self) -> None:
        """`ip netns exec` puts these files in the place of /etc/hosts."""
        lines = ["127.0.0.1 localhost", "::1 localhost"]
        for host in self.hosts.values():
            lines += [f"{host.ipv4} {host.name}", f"{host.ipv6} {host.name} {host.name}-6"]
        for host in self.hosts.values():
            own = _PER_HOST_FILES / host.namespace
            own.mkdir(parents=True, exist_ok=True)
            (own / "hosts").write_text("\n".join(lines) + "\n")

    def _at_switch(self, *words: str) -> str:
        return _ip("-n", self._switch, *words)


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, ["ip", *words], stderr=done.stderr)
    return done.stdout


def _pids(namespace: str) -> list[int]:
    """None where there is no such namespace."""
    with contextlib.suppress(subprocess.CalledProcessError):
        return [int(pid) for pid in _ip("netns", "pids", namespace).split()]
    return []


def _kill_all(namespace: str) -> None:
    for pid in _pids(namespace):
        with contextlib.suppress(psutil.NoSuchProcess):
            kill(pid)


def _take_away(namespace: str) -> None:
    """With what runs in it; harmless where there is none."""
    _kill_all(namespace)
    with contextlib.suppress(subprocess.CalledProcessError):
        _ip("netns", "del", namespace)
    shutil.rmtree(_PER_HOST_FILES / namespace, ignore_errors=True)
    with contextlib.suppress(OSError):
        _PER_HOST_FILES.rmdir()


def _clear_away_what_the_dead_left() -> None:
    """Networks whose process was killed before it could take them away."""
    names = {line.split()[0] for line in _ip("netns", "list").splitlines() if line}
    names |= {path.name for path in _PER_HOST_FILES.glob("*")}
    for name in names:
        owner = _NAMES.match(name)
        if owner and not psutil.pid_exists(int(owner[1])):
            _take_away(name)


@pytest.fixture(name="network")
def network_of_hosts(tmp_path: Path) -> Iterator[Network]:
    """An empty network, taken away in the end; skips where there can be none."""
    try:
        network = Network(tmp_path)
    except NoNamespaces as reason:
        pytest.skip(str(reason))
    try:
        yield network
    finally:
        network.close()
