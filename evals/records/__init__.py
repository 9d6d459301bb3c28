"""The records of a run: blocks with their examples and calls, the file that they are written to, calls to reuse."""
