"""Recorded runs as numbers in a program: lazily, from any output, by index, time or mark."""
