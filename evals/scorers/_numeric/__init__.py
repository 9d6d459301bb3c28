"""Reads the number that an answer gives; see docs/scorers.md. ``numeric`` is the scorer."""
