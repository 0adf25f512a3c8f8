"""A run as numbers for monitoring: what Prometheus scrapes, and whether it is well. Functions, and a small server."""
