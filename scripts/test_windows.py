"""Runs what can be run of Windows on Linux: `python3 scripts/test_windows.py [PART ...]`.

    python3 scripts/test_windows.py kills --runs 30 --seed 7

A real Windows Python under wine, made in .venv-windows by itself: unit tests, and whole runs as people make them. It is
wine, and no Windows: README says what that cannot prove. Where wine cannot be had it says so; with CI=true that fails.
"""

from __future__ import annotations

import argparse
import os
import pty
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from environment import EnvironmentFailed, say
from windows_environment import NoWine, Windows, windows
from windows_links import cut_links
from windows_postgres import a_database_here

_UNITS = (("core", "model", "wire", "intake", "shm", "host"), ("topology", "cli", "repair/test_refilling.py"))
# With the reason, which is wine's or the test's own.
_NOT_HERE = {
    # It has links, which nobody there sees as links.
    "link": (
        "host/test_recorded_path.py",
        "host/test_run_record.py::test_a_link_in_a_records_place_is_nobody_elses_record_and_not_looked_at",
        "host/test_runtime_entries.py::test_what_somebody_put_into_an_entry_stays",
        "cli/test_bad_input.py::test_two_names_of_one_file_are_one_file",
    ),
    # The name of an output is one that Windows cannot have, and is refused.
    "names": ("topology/test_graph.py",),
    # They kill, or speak by Unix sockets, by name.
    "POSIX": (
        "host/test_runtime_entries.py::test_an_entry_whose_maker_lives_is_left_to_it_and_goes_once_that_was_killed",
        "host/test_runtime_entries.py::test_entries_come_and_go_while_others_recover",
        "shm/test_stress.py::test_no_wake_up_is_lost_and_no_read_is_torn_between_real_processes",
    ),
    # Windows tells the size of no mapping, and keeps none without a handle.
    "memory": (
        "shm/test_layout.py::test_what_is_no_ring_is_not_attached_to",
        "shm/test_segment.py::test_what_one_mapping_writes_another_reads",
        "shm/test_segment.py::test_another_process_that_comes_and_goes_leaves_the_segment_as_it_is",
    ),
    # They take a file away that is open, or name a program, or a path as long, as only POSIX has it.
    "files": (
        "intake/test_journal_reader.py::test_a_segment_whose_header_is_damaged_is_passed_over_as_a_damaged_chunk_is",
        "intake/test_journal_reader.py::test_only_a_file_that_was_taken_out_of_its_folder_is_deleted",
        "topology/test_limits_and_commands.py::test_a_command_is_found_beside_the_topology_or_on_the_path",
        "topology/test_limits_and_commands.py::test_a_mistake_in_commands",
        "cli/test_bad_input.py::test_a_path_that_the_system_refuses_to_look_at_is_refused",
    ),
    # Servers of NATS are Linux's.
    "NATS": ("cli/test_runs_there.py",),
    # It draws boxes with other signs.
    "console": ("cli/test_whole_table.py::test_a_table_that_fits_is_shown_whole",),
}  # fmt: skip
_UNIT_LIMIT_S, _SCENES_LIMIT_S, _CONSOLE_LIMIT_S = 900.0, 900.0, 120.0
# Of one run.
_KILLS_LIMIT_S = 240.0
_CTRL_C = b"\x03"
# What stands in one line runs one after the other, beside the other line: a small machine has two cores, and whole runs
# wait for most of their time. Both are about as long.
_LINES = (("scenes", "kills"), ("postgres", "console", "links", "unit"))
_PARTS = [part for line in _LINES for part in line]


def unit_tests(there: Windows) -> bool:
    """True if those passed that need no process of a run."""
    tests = [each for some in _NOT_HERE.values() for each in some]
    # A whole file may not even be imported.
    skipped = [f"--deselect=tests/{each}" if "::" in each else rf"--ignore=C:\dtopipe\tests\{each}" for each in tests]
    passed = True
    for folders in _UNITS:
        code, said = there.run(
            "-P", "-m", "pytest", "--quiet", "-p", "no:cacheprovider", "--timeout-method=thread",
            "--rootdir", r"C:\dtopipe", "-c", r"C:\dtopipe\pyproject.toml", *skipped,
            *(rf"C:\dtopipe\tests\{folder}" for folder in folders), limit_s=_UNIT_LIMIT_S,
        )  # fmt: skip
        print(f"== {', '.join(folders)}\n{said if code else said[-1500:]}", flush=True)
        passed = passed and code == 0
    return passed


def whole_runs(there: Windows) -> bool:
    """True if the scenes passed."""
    return there.shown("-P", r"C:\dtopipe\scripts\windows_scenes.py", limit_s=_SCENES_LIMIT_S) == 0


def runs_under_kills(there: Windows, runs: int, seed: int | None) -> bool:
    """True if runs whose processes were killed at random left what they promise."""
    words = ["--runs", str(runs), *(() if seed is None else ("--seed", str(seed)))]
    script = r"C:\dtopipe\scripts\windows_kills.py"
    return there.shown("-P", script, *words, limit_s=60 + runs * _KILLS_LIMIT_S) == 0


def ctrl_c_in_a_console(there: Windows) -> bool:
    """True if a run with its live table in a console ends in order by Ctrl-C, and at once by a second one."""
    repair = ("-P", "-m", "dtopipe", "repair", "quickstart/latest")
    once = _is_ended_by_ctrl_c(there, "quickstart.yaml", times=1, code=0, verdict="GOOD")
    twice = _is_ended_by_ctrl_c(
        there, "quickstart.yaml", "--set", "sinks.table.delay_per_block=300ms", times=2, code=4, verdict="DEGRADED"
    )
    code, said = there.run(*repair, limit_s=_CONSOLE_LIMIT_S) if twice else (0, "")
    if code:
        print(f"FAILED: {' '.join(repair)}, exit code {code}\n{said}", flush=True)
    return once and twice and code == 0


def _is_ended_by_ctrl_c(there: Windows, topology: str, *words: str, times: int, code: int, verdict: str) -> bool:
    """Typed once the run goes on, and again once it ends in order."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        there.command("-P", "-m", "dtopipe", "up", rf"C:\dtopipe\topologies\{topology}", "--duration", "10min", *words),
        cwd=there.work, env={**there.environment, "TERM": "xterm"}, stdin=its, stdout=its, stderr=its,
        start_new_session=True, preexec_fn=_own_terminal,
    )  # fmt: skip
    os.close(its)
    said = bytearray()

    def read() -> None:
        while True:
            try:
                said.extend(os.read(ours, 65536))
            except OSError:
                return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    deadline = time.monotonic() + _CONSOLE_LIMIT_S
    waited_for = [b"running", b"draining"][:times]
    while process.poll() is None and time.monotonic() < deadline:
        if waited_for and waited_for[0] in said:
            # A slow sink is to be behind by more than it makes good at once.
            time.sleep(3 if len(waited_for) > 1 else 0)
            del waited_for[0]
            os.write(ours, _CTRL_C)
        time.sleep(0.1)
    if process.poll() is None:
        process.kill()
    process.wait()
    reader.join(5)
    os.close(ours)
    is_good = process.returncode == code and verdict.encode() in said
    what = f"Ctrl-C in a console, {times} times: exit code {process.returncode}"
    print(f"{'passed' if is_good else 'FAILED'}: {what}", flush=True)
    if not is_good:
        print(bytes(said[-3000:]).decode(errors="replace"), flush=True)
    return is_good


def _own_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _is_passed(name: str, part: Callable[[Windows], bool], there: Windows) -> bool:
    say(f"{name}, in Windows' Python under wine ...")
    began = time.monotonic()
    try:
        passed = part(there)
    except subprocess.TimeoutExpired as error:
        print(f"FAILED: {name} took more than {error.timeout:g} s", flush=True)
        passed = False
    say(f"{name} took {time.monotonic() - began:.0f} s")
    return passed


def main() -> int:
    """0 if all that was wanted passed, or there is no wine and nobody insists."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(_PARTS)}; without one, all")
    parser.add_argument("--runs", type=int, default=3, help="of part kills")
    parser.add_argument("--seed", type=int, help="of part kills")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(_PARTS):
        parser.error(f"{', '.join(sorted(unknown))}: there are {', '.join(_PARTS)}")
    parts: dict[str, Callable[[Windows], bool]] = {
        "scenes": whole_runs,
        "kills": lambda there: runs_under_kills(there, options.runs, options.seed),
        "console": ctrl_c_in_a_console,
        "links": cut_links,
        "postgres": a_database_here,
        "unit": unit_tests,
    }
    began = time.monotonic()
    failed = set(options.parts or _PARTS)
    try:
        with windows() as there:

            def run(names: tuple[str, ...]) -> None:
                for name in names:
                    if (not options.parts or name in options.parts) and _is_passed(name, parts[name], there):
                        failed.discard(name)

            threads = [threading.Thread(target=run, args=(line,)) for line in _LINES]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    except NoWine as error:
        say(f"{error}: nothing was tested on Windows' Python")
        return 1 if os.environ.get("CI", "").lower() == "true" else 0
    except EnvironmentFailed as error:
        print(error, file=sys.stderr)
        return 1
    how = f"FAILED: {', '.join(sorted(failed))}" if failed else "Windows' Python under wine: all passed"
    print(f"{how} ({(time.monotonic() - began) / 60:.1f} min)", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
