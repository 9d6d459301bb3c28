"""Which team gets the next block of examples, and which teams are stopped early.

Blocks are not run here but in ``orkester.optim.session``.
"""
