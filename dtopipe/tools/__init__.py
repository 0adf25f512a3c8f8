"""Tools for programs."""
