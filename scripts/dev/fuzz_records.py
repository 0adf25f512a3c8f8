"""Thousands of run folders as a stranger may have made them, and the commands that look at runs and mend them.

    python scripts/dev/fuzz_records.py --count 10000 --seed 7
    python scripts/dev/fuzz_records.py --case 7/123      one case again, with what was spoilt

Each case copies a small real run, spoils something in it (values of run.json, paths, ids, commit records whose
checksums fit, headers, lines, links, pipes, entries of the runtime folder, bytes), and calls `runs`, `status`,
`verify`, `repair` and `stop` on it, in this process. Files outside of the run folder are canaries: that one is opened,
changed or deleted breaks a promise, and so does a connection, a traceback, a steering character on the terminal, and
a command that does not end. Exit code 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "records"))


def main() -> int:
    """Play the cases, in as many processes as there are cores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--case", help="only this one, as it is named where it failed")
    parser.add_argument("--without-entries", action="store_true", help="leave the runtime folder as it is")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--part", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case or options.part is not None or options.jobs == 1:
        return _play(options)
    began = time.monotonic()
    parts = [
        subprocess.Popen([sys.executable, __file__, *sys.argv[1:], "--part", str(part)]) for part in range(options.jobs)
    ]
    code = max(part.wait() for part in parts)
    print(f"{options.count} cases of seed {options.seed} in {time.monotonic() - began:.0f} s: "
          f"{'promises were BROKEN' if code else 'every promise was kept'}")  # fmt: skip
    return code


def _play(options: argparse.Namespace) -> int:
    from strange_runs import HUNG_S, Watch, World, case, make_base

    memory = Path("/dev/shm")
    where = str(memory) if memory.is_dir() else None
    kinds: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="dtp-fuzz-", dir=where) as folder:
        base = make_base(Path(folder) / "of")
        world, watch = World(Path(folder) / "w"), Watch()
        part = options.part or 0
        step = 1 if options.part is None else options.jobs
        seeds = [options.case] if options.case else [f"{options.seed}/{n}" for n in range(part, options.count, step)]
        for seed in seeds:
            # What hangs in a library hears no alarm.
            faulthandler.dump_traceback_later(10 * HUNG_S, exit=True)
            told = threading.Timer(9 * HUNG_S, print, (f"--case {seed}: it hangs",), {"flush": True})
            told.daemon = True
            told.start()
            done, broken = case(world, base, watch, seed, with_entries=not options.without_entries)
            told.cancel()
            if options.case:
                print(f"{seed}: {done}")
            if broken:
                kinds[broken[0].partition(":")[2].strip().splitlines()[-1][:100]] += 1
                lines = "\n".join(broken).splitlines()
                print(f"--case {seed}: {done}", *(f"    {line}" for line in lines), sep="\n", flush=True)
    for kind, times in kinds.most_common():
        print(f"{times} x {kind}")
    if options.part is None:
        print(f"{len(seeds)} cases of seed {options.seed}: {sum(kinds.values())} broke a promise")
    return 1 if kinds else 0


if __name__ == "__main__":
    sys.exit(main())
