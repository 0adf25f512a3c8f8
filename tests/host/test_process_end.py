"""How a process ended is said in words, on the system that it ended on."""

from __future__ import annotations

import pytest

from dtopipe.host.process_end import words_of_exit


@pytest.mark.parametrize(
    ("code", "of_windows", "words"),
    [
        (0, False, ""),
        (-9, False, "was killed by SIGKILL"),
        (9, False, "ended with exit code 9"),
        (0, True, ""),
        (9, True, "was killed (exit code 9)"),
        (1, True, "was killed, or failed before it could say why (exit code 1)"),
        (3, True, "ended with exit code 3"),
        (0xC0000005, True, "was ended by Windows: it touched memory that is not its own"),
        (0xC0000005 - 2**32, True, "was ended by Windows: it touched memory that is not its own"),
    ],
)
def test_an_exit_code_is_read_as_its_system_means_it(code: int, of_windows: bool, words: str) -> None:
    if code != -9 or hasattr(__import__("signal"), "SIGKILL"):
        assert words_of_exit(code, of_windows=of_windows) == words
