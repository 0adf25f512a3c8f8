"""What goes to stdout."""

from __future__ import annotations

from typing import Any

import click

from dtopipe.model.shown import json_text


def print_json(document: Any) -> None:
    """One JSON document on stdout; everything else of the command goes to stderr."""
    click.echo(json_text(document, indent=2))
