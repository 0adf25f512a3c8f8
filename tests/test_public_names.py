"""What a program sees of the package."""

from __future__ import annotations

import dtopipe
import dtopipe.sinks


def test_dir_shows_what_programs_may_use_and_nothing_else() -> None:
    assert {"subscribe", "record", "open_device", "sync", "DtopipeError"} <= set(dir(dtopipe))
    for package in (dtopipe, dtopipe.sinks):
        assert dir(package) == sorted(package.__all__)
        assert all(getattr(package, name) is not None for name in dir(package))
