"""`python -m dtopipe`, which imports nothing that lies in the current folder by chance."""

import os
import sys
from pathlib import Path


def _leave_current_folder() -> None:
    """Python has put the current folder before its own modules, where a `signal.py` of the user's would be taken.

    Where it is a checkout that is not installed, our own modules come from there, in every process of a run.
    """
    if sys.flags.safe_path or not sys.path:
        return
    here = sys.path.pop(0)
    if not any(Path(folder, "dtopipe", "__main__.py").is_file() for folder in sys.path):
        sys.path.append(here)
        known = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join([known, here] if known else [here])


if __name__ == "__main__":
    _leave_current_folder()
    from dtopipe.cli.main import main

    main(prog_name="dtopipe")
