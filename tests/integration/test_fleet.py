"""The fleet of topologies/fleet/: its files, its arithmetic, and a whole one with a server that dies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from nats_server import program

from dtopipe.cli.main import main

ROOT = Path(__file__).parents[2]
FLEET = ROOT / "topologies" / "fleet"
VARIABLES = {"FLEET_BENCH": "bench-1", "FLEET_DSN": "postgresql://lab@127.0.0.1:1/lab"}


def run(*words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, words)],
        env={**os.environ, **variables}, cwd=ROOT, capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip


def test_the_reckoning_of_the_page_is_that_of_the_script() -> None:
    checked = run(ROOT / "scripts" / "dev" / "fleet_reckoning.py", "--check")
    assert checked.returncode == 0, checked.stderr


def test_nodes_follow_from_what_bounds_them() -> None:
    sys.path.insert(0, str(ROOT / "scripts" / "dev"))
    from fleet_reckoning import Fleet, reckoned

    small = reckoned(Fleet(1))
    assert small.mb_s_a_board == pytest.approx(0.2 + 2 * 700 / 1e6)
    assert (small.nodes, small.streams, small.messages_s) == (3, 1, 2)
    assert small.tb_a_node == pytest.approx(small.mb_s_a_board * 86400 * 7 / 1e6)
    many = reckoned(Fleet(1000))
    # 201 MB/s, which two readers and two more copies send on, at 83 MB/s a node.
    assert many.nodes == 10
    assert reckoned(Fleet(1000, readers=0, replicas=1)).nodes == 3
    of_fast = [reckoned(Fleet(1000, rate, network_mb_s=833)).nodes for rate in (100e3, 800e3)]
    assert of_fast == [4, 25]


@pytest.mark.parametrize("name", ["bench", "archive", "database", "view"])
def test_a_topology_is_one(name: str) -> None:
    checked = CliRunner().invoke(main, ["check", str(FLEET / f"{name}.yaml"), "--json"], env=VARIABLES)
    problems = json.loads(checked.stdout)
    # Nobody is there; that is all.
    assert checked.exit_code in (0, 1), checked.output
    assert not problems.get("problems"), problems


def test_the_servers_take_their_configuration(tmp_path: Path) -> None:
    routes = {f"ROUTE_{number}": f"nats://127.0.0.1:{6221 + number}" for number in (1, 2, 3)}
    variables = {"NAME": "n1", "HOST": "127.0.0.1", "PORT": "4222", "ROUTE_PORT": "6222", "STORE": str(tmp_path)}
    done = subprocess.run(
        [program(), "-t", "-c", FLEET / "nats.conf"],
        env={**os.environ, **routes, **variables}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_two_benches_an_archive_and_a_database_of_each_and_a_server_that_dies(tmp_path: Path) -> None:
    demo = run(
        ROOT / "scripts" / "fleet_demo.py",
        "--inside",
        "--benches",
        "2",
        "--seconds",
        "6",
        "--folder",
        tmp_path / "fleet",
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    rows = [line.split() for line in demo.stdout.splitlines() if "as recorded" in line]
    assert [(name, verdict) for name, verdict, *_ in rows] == [
        *((f"bench-{number}", "GOOD") for number in (1, 2)),
        *((f"{role}-{number}", "GOOD") for role in ("archive", "database") for number in (1, 2)),
        ("view", "GOOD"),
    ]
    records = [json.loads(path.read_text()) for path in tmp_path.glob("fleet/archive-*/archive/*/run.json")]
    benches = [json.loads(path.read_text()) for path in tmp_path.glob("fleet/bench-*/bench/*/run.json")]
    assert {record["run_id"] for record in records} == {record["run_id"] for record in benches}
    assert {record["acquired"]["samples"] for record in records + benches} == {150_000}
    assert not any(record["acquired"]["overrun_samples"] for record in benches)
