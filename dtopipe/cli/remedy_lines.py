"""What to type about a run that is not good, as a terminal shows it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from dtopipe.verify.remedy import remedy_of


def print_remedy(console: Console, record: Mapping[str, Any], folder: Path) -> None:
    """A line below the verdict of a run that is not good."""
    remedy = remedy_of(record, folder)
    if remedy is not None:
        console.print(remedy.text, soft_wrap=True, highlight=False, markup=False)
