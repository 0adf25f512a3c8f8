"""The topology that `dtopipe init` writes."""

from __future__ import annotations

from importlib.resources import files

STARTER = files(__package__).joinpath("starter.yaml").read_text(encoding="utf-8")
