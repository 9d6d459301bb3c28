"""Runs programs of answers in locked-down processes. ``code`` is the scorer."""

from .run import ProgramRun, run_tests

__all__ = ["ProgramRun", "run_tests"]
