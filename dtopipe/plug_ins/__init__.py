"""Packages to start a plug-in from."""
