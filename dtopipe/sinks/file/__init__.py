"""What all outputs that are files have in common: their commit records, holes, and absence."""
