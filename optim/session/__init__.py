"""One call of ``orkester tune``: engines, blocks, search and confirmation, from start to end."""
