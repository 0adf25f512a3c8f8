"""What root does to another user's run is done as that user, so that every file of it stays theirs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from dtopipe.host.identity import who_is_here
from dtopipe.host.run_folder import RunFolder
from dtopipe.host.run_lock import read_mark
from dtopipe.host.users import place_of
from dtopipe.model.errors import UsageError


def go_on_as_owner(folder: RunFolder) -> None:
    """Does nothing for one's own run. For root and another user's: types the same command as that user, and ends.

    Raises UsageError if that user cannot run it.
    """
    if not who_is_here().is_root:
        return
    seen = folder.path.stat()
    mark = read_mark(folder.path)
    user_id, group_id = seen.st_uid, seen.st_gid
    if user_id == 0 or (mark is not None and mark.maker.user_id == 0):
        return
    name, home, groups = place_of(user_id, group_id)
    group_id = groups[0]
    environment = {key: value for key, value in os.environ.items() if key not in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME")}
    environment |= {"HOME": home}
    command = [sys.executable, "-P", "-m", "dtopipe", *sys.argv[1:]]
    try:
        done = subprocess.run(
            command, user=user_id, group=group_id, extra_groups=groups, env=environment, check=False
        )  # fmt: skip
    except OSError as error:
        raise UsageError(
            f"{folder.path} is a run of {name}, who cannot run {Path(sys.executable)}: {error.strerror}",
            f"let them type, or type: sudo -u {name} dtopipe {' '.join(sys.argv[1:])}",
        ) from error
    sys.exit(done.returncode)
