"""The list of runs with those of every device on a real NATS server."""

from __future__ import annotations

from pathlib import Path

import pytest
from nats_server import NatsServer
from published_runs import published
from recordings import recorded

from dtopipe.broker.address import Address
from dtopipe.cli.web import web
from dtopipe.web.runs import Runs, Shown

pytest.importorskip("aiohttp", reason="the page needs the extra web")


def test_runs_on_servers_are_listed_beside_those_here(tmp_path: Path) -> None:
    server = NatsServer()
    try:
        published(server, "<b>bench", recorded(run_id="first"), 500, is_over=True)
        published(server, "bench 2", recorded(run_id="second"), 200, is_over=False)
        runs = Runs(Shown(tmp_path, servers=Address(server.endpoint)))
        device = recorded().device
        rows = {row["run"]: row for row in runs.rows()}
        assert set(rows) == {f"<b>bench/{device}", f"bench 2/{device}"}
        assert [rows[name]["state"] for name in sorted(rows)] == ["ended", "in progress"]
        assert [rows[name]["samples"] for name in sorted(rows)] == [450, 150]
        assert all(row["elsewhere"] for row in rows.values())
        # Nothing that a request says leads to a folder of theirs.
        assert [runs.folder(name) for name in rows] == [None, None]
    finally:
        server.close()


def test_servers_that_do_not_answer_are_a_row_that_says_so(tmp_path: Path) -> None:
    (row,) = Runs(Shown(tmp_path, servers=Address("nats://127.0.0.1:1"))).rows()
    assert row["state"] == "unreadable"
    assert "cannot be reached" in row["text"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["heat-flux", "--on", "nats://127.0.0.1:4222"], "--on adds to the list of runs"),
        (["--link", "user=lab"], "--link is for --on"),
        (["--on", "tcp://127.0.0.1:7001"], "which has no list of runs"),
    ],
)
def test_what_cannot_be_served_is_said(words: list[str], said: str) -> None:
    from click.testing import CliRunner

    found = CliRunner().invoke(web, words)
    assert found.exit_code != 0
    assert said in str(found.exception) + found.output
