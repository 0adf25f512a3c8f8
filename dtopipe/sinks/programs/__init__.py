"""Sinks for programs, which write blocks and readings of their own."""
