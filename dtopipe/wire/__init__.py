"""Bytes to model and back; PROTOCOL.md beside this file specifies them."""
