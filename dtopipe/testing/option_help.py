"""Whether the options of a plug-in's class can be found by who writes a topology."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel


def told_options(options: Any) -> type[BaseModel]:
    """The model of the options, each of which says what it does. Skips the test of a class that has none."""
    if options is None:
        pytest.skip("it has no Options: `dtopipe sinks` and `dtopipe boards` can show no help of them")
    assert isinstance(options, type), "Options is a class"
    assert issubclass(options, BaseModel), "Options is a pydantic model"
    silent = [name for name, field in options.model_fields.items() if not field.description]
    assert not silent, f"without a description: {', '.join(silent)}"
    return options
