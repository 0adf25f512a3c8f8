"""Where a reader's blocks come from: ring, journal, or a queue of its own; for workers and for programs alike."""
