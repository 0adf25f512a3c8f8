"""Runs as messages in a stream of a NATS server."""
