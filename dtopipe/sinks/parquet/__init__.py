"""Parquet files, and the tail in which rows wait for their group."""
