"""One whole run for Prometheus: what is served, what `promtool` says of it, and the dashboard that is made of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from free_ports import free_port
from laboratory import counter_topology

DASHBOARD = Path(__file__).parents[2] / "topologies" / "grafana-dashboard.json"

pytest.importorskip("prometheus_client")


def _got(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def _served(url: str) -> str:
    """Nothing, as long as nobody listens there."""
    try:
        return _got(url)[1]
    except OSError:
        return ""


def test_a_run_is_served_to_prometheus(lab: Any) -> None:
    sinks = {
        "table": {"type": "csv", "path": "table.csv"},
        "events": {"type": "csv", "path": "events.csv", "when": "ch0 > 40000"},
        "view": {"type": "csv", "path": "view.csv", "policy": "drop"},
    }
    beside = free_port()
    topology = counter_topology() | {"sinks": sinks, "limits": {"ch0": {"high": 40_000}}}
    running = lab.start(topology, "--metrics", f"127.0.0.1:{beside}")
    running.wait_for_samples("table", 500)
    port = free_port()
    serving = lab.run("metrics", str(running.folder), "--port", str(port))
    url = f"http://127.0.0.1:{port}"
    lab.wait_for(lambda: "dtopipe_samples_total" in _served(f"http://127.0.0.1:{beside}/metrics"), "metrics of the run")
    lab.wait_for(lambda: _served(f"{url}/metrics"), "metrics beside it")
    text = _got(f"{url}/metrics")[1]
    assert _got(f"{url}/healthz") == (200, '{"healthy": true, "why": []}')
    assert _got(f"{url}/run.json")[0] == 404
    values = {name: float(value) for name, value in re.findall(r"^([^#].*) (\S+)$", text, re.MULTILINE)}
    assert values['dtopipe_samples_total{run="lab"}'] >= 500
    assert values['dtopipe_sink_committed_samples{run="lab",sink="table"}'] >= 500
    assert values['dtopipe_sink_state{run="lab",sink="table",state="running"}'] == 1
    assert values['dtopipe_process_resident_memory_bytes{process="sink table",run="lab"}'] > 1e6
    for sink in sinks:
        of_sink = f'{{run="lab",sink="{sink}"}}'
        counted = values[f"dtopipe_sink_samples_total{of_sink}"] + values[f"dtopipe_sink_gap_samples_total{of_sink}"]
        assert counted == values[f"dtopipe_sink_committed_samples{of_sink}"]
    _check_dashboard({name.partition("{")[0] for name in values})
    if shutil.which("promtool"):
        checked = subprocess.run(
            ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    running.interrupt()
    running.finish()
    # It ends with the run.
    assert serving.finish().code == 0


def _check_dashboard(names: set[str]) -> None:
    """Every name in an expression is that of a metric that exists."""
    document = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    expressions = [target["expr"] for panel in document["panels"] for target in panel["targets"]]
    assert len(expressions) > 10
    used = {name for text in expressions for name in re.findall(r"dtopipe_\w+", text)}
    assert used <= names, used - names
