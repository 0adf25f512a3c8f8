"""A private file is read by its owner, and by nobody else of the machine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dtopipe.host.private_file import keep_private, others_may_read


@pytest.mark.skipif(sys.platform != "win32", reason="elsewhere the mode says it")
def test_on_windows_nobody_else_may_open_it(tmp_path: Path) -> None:
    path = tmp_path / "private.key"
    path.write_text("half of a secret")
    keep_private(path)
    assert not {"WD", "BU", "AU"} & set(_who_may(path))
    assert path.read_text() == "half of a secret"
    path.replace(tmp_path / "moved.key")
    assert not {"WD", "BU", "AU"} & set(_who_may(tmp_path / "moved.key"))


@pytest.mark.skipif(sys.platform == "win32", reason="there a list says it")
@pytest.mark.parametrize(("mode", "is_open"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)])
def test_elsewhere_the_mode_says_it(mode: int, is_open: bool, tmp_path: Path) -> None:
    path = tmp_path / "private.key"
    path.touch()
    path.chmod(mode)
    keep_private(path)
    assert path.stat().st_mode & 0o777 == mode
    assert others_may_read(path.stat().st_mode) is is_open


if sys.platform == "win32":
    import ctypes

    def _who_may(path: Path) -> list[str]:
        """Those whom its list of access names, as Windows writes them: `WD` is everybody."""
        security = ctypes.WinDLL("advapi32", use_last_error=True)
        size = ctypes.c_ulong()
        security.GetFileSecurityW(str(path), 4, None, 0, ctypes.byref(size))
        descriptor, text = ctypes.create_string_buffer(size.value), ctypes.c_wchar_p()
        assert security.GetFileSecurityW(str(path), 4, descriptor, size, ctypes.byref(size))
        assert security.ConvertSecurityDescriptorToStringSecurityDescriptorW(descriptor, 1, 4, ctypes.byref(text), None)
        assert text.value
        return [entry.rstrip(")").split(";")[5] for entry in text.value.split("(")[1:]]

else:

    def _who_may(path: Path) -> list[str]:
        raise NotImplementedError
