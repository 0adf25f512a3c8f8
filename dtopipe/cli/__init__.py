"""Commands; the only importer of click."""
