"""A run as a stream of NATS servers keeps it, followed by a consumer of ours."""
