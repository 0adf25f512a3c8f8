"""Millions of spoilt frames against the gateway and the control socket of a real run, which is to go on as before.

    python scripts/dev/fuzz_links.py --frames 3000000
    python scripts/dev/fuzz_links.py --target gateway --frames 200000 --seed 7 --json
    python scripts/dev/fuzz_links.py --target forged --frames 100000

A run on the simulated counter, with a journal and a CSV file, is served to everybody on loopback; a second run follows
it. Then frames of every bad kind are sent by connections that come and go, with garbage on other connections beside
them. All the while and in the end: status answers, samples are committed, the follower gets them, no process is another
one than before, memory and logs stay within bounds; the run ends GOOD, and both files are the counter's.

    gateway   its TCP port, as a stranger on another machine has it
    control   the supervisor's socket, as any program of this user has it; also with names of workers that are in use
    both      two thirds of the frames to the first, one third to the second
    forged    a run of its own, with names of workers that are free: the gateway that it has not, and a sink that was
              detached. Who forges these may spoil what the run says of itself: only that the supervisor goes on, and
              the other sink's file, are looked at.

A sound `stop`, and a sound `attach`, `detach` or `restart` of a sink that there is, are never sent: they are obeyed.
Exit code 1 if anything did not hold; the folder is kept then.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import random
import shutil
import signal
import socket as sockets
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import psutil
import yaml
import zmq

from dtopipe.model.errors import WireError
from dtopipe.wire.plans import sink_from

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tests" / "transport"))
sys.path.insert(0, str(ROOT / "tests" / "integration"))

from free_ports import free_port  # noqa: E402
from mutations import (  # noqa: E402
    COMMANDS,
    CONTROL_QUESTION,
    GATEWAY_QUESTION,
    GREETING,
    REQUESTS,
    WORDS_OF_WORKERS,
    Spoiler,
    packed,
    spoilt_stream,
)

CHANNELS, RATE_HZ, BLOCK = 3, 200, 20
# Messages between two questions; so many connections are asked in turn.
VOLLEY, LINES = 250, 4
# A connection carries so many volleys; so often garbage comes beside them, and the run is looked at.
VOLLEYS_OF_A_LINE, ROUGH_EVERY, LOOK_EVERY_S = 40, 10, 2.0
# An answer, a sample and the end may take a while on a busy machine; silence is a fault.
PATIENCE_S, ASK_AGAIN_S, END_S = 30.0, 3.0, 90.0
WARM_UP_FRAMES = 20_000
MOST_GROWTH_BYTES = 100 * 2**20
# Of events.jsonl, and of each log: what is told again and again is told a bounded number of times.
MOST_LOG_BYTES, MOST_LOG_LINES = 2**20, 3000
# Beyond this it is a fault already, and the disk is spared.
DISK_SPARED_BYTES = 200 * 2**20
OVERSIZED = (65_537, 100_000, 5 * 2**20)


class Broken(Exception):
    """Something did not hold, and there is no use in going on."""


@dataclass
class Findings:
    """What was sent, what was seen, and what did not hold."""

    frames: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    connections: int = 0
    raw_connections: int = 0
    questions: int = 0
    asked_again: int = 0
    longest_status_s: float = 0.0
    rss_after_warm_up: dict[str, int] = field(default_factory=dict)
    rss_most: dict[str, int] = field(default_factory=dict)
    log_bytes: dict[str, int] = field(default_factory=dict)
    verdict: str = ""
    samples: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Something did not hold; said once."""
        if text not in self.broken:
            self.broken.append(text)
            print(f"BROKEN: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Fuzz, look, stop, compare; 1 if anything did not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=3_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", choices=("gateway", "control", "both", "forged"), default="both")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    # Whoever ends us is to leave no run behind.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    # A Unix socket's path is short.
    folder = Path(tempfile.mkdtemp(prefix="dtp-fuzz-", dir="/tmp" if Path("/tmp").is_dir() else None))
    found = Findings()
    with contextlib.closing(Laboratory(folder, found)) as lab:
        try:
            (forged if options.target == "forged" else served)(lab, options)
        except Broken as error:
            found.note(str(error))
            lab.tell_the_dead()
    if found.broken:
        print(f"the folder is kept: {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder)
    report(found, as_json=options.json)
    return 1 if found.broken else 0


def report(found: Findings, *, as_json: bool) -> None:
    """What came of it, for people or for programs."""
    if as_json:
        print(json.dumps(vars(found), indent=2))
        return
    for target, n_frames in found.frames.items():
        rate = n_frames / max(found.seconds[target], 1e-9)
        print(f"{target}: {n_frames:,} frames in {found.seconds[target]:.0f} s, {rate:,.0f} a second")
    print(
        f"{found.connections:,} connections, {found.raw_connections:,} raw ones, {found.questions:,} questions answered"
    )
    for name, most in found.rss_most.items():
        first = found.rss_after_warm_up.get(name, 0)
        print(f"memory of {name}: {first / 2**20:.0f} MiB after warming up, at most {most / 2**20:.0f} MiB")
    print(f"logs: {found.log_bytes}")
    print(f"verdict {found.verdict}; samples compared: {found.samples}")
    print("everything held" if not found.broken else "BROKEN:\n  " + "\n  ".join(found.broken))


# -- the run under attack ----------------------------------------------------------------------------------------------


class Laboratory:
    """Runs in a folder of their own, which end with us."""

    def __init__(self, folder: Path, found: Findings) -> None:
        self.folder = folder
        self.found = found
        (folder / "runtime").mkdir(mode=0o700)
        self.env = {
            **os.environ,
            "DTOPIPE_RUNTIME_DIR": str(folder / "runtime"),
            "DTOPIPE_KEYS_DIR": str(folder / "keys"),
        }
        self._runs: list[RunInProgress] = []

    def up(self, topology: dict[str, Any]) -> RunInProgress:
        """A run in the background, once it answers."""
        run = RunInProgress(self, topology)
        self._runs.append(run)
        run.wait_for(lambda: run.entry() and run.status()["phase"] == "running", "run in progress")
        return run

    def tell_the_dead(self) -> None:
        """Note which of the runs are over, and what they said last."""
        for run in self._runs:
            if run.process.poll() is not None:
                self.found.note(f"{run.name} has ended: {run.last_words()}")

    def close(self) -> None:
        """Leave no process behind, nor shared memory of one that was killed."""
        for run in self._runs:
            for process in run.processes():
                with contextlib.suppress(psutil.Error):
                    process.kill()
                    process.wait(PATIENCE_S)
        if self._runs:
            # What the next `up` of this user would do first: clear away what killed ones have left.
            clearing = [sys.executable, "-c", "from dtopipe.cli.recovery import recover_killed; recover_killed()"]
            subprocess.run(clearing, cwd=self.folder, env=self.env, capture_output=True, check=False)


@contextlib.contextmanager
def asking(endpoint: str) -> Iterator[zmq.Socket[bytes]]:
    """A connection of a command, which is forgotten with what was not sent."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
    with contextlib.closing(context.socket(zmq.DEALER)) as socket:
        socket.linger = 0
        socket.connect(endpoint)
        yield socket


class RunInProgress:
    """A `dtopipe up` of ours."""

    def __init__(self, lab: Laboratory, topology: dict[str, Any]) -> None:
        self.name = topology["name"]
        self.found = lab.found
        self._lab = lab
        path = lab.folder / f"{self.name}.yaml"
        path.write_text(yaml.safe_dump(topology, sort_keys=False), encoding="utf-8")
        self.out, self.err = (lab.folder / f"{self.name}.{ending}" for ending in ("json", "err"))
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = psutil.Popen(
                [sys.executable, "-P", "-m", "dtopipe", "up", str(path), "--json"],
                cwd=lab.folder, env=lab.env, stdout=out, stderr=err,
            )  # fmt: skip
        self._seen = {self.process.pid: psutil.Process(self.process.pid)}

    def entry(self) -> dict[str, Any] | None:
        """Its `entry.json`; None where there is none yet. Raises Broken if the run is over."""
        for path in (self._lab.folder / "runtime").glob("*/entry.json"):
            with contextlib.suppress(OSError, ValueError):
                facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
                if facts["name"] == self.name:
                    return facts
        if self.process.poll() is not None:
            raise Broken(f"{self.name} has ended: {self.last_words()}")
        return None

    @property
    def folder(self) -> Path:
        """Its run folder."""
        return next(self._lab.folder.glob(f"runs/{self.name}/2*"))

    def last_words(self) -> str:
        """The end of what it said."""
        log = next(iter(self._lab.folder.glob(f"runs/{self.name}/2*/logs/supervisor.log")), self.err)
        return "; ".join((_end_of(log) + "\n" + _end_of(self.err)).strip().splitlines()[-6:])[-2000:]

    def status(self) -> dict[str, Any]:
        """What a command is told. Raises Broken if nobody answers."""
        facts = self.entry()
        if facts is None:
            raise Broken(f"{self.name} has no entry: {self.last_words()}")
        began = time.monotonic()
        with asking(facts["control"]) as socket:
            socket.send(packed({"kind": "status"}))
            until = began + PATIENCE_S
            while not socket.poll(100):
                if self.process.poll() is not None:
                    raise Broken(f"{self.name} has ended: {self.last_words()}")
                if time.monotonic() > until:
                    raise Broken(f"{self.name} did not answer `status` within {PATIENCE_S:g} s")
            answer = msgpack.unpackb(socket.recv())
        self.found.longest_status_s = max(self.found.longest_status_s, time.monotonic() - began)
        for child in self.process.children():
            self._seen.setdefault(child.pid, child)
        if answer["kind"] != "status":
            raise Broken(f"{self.name} answered `status` by {str(answer)[:300]}")
        return dict(answer)

    def command(self, message: dict[str, Any]) -> dict[str, Any]:
        """A sound command and its answer."""
        facts = self.entry() or {}
        with asking(facts["control"]) as socket:
            socket.send(packed(message))
            if not socket.poll(round(PATIENCE_S * 1000)):
                raise Broken(f"{self.name} did not answer {message}")
            return dict(msgpack.unpackb(socket.recv()))

    def processes(self) -> list[psutil.Process]:
        """It and its workers, as far as they were seen."""
        return list(self._seen.values())

    def wait_for(self, condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> None:
        """Raises Broken if it does not come."""
        until = time.monotonic() + patience_s
        while not condition():
            if time.monotonic() > until:
                raise Broken(f"{self.name}: no {what} within {patience_s:g} s: {self.last_words()}")
            time.sleep(0.1)

    def end(self, *, ask: bool) -> str:
        """Its verdict, once it has ended: at a Ctrl-C, or by itself."""
        if ask and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(END_S)
        except psutil.TimeoutExpired:
            raise Broken(f"{self.name} did not end within {END_S:g} s: {self.last_words()}") from None
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return str(json.loads(self.out.read_text(encoding="utf-8"))["verdict"]["state"])
        return f"none: {self.last_words()}"


def _end_of(path: Path) -> str:
    with contextlib.suppress(OSError), path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 4000))
        return file.read().decode(errors="replace")
    return ""


def topology(name: str, **more: Any) -> dict[str, Any]:
    """The counter at a rate that leaves the machine to the fuzzer, into a journal and a CSV file."""
    return {
        "name": name,
        "drain_limit": "5s",
        "board": {"type": "simulated", "waveform": "counter"},
        "task": {
            "rate_hz": RATE_HZ,
            "samples_per_block": BLOCK,
            "driver_buffers": 1000,
            "channels": [{"name": f"ch{c}", "kind": "raw", "physical_channel": c} for c in range(CHANNELS)],
        },
        "sinks": {
            "archive": {"type": "hbuf", "path": "archive.dt-raw", "flush_interval": "100ms"},
            "table": {"type": "csv", "path": "table.csv"},
        },
        **more,
    }


def follower(name: str, endpoint: str) -> dict[str, Any]:
    """A run that follows the one that is served there."""
    board = {"type": "remote", "endpoint": endpoint, "insecure": True}
    return {"name": name, "board": board, "sinks": {"table": {"type": "csv", "path": "table.csv"}}}


class Watcher:
    """Looks at the runs now and then: whether they go on, with the same processes, in the same memory."""

    def __init__(self, found: Findings, source: RunInProgress, others: list[RunInProgress]) -> None:
        self._found = found
        self._runs = [source, *others]
        self._pids = {run.name: self._pids_of(run, run.status()) for run in self._runs}
        self._committed: dict[tuple[str, str], tuple[int, float]] = {}
        self._looked = 0.0
        self._is_warm = False

    def look(self, *, is_warm: bool) -> None:
        """Every other second. Raises Broken if a run is over."""
        now = time.monotonic()
        if now - self._looked < LOOK_EVERY_S:
            return
        self._looked = now
        for run in self._runs:
            status = run.status()
            if status["phase"] != "running":
                raise Broken(f"{run.name} is {status['phase']}, and nobody stopped it: {run.last_words()}")
            if (pids := self._pids_of(run, status)) != self._pids[run.name]:
                self._found.note(f"{run.name} has other processes than before: {pids}, not {self._pids[run.name]}")
            for name in self._pids[run.name]:
                if name in status["sinks"]:
                    self._look_at_sink(run, name, status["sinks"][name]["committed"], now)
        self._look_at_memory(is_warm=is_warm)
        look_at_logs(self._found, self._runs[0])

    def look_past(self, warm: int, sent: int) -> None:
        """The same, once so many frames were `sent`, the first of which, `warm`, only warm up."""
        self.look(is_warm=sent > warm)

    def _look_at_sink(self, run: RunInProgress, sink: str, committed: int, now: float) -> None:
        before, since = self._committed.get((run.name, sink), (-1, now))
        if committed > before:
            self._committed[run.name, sink] = committed, now
        elif now - since > PATIENCE_S:
            raise Broken(f"{run.name}: {sink} has committed nothing for {PATIENCE_S:g} s: {run.last_words()}")

    def _look_at_memory(self, *, is_warm: bool) -> None:
        pids = self._pids[self._runs[0].name]
        for name in pids.keys() & {"supervisor", "gateway"}:
            try:
                rss = psutil.Process(pids[name]).memory_info().rss
            except psutil.Error:
                continue
            if not is_warm:
                self._found.rss_after_warm_up[name] = rss
                continue
            first = self._found.rss_after_warm_up.setdefault(name, rss)
            self._found.rss_most[name] = max(self._found.rss_most.get(name, 0), rss)
            if rss - first > MOST_GROWTH_BYTES:
                self._found.note(f"the {name} has grown by more than {MOST_GROWTH_BYTES >> 20} MiB")

    @staticmethod
    def _pids_of(run: RunInProgress, status: dict[str, Any]) -> dict[str, int]:
        pids = {name: sink["pid"] for name, sink in status["sinks"].items() if name in ("archive", "table")}
        pids["acquirer"] = status["board"]["pid"]
        if status.get("listen"):
            pids["gateway"] = status["listen"]["pid"]
        pids["supervisor"] = run.process.pid
        return pids


def look_at_logs(found: Findings, run: RunInProgress) -> None:
    """None is long. Raises Broken before they fill the disk."""
    for path in (run.folder / "events.jsonl", run.folder / "gaps.jsonl", *sorted((run.folder / "logs").glob("*.log"))):
        size = path.stat().st_size
        found.log_bytes[path.name] = size
        if size > DISK_SPARED_BYTES:
            raise Broken(f"{path.name} has {size:,} bytes already")
        if size > MOST_LOG_BYTES:
            found.note(f"{path.name} has more than {MOST_LOG_BYTES:,} bytes")
        elif size and path.read_bytes().count(b"\n") > MOST_LOG_LINES:
            found.note(f"{path.name} has more than {MOST_LOG_LINES:,} lines")


# -- the attack --------------------------------------------------------------------------------------------------------


class Attack:
    """Spoilt frames to one endpoint, by connections that come and go, each asked in turn whether it is heard."""

    def __init__(
        self, target: str, endpoint: str, found: Findings, spoiler: Spoiler, question: dict[str, Any],
        names: Callable[[random.Random, int], bytes], n_lines: int = LINES, volleys: int = VOLLEYS_OF_A_LINE,
    ) -> None:  # fmt: skip
        self._target = target
        self._endpoint = endpoint
        self._found = found
        self._spoiler = spoiler
        self._question = question
        self._names = names
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._lines: list[Line | None] = [None] * n_lines
        self._volleys = volleys
        # Connections that say nothing more, for a while.
        self._silent: deque[sockets.socket] = deque()
        self._n_lines = 0

    def send(self, n_frames: int, each_volley: Callable[[int], None]) -> None:
        """So many; `each_volley` is called with how many there were. Raises Broken if nobody answers."""
        began, sent, volleys = time.monotonic(), 0, 0
        try:
            while sent < n_frames:
                line = self._line(volleys % len(self._lines))
                line.settle()
                messages = [self._spoiler.message() for _ in range(min(VOLLEY, n_frames - sent))]
                line.fire(messages)
                sent, volleys = sent + len(messages), volleys + 1
                if volleys % ROUGH_EVERY == 0:
                    self._be_rough()
                self._found.frames[self._target] = sent
                self._found.seconds[self._target] = time.monotonic() - began
                each_volley(sent)
            for line in filter(None, self._lines):
                line.settle()
        finally:
            self._found.seconds[self._target] = time.monotonic() - began
            for raw in self._silent:
                raw.close()
            self._context.destroy(0)

    def _line(self, place: int) -> Line:
        line = self._lines[place]
        if line is not None and line.n_volleys >= self._volleys:
            line.settle()
            line.socket.close(0)
            line = None
        if line is None:
            name = self._names(self._spoiler.chance, self._n_lines)
            line = self._lines[place] = Line(self._context, self._endpoint, name, self._question, self._found)
            self._n_lines += 1
        return line

    def _be_rough(self) -> None:
        """Connections that speak no ZMTP, or only half of it; messages that are larger than any may be."""
        chance = self._spoiler.chance
        for _ in range(5):
            with contextlib.suppress(OSError):
                raw = connected(self._endpoint)
                self._found.raw_connections += 1
                raw.settimeout(0.05)
                with contextlib.suppress(OSError):
                    for piece in spoilt_stream(chance, [self._spoiler.frame() for _ in range(3)]):
                        raw.sendall(piece)
                        if len(piece) == len(GREETING):
                            raw.recv(64)
                if chance.random() < 0.5:
                    raw.close()
                else:
                    self._silent.append(raw)
        while len(self._silent) > 60:
            self._silent.popleft().close()
        if chance.random() < 0.2:
            with contextlib.closing(self._context.socket(zmq.DEALER)) as socket:
                socket.linger = 0
                socket.connect(self._endpoint)
                socket.send_multipart([bytes(chance.choice(OVERSIZED))] * chance.choice((1, 1, 3)))
                socket.poll(20)


class Line:
    """One connection; what is sent on it is heard in order, so that an answer means that all before it was heard."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, name: bytes, question: dict[str, Any],
        found: Findings,
    ) -> None:  # fmt: skip
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.sndhwm = self.socket.rcvhwm = 0
        if name:
            self.socket.setsockopt(zmq.IDENTITY, name)
        self.socket.connect(endpoint)
        self.n_volleys = 0
        self._found = found
        self._question = question
        self._token = b""
        found.connections += 1

    def fire(self, messages: list[list[bytes]]) -> None:
        """A volley, and a sound question behind it."""
        send = self.socket.send_multipart
        for message in messages:
            send(message)
        self.n_volleys += 1
        self._ask()

    def settle(self) -> None:
        """Wait for the answer to the last question, and throw away what came before it. Raises Broken."""
        until = time.monotonic() + PATIENCE_S
        again = time.monotonic() + ASK_AGAIN_S
        while self._token:
            if self.socket.poll(100):
                while self._token:
                    try:
                        frames = self.socket.recv_multipart(zmq.NOBLOCK)
                    except zmq.Again:
                        break
                    if self._token in frames[0]:
                        self._token = b""
                        self._found.questions += 1
            now = time.monotonic()
            if self._token and now > until:
                raise Broken(f"no answer to a sound question within {PATIENCE_S:g} s")
            if self._token and now > again:
                # The connection may have been ended for what was sent on it before.
                again = now + ASK_AGAIN_S
                self._found.asked_again += 1
                self._ask()

    def _ask(self) -> None:
        """A question whose answer holds a number, or a text, of its own."""
        question = dict(self._question)
        if "session" in question:
            question["session"] = random.getrandbits(62) | 2**61
            self._token = packed(question["session"])
        else:
            question["name"] = f"question {random.getrandbits(60):x}"
            self._token = question["name"].encode()
        self.socket.send(packed(question))


def connected(endpoint: str) -> sockets.socket:
    """A plain connection to where ZeroMQ listens."""
    if endpoint.startswith("ipc://"):
        raw = sockets.socket(sockets.AF_UNIX)
        raw.settimeout(0.5)
        raw.connect(endpoint.removeprefix("ipc://"))
        return raw
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    return sockets.create_connection((host, int(port)), 0.5)


def always(name: bytes) -> Callable[[random.Random, int], bytes]:
    """The same name for every connection."""
    return lambda chance, number: name


def names_of_strangers(chance: random.Random, number: int) -> bytes:
    """None, or one that nobody has: who takes one that is in use may not be heard there, see `by_names_in_use`.

    Of those are some of the kind that workers have, or that ZeroMQ gives itself.
    """
    names = (
        b"",
        b"",
        b"sink.table.%d" % (number + 1000),
        b"\0" + number.to_bytes(4, "big"),
        b"%d" % number + b"y" * 200,
    )
    return chance.choice(names)


def by_names_in_use(endpoint: str, spoiler: Spoiler, names: tuple[bytes, ...], n_frames: int = 200) -> None:
    """Frames by two connections of each of these names; one of them may not be heard, so that nothing is asked."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    for name in names * 2:
        socket = context.socket(zmq.DEALER)
        socket.setsockopt(zmq.IDENTITY, name)
        socket.connect(endpoint)
        for _ in range(n_frames):
            socket.send_multipart(spoiler.message())
        socket.close(500)
    context.term()


def is_obeyed(frame: bytes, sinks: tuple[str, ...]) -> bool:
    """True for what is a sound command, and ends or changes the run."""
    if not any(word in frame for word in (b"stop", b"tach", b"restart")):
        return False
    try:
        message = msgpack.unpackb(frame)
        kind = message["kind"]
        if kind == "stop":
            return isinstance(message.get("now", False), bool)
        if kind in ("detach", "restart"):
            return message["name"] in sinks
        if kind != "attach":
            return False
        plans = [sink_from(plan) for plan in message["sinks"]]
    except (ValueError, TypeError, KeyError, WireError):
        return False
    named = all(isinstance(p.name, str) and isinstance(p.type, str) and isinstance(p.path, str | None) for p in plans)
    return bool(plans) and named


# -- the parts ---------------------------------------------------------------------------------------------------------


def served(lab: Laboratory, options: argparse.Namespace) -> None:
    """A run that is served and followed, its gateway and its control socket fuzzed. Raises Broken."""
    found, endpoint = lab.found, f"tcp://127.0.0.1:{free_port()}"
    source = lab.up(topology("source", listen={"endpoint": endpoint, "insecure": True}))
    copy = lab.up(follower("copy", endpoint))
    watcher = Watcher(found, source, [copy])
    control = (source.entry() or {})["control"]
    shares = {"gateway": options.frames, "control": options.frames}
    if options.target == "both":
        shares = {"gateway": options.frames * 2 // 3, "control": options.frames - options.frames * 2 // 3}
    attacks: dict[str, Callable[[], Attack]] = {
        "gateway": lambda: Attack(
            "gateway", endpoint, found, gateway_spoiler(options.seed), GATEWAY_QUESTION, names_of_strangers,
        ),
        "control": lambda: Attack(
            "control", control, found, control_spoiler(options.seed), CONTROL_QUESTION, names_of_strangers,
        ),
    }  # fmt: skip
    for target, attack in attacks.items():
        if options.target in (target, "both"):
            warm = min(WARM_UP_FRAMES, shares[target] // 4)
            attack().send(shares[target], partial(watcher.look_past, warm))
    if options.target != "control":
        by_names_in_use(endpoint, gateway_spoiler(options.seed + 1), (b"x", b"y" * 255))
    if options.target != "gateway":
        workers = (b"acquirer.0", b"sink.table.0", b"sink.archive.0", b"gateway.0")
        by_names_in_use(control, control_spoiler(options.seed + 1), workers)
    time.sleep(LOOK_EVERY_S)
    watcher.look(is_warm=True)
    for target, path in (
        ("gateway", source.folder / "logs" / "gateway.log"),
        ("control", source.folder / "events.jsonl"),
    ):
        if options.target in (target, "both") and b"malformed" not in path.read_bytes():
            found.note(f"{path.name} does not tell of what was malformed")
    newcomer = lab.up(follower("newcomer", endpoint))
    newcomer.wait_for(lambda: newcomer.status()["sinks"]["table"]["committed"] > 0, "samples for a remote that is new")
    newcomer.end(ask=True)
    found.verdict = source.end(ask=True)
    verdicts = {"source": found.verdict, "copy": copy.end(ask=False)}
    for run in (source, copy):
        if verdicts[run.name] != "GOOD":
            found.note(f"the verdict on {run.name} is {verdicts[run.name]}")
        compare(found, run)
    look_at_logs(found, source)
    for line in tracebacks(source):
        found.note(line)


def forged(lab: Laboratory, options: argparse.Namespace) -> None:
    """A run that is not served and whose sink `extra` is gone, hears both. Raises Broken."""
    found = lab.found
    plan = topology("forged")
    plan["sinks"]["extra"] = {"type": "csv", "path": "extra.csv"}
    run = lab.up(plan)
    answer = run.command({"kind": "detach", "name": "extra"})
    if answer["kind"] != "detaching":
        raise Broken(f"detach was answered by {answer}")
    run.wait_for(lambda: run.status()["sinks"]["extra"]["pid"] is None, "end of the sink that was detached")
    watcher = Watcher(found, run, [])
    control = (run.entry() or {})["control"]
    for name in ("gateway.0", "sink.extra.0"):
        spoiler = Spoiler(WORDS_OF_WORKERS, COMMANDS, options.seed, allowed_at_the_control_socket)
        # One connection, which has the name for as long as it lasts.
        attack = Attack(
            name, control, found, spoiler, CONTROL_QUESTION, always(name.encode()), 1, 10**9,
        )  # fmt: skip
        attack.send(options.frames // 2, partial(watcher.look_past, WARM_UP_FRAMES))
    found.verdict = run.end(ask=True)
    compare(found, run)
    for line in tracebacks(run):
        found.note(line)


def gateway_spoiler(seed: int) -> Spoiler:
    """What is sent to the gateway; what is larger than a request may be ends the connection, and comes by itself."""
    return Spoiler(REQUESTS, WORDS_OF_WORKERS, seed, lambda frame: len(frame) < 2**16)


def control_spoiler(seed: int) -> Spoiler:
    """What is sent to the control socket."""
    return Spoiler(COMMANDS, WORDS_OF_WORKERS, seed, allowed_at_the_control_socket)


def allowed_at_the_control_socket(frame: bytes) -> bool:
    """False for what is obeyed."""
    return not is_obeyed(frame, ("archive", "table", "extra"))


def compare(found: Findings, run: RunInProgress) -> None:
    """The CSV file is the counter's from its first sample on, each once."""
    with (run.folder / "table.csv").open(newline="", encoding="utf-8") as file:
        rows = np.array([[row[0], *row[3:]] for row in list(csv.reader(file))[1:]], dtype=float)
    found.samples[run.name] = len(rows)
    c, i = np.arange(CHANNELS), np.arange(len(rows))[:, None]
    formula = ((i * (2 * c + 1) + 257 * c) % 65536) - 32768
    if not len(rows) or not np.array_equal(rows, np.hstack([i, formula])):
        found.note(f"the table of {run.name} is not the counter's")


def tracebacks(run: RunInProgress) -> Iterator[str]:
    """Of any of its processes."""
    for path in (run.err, *sorted((run.folder / "logs").glob("*.log"))):
        if path.exists() and b"Traceback (most recent call last)" in path.read_bytes():
            yield f"{path.name} has a traceback: {_end_of(path).splitlines()[-1:]}"


if __name__ == "__main__":
    sys.exit(main())
