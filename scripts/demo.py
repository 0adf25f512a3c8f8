"""A first run, from nothing: `python3 scripts/demo.py` makes an environment, runs the quickstart, shows its files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from environment import ROOT, EnvironmentFailed, ensure, say, suitable_python

TOPOLOGY = Path("topologies") / "quickstart.yaml"
LATEST = ROOT / "runs" / "quickstart" / "latest"

# How to look at an output of each type; {python} has pandas' and Arrow's readers only where they are installed.
LOOK = {
    "hbuf": '"{python}" -m dtopipe convert "{path}" --to csv --path again.csv',
    "csv": "open it in a text editor or a spreadsheet: {path}",
    "jsonl": "open it in a text editor: {path}",
    "sqlite": 'sqlite3 "{path}" "SELECT * FROM samples LIMIT 5"\n'
    '              or: "{python}" -c "import sqlite3; '
    "print(*sqlite3.connect(r'{path}').execute('SELECT * FROM samples LIMIT 5'), sep='\\n')\"",
    "parquet": '"{python}" -c "import pyarrow.parquet; print(pyarrow.parquet.read_table(r\'{path}\').slice(0, 5))"\n'
    "              or with pandas: pandas.read_parquet(r'{path}')",
}


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
    print(f"\nThe run is in {folder.relative_to(ROOT)}. Look at it, from {ROOT}:\n")
    for name, sink in record["sinks"].items():
        path = (folder / sink["path"]).relative_to(ROOT)
        print(f"  {name:<10}  {LOOK.get(sink['type'], '{path}').format(path=path, python=python.relative_to(ROOT))}")
    print(f'\n  recount it  "{python.relative_to(ROOT)}" -m dtopipe verify quickstart/latest\n')


if __name__ == "__main__":
    sys.exit(main())
