"""From a YAML file to a plan: every mistake at once, each with its place and the way out."""
