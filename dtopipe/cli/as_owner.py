"""What root does to another user's run is done as that user, so that every file of it stays theirs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from dtopipe.host.run_folder import RunFolder
from dtopipe.host.run_lock import read_mark
from dtopipe.model.errors import UsageError


def go_on_as_owner(folder: RunFolder) -> None:
    """Does nothing for one's own run. For root and another user's: types the same command as that user, and ends.

    Raises UsageError if that user cannot run it.
    """
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return
    seen = folder.path.stat()
    mark = read_mark(folder.path)
    user_id, group_id = seen.st_uid, seen.st_gid
    if user_id == 0 or (mark is not None and mark.maker.user_id == 0):
        return
    import pwd

    try:
        known = pwd.getpwuid(user_id)
        name, group_id, home = known.pw_name, known.pw_gid, known.pw_dir
        groups = os.getgrouplist(name, group_id)
    except KeyError:
        # A user of a container may have no name.
        name, home, groups = f"'#{user_id}'", "/", [group_id]
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
