"""Data sets: examples from files and from Hugging Face's hub. Each format is a file of this folder.

A reader yields rows with their lines, so that a fault can be shown where it is.
"""

from __future__ import annotations

from ._examples import DataSet, load_data, load_examples

__all__ = ["DataSet", "load_data", "load_examples"]
