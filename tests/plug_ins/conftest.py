"""The tests of a plug-in run in its own package: test_lsl_package.py starts them."""

from __future__ import annotations

collect_ignore = ["lsl"]
