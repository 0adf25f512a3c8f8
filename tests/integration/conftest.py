"""The fixture of the whole runs."""

from laboratory import lab

__all__ = ["lab"]
