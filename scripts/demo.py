"""A first run, from nothing: `python3 scripts/demo.py` makes an environment, runs the quickstart, shows its files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from environment import ROOT, EnvironmentFailed, ensure, say, suitable_python

TOPOLOGY = Path("topologies") / "quickstart.yaml"
LATEST = ROOT / "runs" / "quickstart" / "latest"


def main() -> int:
    """Returns the exit code of the run's verdict: 0 is GOOD."""
    try:
        python = ensure(".venv", suitable_python(), {"parquet"})
    except EnvironmentFailed as error:
        print(error, file=sys.stderr)
        return 1
    say(f"dtopipe up {TOPOLOGY}")
    run = subprocess.Popen([str(python), "-m", "dtopipe", "up", str(TOPOLOGY)], cwd=ROOT)
    while True:
        try:
            code = run.wait()
            break
        except KeyboardInterrupt:
            # The run hears the same Ctrl-C, and ends in order.
            continue
    if code in (1, 2):
        return code
    folder = LATEST.parent / LATEST.read_text(encoding="utf-8").strip()
    show_outputs(folder, python)
    return code


def show_outputs(folder: Path, python: Path) -> None:
    """How to open each file of the run with the tools that are there."""
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    told = subprocess.check_output([str(python), "-m", "dtopipe", "sinks", "--json"], cwd=ROOT)
    look = {entry["name"]: entry["look"] or "{path}" for entry in json.loads(told)}
    # Without a quote around it, which PowerShell would take for a text; it has no blank in it.
    inside = python.relative_to(ROOT)
    print(f"\nThe run is in {folder.relative_to(ROOT)}. Look at it, from {ROOT}:\n")
    for name, sink in record["sinks"].items():
        path = (folder / sink["path"]).relative_to(ROOT)
        words = look[sink["type"]].format(path=path, python=inside).replace(f'"{inside}"', str(inside))
        print(f"  {name:<10}  {words.replace(chr(10), chr(10) + ' ' * 14)}")
    print(f"\n  recount it  {inside} -m dtopipe verify quickstart/latest\n")


if __name__ == "__main__":
    sys.exit(main())
