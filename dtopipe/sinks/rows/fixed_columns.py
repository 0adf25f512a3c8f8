"""Columns that outputs have besides those of the channels, under whatever layout."""

FIXED_COLUMNS = ("sample_index", "t_mono_ns", "t_utc", "t_utc_ns", "run")
