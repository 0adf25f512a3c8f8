"""Starts, watches, restarts and stops the others; never touches a sample."""
