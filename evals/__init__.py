"""Measurement: tasks, the block runner, what blocks of a team add up to, and records on disk.

Which team is measured next is not decided here but in ``orkester.optim``.
"""
