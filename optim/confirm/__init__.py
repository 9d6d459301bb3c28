"""Confirmation of the front on held-out examples.

This decides which team is measured next; blocks are not run here but in ``orkester.optim.session``.
"""
