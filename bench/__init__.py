"""Benchmarks that users run on their own machine: ``orkester bench``.

Comparisons of Orkester with other programs are in the repository's ``benchmarks/``, which is not installed.
"""
