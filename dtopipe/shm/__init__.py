"""The ring in shared memory."""
