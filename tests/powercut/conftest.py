"""The fixtures of the power cuts."""

from power_cut_fixtures import apart, bench, needs_fuse

__all__ = ["apart", "bench", "needs_fuse"]
