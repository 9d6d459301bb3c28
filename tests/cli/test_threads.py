"""How many threads the command's linear algebra has."""

import os
import subprocess
import sys

import pytest

_SHOW = """
import atexit, os, sys
from orkester import cli
assert "numpy" not in sys.modules, "numpy has read it already"
atexit.register(lambda: print(os.environ["OPENBLAS_NUM_THREADS"]))
sys.argv = ["orkester", "--version"]
cli.main()
"""


@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("3", "3")])
def test_one_unless_the_user_says_otherwise(given: str | None, expected: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    if given is not None:
        environment["OPENBLAS_NUM_THREADS"] = given
    done = subprocess.run(
        [sys.executable, "-c", _SHOW], capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == expected
