"""The study file: reading it, checking it, and the space of teams that it describes.

No engine is started here, and nothing is written.
"""
