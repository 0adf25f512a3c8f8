"""Whether the options of a plug-in's class can be found by who writes a topology."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel


def assert_told(made: Any) -> type[BaseModel]:
    """Each option of its `Options` says what it does. Skips the test of a class that has none."""
    options = getattr(made, "Options", None)
    if options is None:
        pytest.skip("its class has no Options: `dtopipe sinks` and `dtopipe boards` can show no help of them")
    assert isinstance(options, type), "Options is a class"
    assert issubclass(options, BaseModel), "Options is a pydantic model"
    silent = [name for name, field in options.model_fields.items() if not field.description]
    assert not silent, f"without a description: {', '.join(silent)}"
    assert (made.__doc__ or "").strip(), "the first line of the class's docstring stands in the list of types"
    return options
