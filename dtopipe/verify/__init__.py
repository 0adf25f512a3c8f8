"""Afterwards: counts, compares and converts what a run has written; never touches the run."""
