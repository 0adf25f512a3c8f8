"""A run of another machine is looked at: status, top and why, by key, over a cable that is cut, and without a mark."""

from __future__ import annotations

import sys

import pytest
from machines import Cable, Machine, served

from dtopipe.transport.curve import new_key_pair
from dtopipe.transport.key_folder import KeyFolder

if sys.platform == "win32":
    pytest.skip("a pseudo-terminal is of Unix", allow_module_level=True)

from terminals import a_terminal

_TYPED_THERE = "what is to be typed is typed there"


def test_a_run_of_another_machine_is_looked_at_and_none_the_wiser(
    port: int, daq: Machine, office: Machine, cable: Cable, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"start": ["/bin/sh", "-c", "exit 0", "token=s3cr3t"]}
    run = daq.start(served(port, kind="voltage") | {"on": told})
    run.wait_for_samples("table", 300)
    endpoint = f"tcp://127.0.0.1:{cable.port}"
    words = (endpoint, "--server-key", str(daq.public_file))
    monkeypatch.setenv("DTOPIPE_KEYS_DIR", str(office.keys.path))
    there = office.dtopipe("status", *words, "--json")
    assert there.code == 0, there.stderr
    here = run.status()
    assert here is not None
    assert there.json.keys() == here.keys()
    assert there.json["run_id"] == here["run_id"]
    assert there.json["on"]["start"]["command"] == ["/bin/sh"]
    assert "s3cr3t" not in there.stdout
    assert "nothing limits lab: every process keeps up" in office.dtopipe("why", *words).stdout
    with a_terminal("-m", "dtopipe", "top", *words, folder=office.folder, LINES="50", **office.settings) as terminal:
        terminal.wait_to_see("ch2")
        terminal.wait_to_see(_TYPED_THERE)
        cable.cut()
        terminal.wait_to_see("(the connection was cut|nobody answers there), since")
        cable.mend()
        terminal.wait_to_see(_TYPED_THERE)
        # Without a word of farewell too, as behind a firewall.
        cable.hold()
        terminal.wait_to_see("(the connection was cut|nobody answers there), since")
        cable.release()
        terminal.wait_to_see(_TYPED_THERE)
        run.pause("table")
        terminal.wait_to_see("table limits the run")
        why = office.dtopipe("why", *words).stdout
        assert why.startswith("table limits the run")
        assert f"there: its process was stopped; let it go on: kill -CONT {run.pid('table')}" in why
        run.go_on("table")
        _turned_away(office, endpoint, daq, monkeypatch)
        run.interrupt()
        ended = run.finish()
        terminal.wait_to_see("lab/[0-9TZ]+ is over; how it ended, there: dtopipe status lab/")
        assert terminal.end() == 0
    assert ended.code == 0, ended.stderr
    assert {event["event"] for event in daq.events if event["event"].startswith("remote_")} == {"remote_refused"}
    assert not daq.dtopipe("status", "lab/latest", "--json").json.get("listen", {}).get("remotes")


def _turned_away(office: Machine, endpoint: str, daq: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that nobody there knows, another one than theirs, and none at all: each in words, with the way out."""
    others = KeyFolder(office.folder / "others")
    others.write_own(new_key_pair("stranger"))
    with monkeypatch.context() as patch:
        patch.setenv("DTOPIPE_KEYS_DIR", str(others.path))
        unknown = office.dtopipe("status", endpoint, "--server-key", str(daq.public_file))
    wrong = office.dtopipe("why", endpoint, "--server-key", str(others.public_path("stranger")))
    without = office.dtopipe("status", endpoint, "--insecure")
    for refused, words in (
        (unknown, ("it does not know this machine's key", "dtopipe keys authorize stranger.pub")),
        (wrong, ("server_key is not that machine's key", "dtopipe keys show")),
        (without, ("it does not speak as it should", "both, says insecure")),
    ):
        assert refused.code == 1, refused.stderr
        assert not refused.stdout
        for each in words:
            assert each in refused.stderr
