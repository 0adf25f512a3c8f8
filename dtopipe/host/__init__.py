"""Facts of this machine: clocks, OS locks, the user's runtime folder."""
