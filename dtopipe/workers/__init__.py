"""The processes that touch samples: wiring only."""
