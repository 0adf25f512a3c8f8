"""A file that only its owner can read, where the mode that it is made with does not see to that."""

from __future__ import annotations

import sys
from pathlib import Path

if sys.platform == "win32":
    import ctypes

    # Full control for the owner, the system and administrators, and nothing inherited from the folder; the words are
    # Microsoft's "Security Descriptor String Format".
    _OWNER_ALONE = "D:P(A;;FA;;;OW)(A;;FA;;;SY)(A;;FA;;;BA)"
    _VERSION, _ACCESS_LIST = 1, 4

    def keep_private(path: Path) -> None:
        """Nobody else may open this file from now on. Raises OSError, also where the disk knows no owners."""
        security = ctypes.WinDLL("advapi32", use_last_error=True)
        descriptor = ctypes.c_void_p()
        made = security.ConvertStringSecurityDescriptorToSecurityDescriptorW(
            _OWNER_ALONE, _VERSION, ctypes.byref(descriptor), None
        )
        if not made:
            raise ctypes.WinError(ctypes.get_last_error())
        try:
            if not security.SetFileSecurityW(str(path), _ACCESS_LIST, descriptor):
                raise ctypes.WinError(ctypes.get_last_error())
        finally:
            ctypes.WinDLL("kernel32").LocalFree(descriptor)

    def others_may_read(mode: int) -> bool:
        """The mode of a file says nothing of it there."""
        return False

else:
    import stat

    def keep_private(path: Path) -> None:
        """Nothing need be done: it was made with a mode that says so."""

    def others_may_read(mode: int) -> bool:
        """True if a file of this mode is not its owner's alone."""
        return bool(stat.S_IMODE(mode) & 0o077)
