"""The raw output that other sinks catch up from."""
