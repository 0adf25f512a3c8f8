"""Refills outputs of an ended run from wherever else its samples are."""
