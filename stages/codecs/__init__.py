"""Codecs: one module for each kind of value."""
