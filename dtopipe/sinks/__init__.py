"""Durable destinations: one file a sink."""
