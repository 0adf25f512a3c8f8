"""Names of objects that are imported only once they are needed: `module:name`, as entry points write them."""

from __future__ import annotations

from importlib import import_module
from typing import Any, TypeAlias

Reference: TypeAlias = str


def referred(reference: Reference) -> Any:
    """The object of that name. Raises what its module raises, ImportError and AttributeError among them."""
    module, _, name = reference.partition(":")
    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found
