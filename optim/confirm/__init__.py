"""Confirmation of the front on held-out examples."""
