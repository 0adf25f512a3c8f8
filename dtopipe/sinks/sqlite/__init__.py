"""Tables of a SQLite file."""
