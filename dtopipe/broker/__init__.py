"""One connection to a NATS server, and the log that it keeps: for sinks, boards and commands alike."""
