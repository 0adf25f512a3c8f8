"""A YAML file becomes a plan: every mistake is told at once, each with its place and the way out."""
