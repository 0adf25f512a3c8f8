"""Topologies with one mistake each, and what must be said about it."""

from __future__ import annotations

from pathlib import Path

# Line by line, so that the places below can be counted.
GOOD = """\
board:
  type: simulated
task:
  rate_hz: 1000
  channels:
    - {name: flux}
    - {name: tc1}
sinks:
  table: {type: csv, path: t.csv}
"""


def change(old: str, new: str) -> str:
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


def add(text: str) -> str:
    return GOOD + text


CASES: dict[str, tuple[str, str, str, str]] = {
    # name: topology, line:column, "key: what is wrong", remedy
    "unknown key at the top": (add("rng: {seconds: 1}\n"), "10:1", "rng: unknown key", "did you mean ring?"),
    "unknown key of the task": (
        change("  rate_hz: 1000", "  rate_hz: 1000\n  interval: 5"),
        "5:3",
        "task.interval: unknown key",
        "rate_hz",
    ),
    "unknown key of a sink": (
        change("t.csv}", "t.csv, polcy: drop}"),
        "9:35",
        "sinks.table.polcy: unknown key",
        "did you mean policy?",
    ),
    "unknown key of a channel": (
        change("{name: tc1}", "{name: tc1, frequncy_hz: 4}"),
        "7:19",
        "task.channels[1].frequncy_hz: unknown key",
        "did you mean frequency_hz?",
    ),
    "unknown key of a restart": (
        change("t.csv}", "t.csv, restart: {mx: 3}}"),
        "9:45",
        "sinks.table.restart.mx: unknown key",
        "did you mean max?",
    ),
    "wrong word": (
        change("t.csv}", "t.csv, policy: dorp}"),
        "9:35",
        "sinks.table.policy: must be one of block, drop,",
        "did you mean drop?",
    ),
    "word for a number": (
        change("1000", "fast"),
        "4:3",
        "task.rate_hz: must be a number, not 'fast'",
        "Samples per second and channel",
    ),
    "true for a number": (change("1000", "true"), "4:3", "task.rate_hz: must be a number, not true", "Samples per"),
    "number for a name": (change("tc1", "5"), "7:8", "task.channels[1].name: must be text, not 5", 'write "5"'),
    "fraction for a whole number": (
        change("  rate_hz: 1000", "  rate_hz: 1000\n  samples_per_block: 1.5"),
        "5:3",
        "task.samples_per_block: must be a whole number, not 1.5",
        "250 ms",
    ),
    "text for a mapping": (
        change("\n  type: simulated", " simulated"),
        "1:1",
        "board: must be a mapping, not 'simulated'",
        "{type: simulated}",
    ),
    "list for the sinks": (
        change("  table: {type: csv, path: t.csv}", "  - {type: csv}"),
        "8:1",
        "sinks: must be a mapping",
        "{table: {type: csv, path: table.csv}}",
    ),
    "time without unit": (
        change("t.csv}", "t.csv, flush_interval: 5}"),
        "9:35",
        "sinks.table.flush_interval: a time needs a unit (ms, s, min or h), such as 5s; this is 5",
        "flush_interval:",
    ),
    "size without sense": (add("ring: {bytes: lots}\n"), "10:8", "ring.bytes: a size is written like 64MiB", "64MiB"),
    "no board": (
        change("board:\n  type: simulated\n", ""),
        "1:1",
        "board: is missing",
        "`dtopipe boards` lists what there is",
    ),
    "empty board": (change("\n  type: simulated", ""), "1:1", "board: must be a mapping, and is empty", "{type:"),
    "no board type": (change("type: simulated", "pace: max"), "1:1", "board.type: is missing", "simulated, replay"),
    "unknown board": (
        change("simulated", "simulatd"),
        "2:3",
        "board.type: there is no board of type 'simulatd'",
        "did you mean simulated?",
    ),
    "board type that is no word": (
        change("simulated", "[1]"),
        "2:3",
        "board.type: there is no board of type [1]",
        "replay",
    ),
    "unknown sink": (
        change("csv, path", "cvs, path"),
        "9:11",
        "sinks.table.type: there is no sink of type 'cvs'",
        "did you mean csv?",
    ),
    "no sinks": (GOOD[: GOOD.index("sinks:")], "1:1", "sinks: is missing", "such as {table:"),
    "no task": (
        GOOD[: GOOD.index("task:")] + GOOD[GOOD.index("sinks:") :],
        "1:1",
        "task: is missing",
        "dtopipe init",
    ),
    "missing recording": (
        "board: {type: replay, path: no.dt-raw}\nsinks: {t: {type: csv, path: t.csv}}\n",
        "1:23",
        "board.path: ",
        "give the path of a .dt-raw file",
    ),
    "recording that is none": (
        "board: {type: replay, path: bad.yaml}\nsinks: {t: {type: csv, path: t.csv}}\n",
        "1:23",
        "board.path: ",
        "give the path of a .dt-raw file",
    ),
    "two sinks on one path": (
        add("  lines: {type: jsonl, path: ./sub/../t.csv}\n"),
        "10:24",
        "sinks.lines.path: sink table writes to t.csv too",
        "give each sink a path of its own",
    ),
    "two sinks on one database": (
        add("  a: {type: sqlite, path: a.db, on_exists: append}\n  b: {type: sqlite, path: a.db, on_exists: append}\n"),
        "11:21",
        "sinks.b.path: sink a writes to a.db too",
        "give each sink a path of its own",
    ),
    "output on another's commit record": (
        add("  lines: {type: jsonl, path: t.csv.dtopipe}\n"),
        "10:24",
        "sinks.lines.path: a name that ends in .dtopipe",
        "choose another name",
    ),
    "output on another's side file": (
        add("  base: {type: sqlite, path: b.db}\n  x: {type: csv, path: b.db-wal}\n"),
        "11:18",
        "sinks.x.path: b.db-wal belongs to the output of sink base",
        "give each sink a path of its own",
    ),
    "output inside an output": (
        add("  lines: {type: jsonl, path: t.csv/x.jsonl}\n"),
        "10:24",
        "sinks.lines.path: t.csv is a file of sink table",
        "give each sink a path of its own",
    ),
    "output over the run record": (
        change("t.csv", "run.json"),
        "9:22",
        "sinks.table.path: run.json in the run folder is written by the run itself",
        "choose another name",
    ),
    "output among the logs": (
        change("t.csv", "logs/t.csv"),
        "9:22",
        "sinks.table.path: logs in the run folder",
        "another name",
    ),
    "output that leaves the run folder": (
        change("t.csv", "../t.csv"),
        "9:22",
        "sinks.table.path: ../t.csv leads out of the run folder",
        "write an absolute path",
    ),
    "output that is a folder": (change("t.csv", "sub/"), "9:22", "sinks.table.path: sub/ is a folder", "name a file"),
    "no path": (change(", path: t.csv", ""), "9:3", "sinks.table.path: is missing", "relative to the run folder"),
    "empty path": (change("t.csv", "''"), "9:22", "sinks.table.path: must not be empty", "relative to the run folder"),
    "rate 0": (change("1000", "0"), "4:3", "task.rate_hz: must be a number above 0, not 0", "Samples per second"),
    "rate not a number": (
        change("1000", ".nan"),
        "4:3",
        "task.rate_hz: must be a finite number, not nan",
        "Samples per",
    ),
    "rate beyond nanoseconds": (
        change("1000", "2e9"),
        "4:3",
        "task.rate_hz: must be 1e+09 or less",
        "Samples per second",
    ),
    "rate of never": (change("1000", "1e-30"), "4:3", "task.rate_hz: must be 1e-06 or more", "Samples per second"),
    "range upside down": (
        change("{name: tc1}", "{name: tc1, range: [1, -1]}"),
        "7:19",
        "task.channels[1].range: this range is upside down: [1, -1]",
        "[lowest, highest]",
    ),
    "empty range": (
        change("{name: tc1}", "{name: tc1, range: [1, 1]}"),
        "7:19",
        "task.channels[1].range: this range is empty",
        "lowest",
    ),
    "range with one end": (
        change("{name: tc1}", "{name: tc1, range: [1]}"),
        "7:19",
        "task.channels[1].range[1]: needs one more value",
        "lowest",
    ),
    "no channels": (
        change("channels:\n    - {name: flux}\n    - {name: tc1}", "channels: []"),
        "5:3",
        "task.channels: must not be empty",
        "[{name: flux}",
    ),
    "channel name used twice": (
        change("tc1", "flux"),
        "7:8",
        "task.channels[1].name: two channels are named 'flux'",
        "rename one of them",
    ),
    "empty channel name": (change("tc1", '""'), "7:8", "task.channels[1].name: must not be empty", "column's name"),
    "unknown kind": (
        change("{name: tc1}", "{name: tc1, kind: voltge}"),
        "7:19",
        "task.channels[1].kind: there is no kind 'voltge'",
        "did you mean voltage?",
    ),
    "names alike but for case in SQLite": (
        change("tc1", "FLUX") + "  base: {type: sqlite, path: b.db}\n",
        "7:8",
        "task.channels[1].name: 'FLUX' and 'flux' are the same column in SQLite (sink base)",
        "or set layout: long",
    ),
    "name alike a fixed column but for case in SQLite": (
        change("tc1", "Sample_Index") + "  base: {type: sqlite, path: b.db}\n",
        "7:8",
        "task.channels[1].name: 'Sample_Index' and 'sample_index' are the same column in SQLite",
        "rename one of them",
    ),
    "sink with a channel that there is not": (
        change("t.csv}", "t.csv, channels: [flix]}"),
        "9:46",
        "sinks.table.channels[0]: there is no channel 'flix'",
        "did you mean flux?",
    ),
    "sink with a channel twice": (
        change("t.csv}", "t.csv, channels: [tc1, tc1]}"),
        "9:51",
        "sinks.table.channels[1]: 'tc1' stands here twice",
        "take one out",
    ),
    "sensor fault of a channel that there is not": (
        change("type: simulated", "type: simulated\n  sensor_faults: [{channel: tc2, at: 1, samples: 1}]"),
        "3:20",
        "board.sensor_faults[0].channel: there is no channel 'tc2'",
        "did you mean tc1?",
    ),
    "too few driver buffers": (
        change("  rate_hz: 1000", "  rate_hz: 1000\n  driver_buffers: 2"),
        "5:3",
        "task.driver_buffers: must be 3 or more, not 2",
        "Blocks that the board can hold by itself",
    ),
    "ring larger than memory": (
        add("ring: {bytes: 1024TiB}\n"),
        "10:1",
        "ring: a ring of 1,024.0 TiB",
        "set ring: {seconds: ",
    ),
    "ring of one slot": (add("ring: {slots: 1}\n"), "10:8", "ring.slots: must be 2 or more, not 1", "slots: Blocks"),
    "ring too small for two blocks": (
        add("ring: {bytes: 1kB}\n"),
        "10:8",
        "ring.bytes: two blocks take 3.2 KiB: 1000 bytes are too few",
        "set ring: {bytes: 3328} or more",
    ),
    "ring said twice": (
        add("ring: {slots: 4, seconds: 2}\n"),
        "10:1",
        "ring: give exactly one of seconds, slots and bytes",
        "{seconds: 4}",
    ),
    "ring without end": (
        add("ring: {seconds: .inf}\n"),
        "10:8",
        "ring.seconds: must be a finite number",
        "Seconds of data",
    ),
    "absolute output in no folder": (
        change("t.csv", f"{Path.cwd().anchor}no-such-folder/t.csv"),
        "9:22",
        "sinks.table.path: there is no folder",
        "make it",
    ),
    "run folder under a file": (
        add("run_dir: bad.yaml/runs\n"),
        "10:1",
        "run_dir: ",
        "choose another place with --run-dir",
    ),
    "empty name of the run": (add('name: ""\n'), "10:1", "name: must not be empty", "the file's stem"),
    "name of the run with a slash": (add("name: a/b\n"), "10:1", "name: 'a/b' cannot be a file's name", "use letters"),
    "name of the run that Windows keeps": (
        add("name: con\n"),
        "10:1",
        "name: 'con' cannot be a file's name",
        "use letters",
    ),
    "name of a sink with a colon": (
        change("table:", "'a:b':"),
        "9:3",
        "sinks.a:b: 'a:b' cannot be a file's name",
        "use letters",
    ),
    "empty name of a sink": (change("table:", "'':"), "9:3", "sinks.: '' cannot be a file's name", "use letters"),
    "name of a sink that a process has": (
        change("table:", "Acquirer:"),
        "9:3",
        "sinks.Acquirer: acquirer is a process of every run",
        "choose another name",
    ),
    "names of sinks alike but for case": (
        add("  Table: {type: csv, path: u.csv}\n"),
        "10:3",
        "sinks.Table: 'Table' is 'table' but for capitals",
        "rename one",
    ),
    "unset variable": (
        change("1000", "${DTOPIPE_TEST_UNSET}"),
        "4:3",
        "task.rate_hz: the environment has no DTOPIPE_TEST_UNSET",
        "write ${DTOPIPE_TEST_UNSET:-a default}",
    ),
    "run of no length": (add("duration: 0s\n"), "10:1", "duration: a run lasts longer than 0 s", "Board time"),
    "run that no disk can take": (
        add("duration: 2000000h\n"),
        "10:1",
        "duration: this run would write about",
        "choose another disk with --run-dir",
    ),
    "task of a replay": (
        "board: {type: replay, path: no.dt-raw}\ntask: {rate_hz: 3}\nsinks: {t: {type: csv, path: t.csv}}\n",
        "2:1",
        "task: a replay board brings its own task",
        "take this part out",
    ),
    "database without a server": (
        add("  base: {type: postgres, schema: lab}\n"),
        "10:3",
        "sinks.base: a Postgres sink needs either `dsn` or `host`",
        "",
    ),
    "database with a path": (
        add("  base: {type: postgres, host: db, path: base.db}\n"),
        "10:3",
        "sinks.base: a postgres sink has no path",
        "",
    ),
    "schema that only the server may have": (
        add("  base: {type: postgres, host: db, schema: pg_lab}\n"),
        "10:3",
        "sinks.base: schema 'pg_lab': names in pg_ are the server's own",
        "",
    ),
    "two sinks in one schema": (
        add("  base: {type: postgres, host: db, schema: lab}\n  other: {type: postgres, host: db, schema: lab}\n"),
        "11:37",
        "sinks.other.schema: sink base writes to postgres://db:5432/?.lab too",
        "give one another schema",
    ),
    "channel name that Postgres would cut": (
        add("  base: {type: postgres, host: db}\n").replace("name: flux", f"name: {'f' * 64}"),
        "6:8",
        "task.channels[0].name: ",
        "layout: long",
    ),
    "readings into a raw file": (
        change("  rate_hz", "  mode: polled\n  rate_hz") + "  raw: {type: hbuf, path: r.dt-raw}\n",
        "11:9",
        "sinks.raw.type: hbuf refuses polled readings",
        "use csv, hdf5, jsonl, parquet, postgres or sqlite",
    ),
    "readings in the long layout": (
        change("  rate_hz", "  mode: polled\n  rate_hz").replace("t.csv}", "t.csv, layout: long}"),
        "10:35",
        "sinks.table.layout: polled readings have a layout of their own",
        "take this line out",
    ),
    "segments": (
        add("  raw: {type: hbuf, path: r.dt-raw, segment: big}\n"),
        "10:37",
        "sinks.raw.segment: a size is written like 64MiB or 1GB; this is 'big'",
        "segment: The next file begins at this size",
    ),
    "a journal that drops": (
        add("  raw: {type: hbuf, path: r.dt-raw, journal: true, policy: drop}\n"),
        "10:37",
        "sinks.raw.journal: a journal takes every sample, and this one has policy drop",
        "take it out",
    ),
    "retention of what is not known": (
        add("  raw: {type: hbuf, path: r.dt-raw, segment: 1GiB, retention: {until: committed}}\n"),
        "10:52",
        "sinks.raw.retention: retention is all, or {until: durable}; this is {'until': 'committed'}",
        "retention: all, or {until: durable}",
    ),
    "retention without segments": (
        add("  raw: {type: hbuf, path: r.dt-raw, retention: {until: durable}}\n"),
        "10:37",
        "sinks.raw.retention: only whole segments are retired, and this journal is one file",
        "add segment: 1GiB",
    ),
    "retention of what is no journal": (
        add("  raw: {type: hbuf, path: r.dt-raw, segment: 1GiB, journal: false, retention: {until: durable}}\n"),
        "10:68",
        "sinks.raw.retention: only a journal retires segments, and this sink is none",
        "take it out",
    ),
    "retention of the second raw file": (
        add(
            "  raw: {type: hbuf, path: r.dt-raw}\n"
            "  more: {type: hbuf, path: m.dt-raw, segment: 1GiB, retention: {until: durable}}\n"
        ),
        "11:53",
        "sinks.more.retention: only a journal retires segments",
        "write it at sink raw, or take it out",
    ),
    "retention with nobody else": (
        change("t.csv}", "t.csv, policy: drop}")
        + "  raw: {type: hbuf, path: r.dt-raw, segment: 1GiB, retention: {until: durable}}\n",
        "10:52",
        "sinks.raw.retention: no other BLOCK sink would hold what goes",
        "add a sink with policy block, or take this out",
    ),
    "retention with a channel that is nowhere else": (
        change("t.csv}", "t.csv, channels: [flux]}")
        + "  raw: {type: hbuf, path: r.dt-raw, segment: 1GiB, retention: {until: durable}}\n",
        "10:52",
        "sinks.raw.retention: no other BLOCK sink takes channel 'tc1'",
        "add it to the channels of one",
    ),
    "retention with a sink that is never durable": (
        change("t.csv}", "t.csv, sync: none}")
        + "  raw: {type: hbuf, path: r.dt-raw, segment: 1GiB, retention: {until: durable}}\n",
        "9:35",
        "sinks.table.sync: without a sync nothing is durable before the end, and raw would keep every segment",
        "write sync: 1s, or take retention out of raw",
    ),
    "retention of a table": (
        change("t.csv}", "t.csv, retention: {until: durable}}"),
        "9:35",
        "sinks.table.retention: unknown key",
        "there are: ",
    ),
    "listen without a port": (
        add("listen: {endpoint: daq-pc}\n"),
        "10:10",
        "listen.endpoint: an endpoint is written like tcp://daq-pc:5700; this is 'daq-pc'",
        "",
    ),
    "remote without a key": (
        'board: {type: remote, endpoint: "tcp://daq-pc:5700"}\nsinks: {t: {type: csv, path: t.csv}}\n',
        "1:1",
        "board.server_key: is missing",
        "or write insecure: true",
    ),
    "remote with a key that is not there": (
        'board: {type: remote, endpoint: "tcp://a:1", server_key: a.pub}\nsinks: {t: {type: csv, path: t.csv}}\n',
        "1:46",
        "board.server_key:",
        "there: dtopipe keys show; copy that file here",
    ),
    "remote with a key that is not looked at": (
        'board: {type: remote, endpoint: "tcp://a:1", server_key: a.pub, insecure: true}\n'
        "sinks: {t: {type: csv, path: t.csv}}\n",
        "1:65",
        "board.insecure: there is a server_key, which is not looked at then",
        "take one of the two out",
    ),
    "remote with a bare IPv6 address": (
        'board: {type: remote, endpoint: "tcp://::1:5700", insecure: true}\nsinks: {t: {type: csv, path: t.csv}}\n',
        "1:23",
        "board.endpoint: an IPv6 address stands in brackets",
        "",
    ),
    "remote with a task": (
        'board: {type: remote, endpoint: "tcp://a:1", insecure: true}\ntask: {rate_hz: 3}\n'
        "sinks: {t: {type: csv, path: t.csv}}\n",
        "2:1",
        "task: a remote board brings its own task",
        "take this part out",
    ),
    "remote of a run that is none": (
        'board: {type: remote, endpoint: "tcp://a:1", insecure: true, runs: evry}\n'
        "sinks: {t: {type: csv, path: t.csv}}\n",
        "1:62",
        "board.runs: must be next, every, or the run_id of one run, not 'evry'",
        "runs: next: the run in progress there",
    ),
    "remote from before the first sample": (
        'board: {type: remote, endpoint: "tcp://a:1", insecure: true, start: -5}\n'
        "sinks: {t: {type: csv, path: t.csv}}\n",
        "1:62",
        "board.start: must be earliest, latest, or a sample index, not -5",
        "",
    ),
    "key said twice": (
        change("  rate_hz: 1000", "  rate_hz: 1000\n  rate_hz: 2000"),
        "5:3",
        "task.rate_hz: stands here a second time",
        "first: bad.yaml:4:3",
    ),
    "no YAML": (change("{name: tc1}", "{name: tc1"), "8:6", "not YAML: ", "is a bracket, a quote"),
    "variable without quotes": (
        change("{name: tc1}", "{name: ${DTOPIPE_TEST_UNSET}}"),
        "7:15",
        "not YAML: ",
        'write a variable in quotes: "${VAR}"',
    ),
    "a key that is none": (change("table:", "[a, b]:"), "9:3", "sinks: a key is a word", "write the keys out"),
    "a word taken over": (
        change("    - {name: tc1}", "    - {name: tc1, <<: flux}"),
        "7:19",
        "task.channels[1]: <<: takes over a mapping's keys",
        "write <<: *NAME",
    ),
}
