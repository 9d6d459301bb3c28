"""Benchmarks that users run on their own machine: ``orkester bench``."""
