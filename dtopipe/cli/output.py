"""What goes to stdout."""

from __future__ import annotations

import json
from typing import Any

import click


def print_json(document: Any) -> None:
    """One JSON document on stdout; everything else of the command goes to stderr."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, default=str))
