"""The fixtures of the strange runs, which want a system that has pipes with names."""

import os

from strange_run_fixtures import base, dtopipe, hearing, run, watch, world

__all__ = ["base", "dtopipe", "hearing", "run", "watch", "world"]

if not hasattr(os, "mkfifo"):
    collect_ignore_glob = ["test_strange_runs.py"]
