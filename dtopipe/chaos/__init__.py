"""A topology under faults, injected for real, and held to what was promised."""
