"""Sources of samples: one file a board."""
