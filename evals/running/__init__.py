"""Runs blocks: the calls of a team in one measurement window, their joules, reuse, and scoring after the window."""
