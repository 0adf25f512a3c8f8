"""Outputs in parts, each of them a whole output of its type."""
