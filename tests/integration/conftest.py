"""The fixtures of the whole runs."""

from laboratory import lab
from machines import cable, daq, office, port

__all__ = ["cable", "daq", "lab", "office", "port"]
