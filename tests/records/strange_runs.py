"""Run folders as a stranger may have made them, beside files that no command has any business with.

A real run is copied, one or more things in it are spoilt, and commands are called on it in this process. Whatever they
say, they end in order, they send no steering character, and they neither open, change nor delete a canary: a file
outside of the run folder that a path, an id, a pattern or a link of it leads to.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import traceback
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner

from dtopipe.cli.main import main

HUNG_S = 30
SAMPLES = 400
_OUTPUTS = {
    "archive": "archive.dt-raw",
    "text": "text.csv",
    "lines": "lines.jsonl",
    "table": "run.db",
    "pq": "a.parquet",
}
_TYPES = {"archive": "hbuf", "text": "csv", "lines": "jsonl", "table": "sqlite", "pq": "parquet"}
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_SPOILT_ALREADY = (LookupError, TypeError, ValueError, AttributeError, OSError, RecursionError)
_STATE_NUMBERS = struct.Struct("<Q6qQQ")


def make_base(folder: Path) -> Path:
    """A real run with an output of every file type, a gap in it; the folder of the run."""
    topology = {
        "name": "lab",
        "board": {"type": "simulated", "pace": "max", "max_samples": SAMPLES, "overruns": [{"at": 100, "samples": 50}]},
        "task": {
            "rate_hz": 1000,
            "samples_per_block": 50,
            "channels": [{"name": "flux", "unit": "V"}, {"name": "tc", "range": [-1, 1]}],
        },
        "sinks": {name: {"type": _TYPES[name], "path": path} for name, path in _OUTPUTS.items()},
    }
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "topology.yaml"
    file.write_text(yaml.safe_dump(topology))
    runtime = folder / "rt"
    runtime.mkdir(mode=0o700)
    subprocess.run(
        [sys.executable, "-m", "dtopipe", "up", str(file), "--run-dir", str(folder / "base")],
        env={**os.environ, "DTOPIPE_RUNTIME_DIR": str(runtime)}, check=False, capture_output=True, timeout=60,
    )  # fmt: skip
    (found,) = (folder / "base" / "lab").glob("*/run.json")
    return found.parent


@dataclass
class World:
    """Where one case is played: runs, a runtime folder, and the canaries between and above them."""

    root: Path
    runs: Path = field(init=False)
    run: Path = field(init=False)
    runtime: Path = field(init=False)
    canaries: Path = field(init=False)

    def __post_init__(self) -> None:
        self.runs, self.runtime, self.canaries = (self.root / name for name in ("runs", "rt", "canaries"))
        self.run = self.runs / "lab" / "20261122T234100Z"

    def begin(self, base: Path) -> None:
        """All of it anew; the canaries are what the outputs would be, so that a reader would go on in them."""
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(base, self.run)
        self.runtime.mkdir(mode=0o700)
        self.canaries.mkdir()
        for name in _OUTPUTS.values():
            for ending in ("", ".dtopipe"):
                if (base / (name + ending)).exists():
                    shutil.copy(base / (name + ending), self.canaries / (name + ending))
        for place in (self.canaries, self.runs, self.runs / "lab", self.root):
            (place / "canary.csv").write_text("sample_index,t_mono_ns,t_utc,flux\n")
            (place / ".dtopipe-room-canary-1").write_text("room")
        (self.canaries / "sub").mkdir()
        (self.canaries / "sub" / "thesis.txt").write_text("words")

    def is_canary(self, path: str) -> bool:
        """True for what no command may open."""
        real = os.path.realpath(path)
        root, own = os.path.realpath(self.root), os.path.realpath(self.run)
        return real.startswith(root + os.sep) and "canar" in real[len(root) :] and not real.startswith(own + os.sep)

    def digest(self) -> dict[str, str]:
        """Every canary, and what is in it."""
        found = {}
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = Path(folder) / name
                if self.is_canary(str(path)) and not path.is_symlink():
                    found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found


class Watch:
    """What this process opens, removes and connects to, from inside of it. One for the whole process."""

    _EVENTS = frozenset({
        "open", "os.remove", "os.rename", "os.rmdir", "os.truncate", "os.chmod", "os.link", "shutil.rmtree",
        "sqlite3.connect", "shutil.move", "os.utime",
    })  # fmt: skip

    def __init__(self) -> None:
        self.world: World | None = None
        self.seen: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.world is None:
            return
        if event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen"):
            self.seen.append(f"{event} {arguments[-1] if event == 'socket.connect' else arguments[:2]}")
        elif event in self._EVENTS:
            for path in arguments[: 2 if event == "os.rename" else 1]:
                if isinstance(path, bytes):
                    path = os.fsdecode(path)
                if isinstance(path, str) and self.world.is_canary(path):
                    self.seen.append(f"{event} {path}")


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    def late(number: int, frame: Any) -> None:
        raise TimeoutError(f"it has not ended within {HUNG_S} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(HUNG_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def play(world: World, watch: Watch, commands: list[list[str]]) -> list[str]:
    """Call these commands; every promise that one of them broke."""
    broken = []
    before = world.digest()
    os.environ["DTOPIPE_RUNTIME_DIR"] = str(world.runtime)
    logging.disable(logging.CRITICAL)
    for command in commands:
        watch.world, watch.seen = world, []
        told = CliRunner()
        try:
            with _in_time():
                result = told.invoke(main, command)
        finally:
            watch.world = None
            logging.disable(logging.NOTSET)
        words = " ".join(command)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            last = "".join(traceback.format_exception(result.exception)[-4:])
            broken.append(f"{words}: a traceback: {last}")
        if found := _STEERING.search(result.output):
            broken.append(f"{words}: it said {found[0]!r}: {result.output[max(0, found.start() - 60) : found.end()]!r}")
        broken += [f"{words}: it came to {each}" for each in watch.seen]
    after = world.digest()
    broken += [f"canary {path} was changed or deleted" for path, digest in before.items() if after.get(path) != digest]
    broken += [f"canary {path} was made" for path in after.keys() - before.keys()]
    return broken


def commands_on(world: World, chance: random.Random) -> list[list[str]]:
    """What looks first, then what completes and mends."""
    run, kept = str(world.run), ["--run-dir", str(world.runs)]
    json_too = ["--json"] if chance.random() < 0.4 else []
    outside = ["--outside"] if chance.random() < 0.1 else []
    return [
        ["runs", *kept, *json_too],
        ["status", run, *kept, *json_too],
        ["why", run, *kept, *json_too],
        ["verify", run, *kept, *json_too, *outside],
        ["repair", run, *kept, *json_too, *outside],
        chance.choice(
            [["stop", run, *kept], ["stop", *kept], ["verify", "lab", *kept], ["serve", "lab/nothing", *kept]]
        ),
    ]


# ---------------------------------------------------------------------------------------------- what a stranger does

Spoil = Callable[["World", random.Random], str]


def _hostile_paths(world: World) -> list[Any]:
    canary = world.canaries
    up = os.path.relpath(canary, world.run)
    return [
        str(canary / "text.csv"), f"{up}/text.csv", f"sub/../{up}/archive.dt-raw", f"{up}/run.db", str(canary), up,
        "/dev/stdin", "../canary.csv", "../../canary.csv", "x/../../canary.csv", "*", "..", ".", "", "a\0b", "run.json",
        "\x1b[31mred.csv",
        "C:\\canary.csv", "//host/share/x.csv", "~/canary.csv", "logs", "a" * 5000, "linked/text.csv",
    ]  # fmt: skip


def _hostile_values(world: World, chance: random.Random) -> Any:
    return chance.choice([
        None, True, False, -1, 0, 1, 2**31, 2**53, 2**62, 2**63, 2**64, 10**30, 1.5, 1e308, float("nan"), float("inf"),
        -float("inf"), "", "x", "..", "\x1b]0;owned\x07", "a\nGOOD  everything", "\u202eevil", "\x9b31m", "[/bold]",
        "[link=http://x]y", ":boom:", "${HOME}", "${NOBODY_SET_THIS}", "\ud800", "block", "drop_oldest", "long", "hbuf",
        "csv", "postgres", [], [1], {}, {"a": 1}, [[[[]]]], "2026-01-01T00:00:00+00:00", "9999-12-31T23:59:59Z",
        *_hostile_paths(world),
    ])  # fmt: skip


def _places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every key of it, from the outside in."""
    pairs = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in pairs:
        yield (*path, key)
        yield from _places(value, (*path, key))


def _spoil_document(document: Any, world: World, chance: random.Random) -> str:
    places = list(_places(document))
    if not places:
        return "nothing"
    *above, key = chance.choice(places)
    part = document
    for step in above:
        part = part[step]
    how = chance.random()
    name = ".".join(map(str, (*above, key)))
    if how < 0.15:
        del part[key]
        return f"without {name}"
    if how < 0.25 and isinstance(part, dict):
        new = str(_hostile_values(world, chance))
        part[new] = part.pop(key)
        return f"{name} is called {new[:40]!r}"
    part[key] = _hostile_values(world, chance)
    return f"{name} = {str(part[key])[:60]!r}"


def _read(path: Path) -> bytes:
    """Of a file; what an earlier one has made a pipe or a link is left so."""
    if path.is_symlink() or not path.is_file():
        raise OSError(f"{path} is no file")
    return path.read_bytes()


def _record(world: World) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(_read(world.run / "run.json").decode())
    return loaded


def _write(world: World, record: dict[str, Any]) -> None:
    (world.run / "run.json").write_text(json.dumps(record), encoding="utf-8")


def spoil_values(world: World, chance: random.Random) -> str:
    """Some values of the record."""
    record = _record(world)
    done = [_spoil_document(record, world, chance) for _ in range(chance.choice([1, 1, 1, 2, 5]))]
    _write(world, record)
    return f"run.json: {'; '.join(done)}"


def spoil_paths(world: World, chance: random.Random) -> str:
    """A path leads elsewhere, in the record and perhaps in the topology beside it."""
    record = _record(world)
    name, path = chance.choice(list(_OUTPUTS)), chance.choice(_hostile_paths(world))
    record["sinks"][name]["path"] = path
    if chance.random() < 0.3:
        record["topology"]["sinks"][name]["path"] = path
    _write(world, record)
    return f"sinks.{name}.path = {path[:80]!r}"


def spoil_id(world: World, chance: random.Random) -> str:
    """An id that is a path and a pattern, of a run that seems to have been killed."""
    up = os.path.relpath(world.canaries, world.run)
    new = chance.choice(
        ["*", f"../{up}/*", f"../../../{up}/sub/*", "[a-z]*", "x/../../*", "canary", "", "a\0", "\x1b[2J"]
    )
    record = _record(world)
    record["run_id"] = new
    if chance.random() < 0.5:
        record["stream"]["run_id"] = new
    _write(world, record)
    return f"run_id = {new!r}"


def spoil_verdict(world: World, chance: random.Random) -> str:
    """The run seems to have been killed."""
    record = _record(world)
    record["verdict"] = None
    for sink in record["sinks"].values():
        sink["state"] = chance.choice(["running", "interrupted", "\x1b[31m", "detached"])
    _write(world, record)
    return "verdict = null"


def spoil_server(world: World, chance: random.Random) -> str:
    """A database on a server of the stranger's."""
    record, name = _record(world), chance.choice(list(_OUTPUTS))
    secret = "${HOME}"
    parts: list[dict[str, object]] = [
        {"dsn": f"postgresql://me:{secret}@192.0.2.1/x"}, {"host": "192.0.2.1", "password": secret, "user": "u"},
        {"dsn": "postgresql://localhost,192.0.2.1/x"}, {"dsn": "postgresql://localhost/x?host=192.0.2.1"},
        {"dsn": "postgresql:///x?service=y&servicefile=/etc/passwd"}, {"dsn": f"{secret}"}, {"dsn": 5}, {"host": [1]},
    ]  # fmt: skip
    part = chance.choice(parts)
    record["sinks"][name] |= {"type": "postgres", "path": None, "target": "postgres://192.0.2.1/x"}
    record["topology"]["sinks"][name] = {"type": "postgres", **part}
    _write(world, record)
    return f"{name} is a database: {part}"


def spoil_bytes(world: World, chance: random.Random) -> str:
    """Any bytes of any file."""
    files = [path for path in world.run.rglob("*") if path.is_file()]
    path = chance.choice(files)
    data = bytearray(_read(path))
    for _ in range(chance.choice([1, 3, 30])):
        if data:
            at = chance.randrange(len(data))
            how = chance.random()
            if how < 0.6:
                data[at] = chance.randrange(256)
            elif how < 0.8:
                del data[at : at + chance.randrange(1, 100)]
            else:
                data[at:at] = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 50)))
    if chance.random() < 0.1:
        data = bytearray(chance.choice([b"", b"[" * 100_000, b"\0" * 1000, b"{}", b"null", b'{"a":' * 5000]))
    path.write_bytes(data)
    return f"bytes of {path.name}"


def spoil_commit_record(world: World, chance: random.Random) -> str:
    """Numbers of a commit record, whose checksum fits."""
    path = chance.choice(sorted(world.run.glob("*.dtopipe")))
    data = bytearray(_read(path))
    version, length = struct.unpack_from("<II", data, 8)
    size, align = (128, 64) if version == 1 else (512, 512)
    if chance.random() < 0.4:
        document = json.loads(data[16 : 16 + length])
        done = _spoil_document(document, world, chance)
        text = json.dumps(document).encode()
        records = data[-(-(16 + length) // align) * align :]
        head = struct.pack("<8sII", b"DTOPIPEC", version, len(text)) + text
        path.write_bytes(head.ljust(-(-len(head) // align) * align, b"\0") + records)
        return f"{path.name}: {done}"
    at = -(-(16 + length) // align) * align
    numbers = []
    for place in (at, at + size):
        body = data[place : place + size - 4]
        if len(body) < size - 4:
            continue
        numbers = list(_STATE_NUMBERS.unpack_from(body))
        which = chance.randrange(len(numbers))
        is_signed = 1 <= which <= 6
        numbers[which] = chance.choice([0, 1, 2**32, 2**50, 2**62, 2**63 - 1, *([-1, -(2**63)] if is_signed else [])])
        _STATE_NUMBERS.pack_into(body, 0, *numbers)
        data[place : place + size] = body + struct.pack("<I", zlib.crc32(body))
    path.write_bytes(data)
    return f"{path.name}: {numbers}"


def spoil_raw_header(world: World, chance: random.Random) -> str:
    """The header of the raw file."""
    path = world.run / "archive.dt-raw"
    data = _read(path)
    (length,) = struct.unpack_from("<I", data)
    document = json.loads(data[4 : 4 + length])
    done = _spoil_document(document, world, chance)
    text = json.dumps(document).encode()
    path.write_bytes(struct.pack("<I", len(text)) + text + data[4 + length :])
    return f"archive.dt-raw: {done}"


def spoil_lines(world: World, chance: random.Random) -> str:
    """A line of gaps, of events."""
    path = world.run / chance.choice(["gaps.jsonl", "events.jsonl", "clock.jsonl"])
    lines = _read(path).decode().splitlines()
    at = chance.randrange(len(lines))
    document = json.loads(lines[at])
    done = _spoil_document(document, world, chance)
    lines[at] = json.dumps(document)
    path.write_text("\n".join(lines) + "\n")
    return f"{path.name}: {done}"


def spoil_topology(world: World, chance: random.Random) -> str:
    """The topology beside the record."""
    path = world.run / "topology.yaml"
    done = "is none any more"
    # Its bytes may have been spoilt before.
    with contextlib.suppress(yaml.YAMLError, UnicodeError):
        document = yaml.safe_load(_read(path).decode())
        if isinstance(document, dict):
            done = _spoil_document(document, world, chance)
            path.write_text(yaml.safe_dump(document, allow_unicode=True))
    return f"topology.yaml: {done}"


def spoil_with_links(world: World, chance: random.Random) -> str:
    """A link to a canary, or a pipe, in the place of a file or beside one."""
    names = [path.name for path in world.run.iterdir() if path.is_file()]
    names += ["logs", "logs/repair.lock", "rescued.dt-raw", "fetched-0.dt-raw", f".run.json.{os.getpid()}.new"]
    names += ["text.csv.new", "text.repair.csv", "text.repair.csv.mark", "archive.dt-raw.index", "run.db-wal", "linked"]
    name = chance.choice(names)
    path = world.run / name
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    if name.startswith("linked"):
        record = _record(world)
        record["sinks"]["text"]["path"] = "linked/text.csv"
        _write(world, record)
        target = world.canaries
    elif chance.random() < 0.2:
        os.mkfifo(path)
        return f"{name} is a pipe"
    else:
        near = world.canaries / name
        target = chance.choice([near if near.exists() else world.canaries / "text.csv", world.canaries / "none.csv",
                                world.canaries])  # fmt: skip
    path.symlink_to(target)
    return f"{name} leads to {target}"


def spoil_latest(world: World, chance: random.Random) -> str:
    """What is beside the run."""
    up = os.path.relpath(world.canaries, world.run.parent)
    new = chance.choice([up, f"{up}\n", "../..", "\x1b[31m", "a\0b", "x" * 5000])
    (world.run.parent / "latest").write_text(new)
    return f"latest = {new[:60]!r}"


def spoil_entry(world: World, chance: random.Random) -> str:
    """An entry of the runtime folder."""
    folder = world.runtime / chance.choice(["0123abcd", "x", "..x", "\x1b[31m"])
    folder.mkdir()
    facts: dict[str, Any] = {
        "run_id": _record(world)["run_id"], "name": "lab", "run_folder": str(world.run), "started_at": "2026", "pid": 1,
        "control": "ipc:///nowhere", "public_key": "", "secret_key": "", "segment": "",
    }  # fmt: skip
    done = _spoil_document(facts, world, chance)
    if chance.random() < 0.3:
        facts["run_folder"] = str(chance.choice([world.canaries, world.root, world.runs]))
        facts["segment"] = chance.choice(["../../canary", "dtopipe-none", "/etc/passwd"])
    (folder / "entry.json").write_text(json.dumps(facts))
    return f"entry {folder.name!r}: {done}"


SPOILS: list[Spoil] = [
    spoil_values, spoil_values, spoil_values, spoil_paths, spoil_paths, spoil_id, spoil_verdict, spoil_server,
    spoil_bytes, spoil_commit_record, spoil_raw_header, spoil_lines, spoil_topology, spoil_with_links, spoil_with_links,
    spoil_latest,
]  # fmt: skip


def case(world: World, base: Path, watch: Watch, seed: str, *, with_entries: bool = True) -> tuple[str, list[str]]:
    """One case, wholly told by its seed: what was spoilt, and every promise that was broken."""
    chance = random.Random(seed)
    world.begin(base)
    spoils = [*SPOILS, spoil_entry] if with_entries else SPOILS
    done = []
    for spoil in chance.sample(spoils, chance.choice([1, 1, 2, 3])):
        # What an earlier one has spoilt may not be spoilt once more in every way.
        with contextlib.suppress(*_SPOILT_ALREADY):
            done.append(spoil(world, chance))
    if chance.random() < 0.3:
        with contextlib.suppress(*_SPOILT_ALREADY):
            done.append(spoil_verdict(world, chance))
    return "; ".join(done), play(world, watch, commands_on(world, chance))
