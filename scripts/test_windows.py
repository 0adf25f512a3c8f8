"""Runs what can be run of Windows on Linux: `python3 scripts/test_windows.py [scenes|console|links|unit ...]`.

A real Windows Python under wine, made in .venv-windows by itself: unit tests, and whole runs as people make them. It is
wine, and no Windows: README says what that cannot prove. Where wine cannot be had it says so; with CI=true that fails.
"""

from __future__ import annotations

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

# Two at a time, each about as long: a small machine has two cores.
_UNITS = (("core", "model", "wire", "intake", "shm", "host"), ("topology", "cli"))
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
    # It draws boxes with other signs.
    "console": ("cli/test_whole_table.py::test_a_table_that_fits_is_shown_whole",),
}  # fmt: skip
_UNIT_LIMIT_S, _SCENES_LIMIT_S, _CONSOLE_LIMIT_S = 600.0, 360.0, 90.0
_CTRL_C = b"\x03"


def unit_tests(there: Windows) -> bool:
    """True if those passed that need no process of a run."""
    skipped = [f"--deselect=tests/{each}" for tests in _NOT_HERE.values() for each in tests]
    outcome: list[bool] = []

    def run(folders: tuple[str, ...]) -> None:
        code, said = there.run(
            "-P", "-m", "pytest", "--quiet", "-p", "no:cacheprovider", "--timeout-method=thread",
            "--rootdir", r"C:\dtopipe", "-c", r"C:\dtopipe\pyproject.toml", *skipped,
            *(rf"C:\dtopipe\tests\{folder}" for folder in folders), limit_s=_UNIT_LIMIT_S,
        )  # fmt: skip
        print(f"== {', '.join(folders)}\n{said if code else said[-1500:]}", flush=True)
        outcome.append(code == 0)

    threads = [threading.Thread(target=run, args=(folders,)) for folders in _UNITS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcome == [True] * len(_UNITS)


def whole_runs(there: Windows) -> bool:
    """True if the scenes passed."""
    code, said = there.run("-P", r"C:\dtopipe\scripts\windows_scenes.py", limit_s=_SCENES_LIMIT_S)
    print(said, flush=True)
    return code == 0


def ctrl_c_in_a_console(there: Windows) -> bool:
    """True if a run with its live table in a console ends in order by Ctrl-C."""
    ours, its = pty.openpty()
    words = ("-P", "-m", "dtopipe", "up", r"C:\dtopipe\topologies\quickstart.yaml", "--duration", "10min")
    process = subprocess.Popen(
        there.command(*words), cwd=there.work, env={**there.environment, "TERM": "xterm"},
        stdin=its, stdout=its, stderr=its, start_new_session=True,
        preexec_fn=_own_terminal,
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
    is_typed = False
    while process.poll() is None and time.monotonic() < deadline:
        if not is_typed and b"running" in said:
            os.write(ours, _CTRL_C)
            is_typed = True
        time.sleep(0.1)
    if process.poll() is None:
        process.kill()
    process.wait()
    reader.join(5)
    os.close(ours)
    is_good = process.returncode == 0 and b"GOOD" in said
    print(f"{'passed' if is_good else 'FAILED'}: Ctrl-C in a console, exit code {process.returncode}", flush=True)
    if not is_good:
        print(bytes(said[-3000:]).decode(errors="replace"), flush=True)
    return is_good


def _own_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


_PARTS: dict[str, Callable[[Windows], bool]] = {
    "scenes": whole_runs,
    "console": ctrl_c_in_a_console,
    "links": cut_links,
    "unit": unit_tests,
}


def main(wanted: list[str]) -> int:
    """0 if all that was wanted passed, or there is no wine and nobody insists."""
    if unknown := set(wanted) - _PARTS.keys():
        print(f"{', '.join(sorted(unknown))}: there are {', '.join(_PARTS)}", file=sys.stderr)
        return 2
    failed = []
    try:
        with windows() as there:
            for name, part in _PARTS.items():
                if wanted and name not in wanted:
                    continue
                say(f"{name}, in Windows' Python under wine ...")
                try:
                    if not part(there):
                        failed.append(name)
                except subprocess.TimeoutExpired as error:
                    print(f"FAILED: {name} took more than {error.timeout:g} s", flush=True)
                    failed.append(name)
    except NoWine as error:
        say(f"{error}: nothing was tested on Windows' Python")
        return 1 if os.environ.get("CI", "").lower() == "true" else 0
    except EnvironmentFailed as error:
        print(error, file=sys.stderr)
        return 1
    print(f"FAILED: {', '.join(failed)}" if failed else "Windows' Python under wine: all passed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
