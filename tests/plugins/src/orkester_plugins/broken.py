"""A plug-in that cannot be imported; nobody else may notice."""

raise RuntimeError("this module needs a library that is not installed")
