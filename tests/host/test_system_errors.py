"""What Windows says of a file is understood as POSIX says it; a file that somebody reads is replaced all the same."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from dtopipe.host import system_errors
from dtopipe.host.system_errors import meaning_of, patiently, replace_file


def of_windows(number: int, vague: int = errno.EACCES) -> OSError:
    error = OSError(vague, "as its C library says")
    # POSIX's OSError has no such attribute, and takes any.
    error.winerror = number  # type: ignore[attr-defined, unused-ignore]
    return error


@pytest.mark.parametrize(
    ("number", "means"),
    [
        (32, errno.EBUSY),
        (33, errno.EBUSY),
        (19, errno.EROFS),
        (21, errno.EIO),
        (112, errno.ENOSPC),
        (53, errno.EHOSTUNREACH),
        (64, errno.EHOSTUNREACH),
        (5, errno.EACCES),
    ],
)
def test_a_number_of_windows_means_what_posix_says_of_the_same(tmp_path: Path, number: int, means: int) -> None:
    assert meaning_of(of_windows(number), tmp_path / "a.csv") == means


def test_where_there_is_no_number_the_system_is_asked_about_what_is_vague(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system_errors, "_number_of", lambda path, vague: 33)
    assert meaning_of(OSError(errno.EACCES, "denied"), tmp_path) == errno.EBUSY
    assert meaning_of(OSError(errno.ENOSPC, "full"), tmp_path) == errno.ENOSPC


def test_what_passes_by_itself_is_waited_for_and_what_does_not_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_errors, "_may_pass", lambda error: True)
    refusals = [PermissionError(errno.EACCES, "held"), PermissionError(errno.EACCES, "held")]

    def refused_twice() -> str:
        if refusals:
            raise refusals.pop()
        return "done"

    assert patiently(refused_twice) == "done"

    def refused() -> None:
        raise PermissionError(errno.EACCES, "held")

    with pytest.raises(PermissionError):
        patiently(refused, patience_s=0)


def test_a_draft_takes_the_place_of_a_file(tmp_path: Path) -> None:
    draft, place = tmp_path / "draft", tmp_path / "place"
    draft.write_text("new")
    place.write_text("old")
    replace_file(draft, place)
    assert (place.read_text(), draft.exists()) == ("new", False)
