"""What a tail's name ends in; importable without numpy."""

TAIL_SUFFIX = ".tail"
