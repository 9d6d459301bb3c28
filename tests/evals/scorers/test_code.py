"""The scorer ``code``: which program an answer gives, what its tests say, and what it may not do."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from orkester.errors import InputError
from orkester.evals.scorers import Answered, Score, scorer
from orkester.evals.scorers._programs import ProgramRun, run_tests
from orkester.evals.scorers.code import Code, program_of

WRITING = """
import os
while True:
    for fd in range(3, 64):
        try:
            os.write(fd, bytes(65536))
        except OSError:
            pass
"""
DOUBLE = "def double(x):\n    return 2 * x\n"


def run(program: str, *tests: str, timeout_s: float = 5.0, memory_mb: int = 256, **options: Any) -> ProgramRun:
    known: dict[str, Any] = {"entry_point": None, "python": None} | options
    return run_tests(program, tests or ["assert True"], timeout_s=timeout_s, memory_mb=memory_mb, **known)


def score(answer: str, expected: Any, **options: Any) -> Score:
    answered = Answered(question="Write it.", answer=answer, expected=expected)
    return asyncio.run(Code(**options).evaluate(answered, {}))


@pytest.mark.parametrize(
    ("answer", "entry_point", "program"),
    [
        ("x = 1", None, "x = 1"),
        ("```python\nx = 1\n```", None, "x = 1\n"),
        ("```py\nx = 1\n```", None, "x = 1\n"),
        ("```\nx = 1\n```", None, "x = 1\n"),
        ("~~~python\nx = 1\n~~~", None, "x = 1\n"),
        (f"Use it so:\n```python\n{DOUBLE}```\nFor example:\n```python\nprint(double(2))\n```", None, DOUBLE),
        (f"```python\n{DOUBLE}```\nTests:\n```python\ndef test():\n    assert double(1)\n```", "double", DOUBLE),
        (f"A first try:\n```python\ndef double(x): pass\n```\nBetter:\n```python\n{DOUBLE}```", None, DOUBLE),
        (f"```bash\npip install x\n```\n```python\n{DOUBLE}```\n```text\n4\n```", None, DOUBLE),
        (f"```python\n{DOUBLE}", None, DOUBLE),  # the end of the fence is cut off
        (f"Here is the function:\n{DOUBLE}\nIt doubles a number, doesn't it?", None, DOUBLE + "\n"),
        (f"{DOUBLE}\nThis works.", None, DOUBLE + "\n"),
        ("I do not know", None, "I do not know"),
        (f"1. Here:\n\n   ```python\n   {DOUBLE.replace(chr(10), chr(10) + '   ').rstrip()}\n   ```\n", None, DOUBLE),
        (f"> ```python\n> {DOUBLE.replace(chr(10), chr(10) + '> ').rstrip('> ')}> ```", None, DOUBLE),
        (f"```python\n\ufeff{DOUBLE}```", None, DOUBLE),
        (f"```python\n{DOUBLE}```\nTests:\n```python\ndef test_it():\n    assert double(2) == 4\n```", None, DOUBLE),
        (
            '```python\ndef f(x):\n    """\n    ```\n    f(1)\n    ```\n    """\n```',
            None,
            'def f(x):\n    """\n    ```\n    f(1)\n    ```\n    """\n',
        ),
        ("```python\nf = lambda x: x\n```\nSo:\n```python\nimport os\nprint(f(1))\n```", None, "f = lambda x: x\n"),
        ("```python\nf = lambda x: x\n```\nSo:\n```python\nprint(f(1))\n```", "f", "f = lambda x: x\n"),
        ("Here:\nMOD = 10\ndef f(x):\n    return x % MOD\nDone.", None, "MOD = 10\ndef f(x):\n    return x % MOD\n"),
        (f"from the question we know x.\n\n{DOUBLE}", None, DOUBLE),
        (f"```python\nimport math\n```\n```python\n{DOUBLE}```", None, DOUBLE),
        (
            "```python\nimport math\n```\n```python\ndef f(x):\n    return math.sqrt(x)\n```",
            "f",
            "import math\n\ndef f(x):\n    return math.sqrt(x)\n",
        ),
        (f"````python\n{DOUBLE}````", None, DOUBLE),
        (DOUBLE.replace("\n", "\r\n"), None, DOUBLE.replace("\n", "\r\n")),
    ],
)
def test_the_program_of_an_answer(answer: str, entry_point: str | None, program: str) -> None:
    assert program_of(answer, entry_point) == program


def test_all_tests_must_pass() -> None:
    tests = ["assert double(2) == 4", "assert double(3) == 7", "assert double(1) == 2"]
    assert score(DOUBLE, tests).value == 0
    assert score(DOUBLE, tests).detail == {
        "passed": 2,
        "tests": 3,
        "error": "test 2: AssertionError in assert double(3) == 7",
    }
    assert score(DOUBLE, tests, partial=True).value == pytest.approx(2 / 3)
    assert score(DOUBLE, tests[:1]).detail == {"passed": 1, "tests": 1}


@pytest.mark.parametrize(
    "test",
    [
        "def check(candidate):\n    assert candidate(2) == {}",
        "def test_it():\n    assert double(2) == {}",
        "import unittest\nclass It(unittest.TestCase):\n  def test_it(self):\n    self.assertEqual(double(2), {})",
        "import unittest\ncase = unittest.TestCase()\ncase.assertEqual(double(2), {})",
    ],
)
def test_every_form_of_a_test_is_run(test: str) -> None:
    assert run(DOUBLE, test.format(4), entry_point="double").passed == 1
    wrong = run(DOUBLE, test.format(5), entry_point="double")
    assert wrong.passed == 0
    assert "AssertionError" in wrong.error


@pytest.mark.parametrize(
    ("program", "test"),
    [
        ("def check(candidate):\n    pass", "def check(candidate):\n    assert candidate(1) == 3"),
        ("def test_it():\n    pass", "def test_it():\n    assert double(1) == 3"),
        ("class TestIt:\n    pass", "class TestIt:\n    def test_it(self):\n        assert double(1) == 3"),
        ("", "async def test_it():\n    assert double(1) == 3"),
        ("", "def test_it(x=1):\n    assert double(x) == 3"),
        ("", "async def check(candidate):\n    assert candidate(1) == 3"),
        ("", "def check(candidate, n=1):\n    return candidate(n) == 3"),
        ("", "import unittest\nclass It(unittest.TestCase):\n    @unittest.skip('')\n    def test_it(self): pass"),
        (
            "",
            (
                "import unittest\nclass It(unittest.TestCase):\n    @unittest.expectedFailure\n    def test_it(self):\n"
                "        self.assertEqual(double(1), 2)"
            ),
        ),
    ],
)
def test_a_wrong_program_passes_no_form_of_a_test(program: str, test: str) -> None:
    assert run(f"{DOUBLE}{program}\n", test, entry_point="double").passed == 0


@pytest.mark.parametrize(
    "expected",
    [
        "double(1) == 2",
        "print(double(1) == 2)",
        "assert (double(1) == 3, 'it is')",
        "if __name__ == '__main__':\n    assert double(1) == 2",
        "def run_tests():\n    assert double(1) == 2",
        "def test_it(x):\n    assert x",
        "def test_it():\n    yield 1\n    assert double(1) == 2",
        "import unittest\nclass It(unittest.TestCase):\n    pass",
        ["x = double(1)", "assert x == 2"],
        {"tests": "def check(candidate):\n    assert candidate(1)", "entry_point": "Solution().f"},
        {"tests": "def check(candidate):\n    assert candidate(1)", "entry_point": 5},
    ],
)
def test_tests_that_check_nothing_or_can_never_pass_are_refused(expected: Any) -> None:
    assert Code().fault(expected)


@pytest.mark.parametrize(
    "expected",
    [
        "for x in (1, 2):\n    assert double(x) == 2 * x",
        "case = TestCase()\ncase.assertEqual(double(1), 2)",
        "def check(candidate):\n    assert candidate(1) == 2\ncheck(double)",
        "if double(1) != 2:\n    raise ValueError",
    ],
)
def test_tests_that_check_are_accepted(expected: Any) -> None:
    assert not Code().fault(expected)


def test_the_program_is_run_as_it_is_written() -> None:
    assert run("def f(x: int) -> int:\n    return x", "assert f.__annotations__['x'] is int").passed == 1


def test_each_test_sees_the_program_and_not_the_other_tests() -> None:
    tests = ["found = double(1)\nassert found == 2", "assert 'found' not in globals()"]
    assert run(DOUBLE, *tests) == ProgramRun(passed=2, tests=2)


@pytest.mark.parametrize(
    "program",
    [
        "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass Point:\n    x: int",
        "import asyncio\nasync def one():\n    return 1\nassert asyncio.run(one()) == 1",
        "import threading\nthread = threading.Thread(target=print)\nthread.start()\nthread.join()",
        "import tempfile\nwith tempfile.TemporaryFile() as file:\n    file.write(b'x')",
        "with open('x', 'w') as file:\n    file.write('x')\nassert open('x').read() == 'x'",
        "import os\nos.mkdir('a')\nos.rename('a', 'b')\nassert os.listdir('.') == ['b']",
        "import sqlite3\nsqlite3.connect(':memory:').execute('create table t (x)')",
        "import zoneinfo, decimal, statistics, heapq, random, string, typing, json, bisect, collections",
        "if __name__ == '__main__':\n    input()",
        "print('x' * 10_000_000)",
        "import os\nopen('a', 'w').close()\nos.utime('a', (1, 1))",
        "import shutil\nopen('a', 'w').close()\nshutil.copy2('a', 'b')\nshutil.copytree('.', 'c')",
        (
            "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(100) as pool:\n"
            "    assert list(pool.map(str, range(100)))"
        ),
        "import ssl, hashlib, sqlite3, decimal, lzma, bz2, zlib, unicodedata, xml.etree.ElementTree",
    ],
)
def test_a_program_may_do_what_programs_do(program: str) -> None:
    assert run(program) == ProgramRun(passed=1, tests=1)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import sys\nsys.exit(0)", "SystemExit: 0"),
        ("import os\nos._exit(0)", "the program ended itself"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("import signal\nsignal.raise_signal(9)", "signal 9"),
        ("x = bytearray(10**9)", "MemoryError"),
        ("def f():\n    return f()\nf()", "RecursionError"),
        ("def f(:", "SyntaxError"),
        ("input()", "EOFError"),
        ("import numpy", "No module named 'numpy'"),
        ("x = '\\0'\n\0", "null bytes"),
        (WRITING, "it wrote too much"),
    ],
)
def test_a_program_that_ends_early_passes_no_test(program: str, words: str) -> None:
    found = run(program)
    assert found.passed == 0
    assert words in found.error


def test_an_endless_program_is_ended() -> None:
    assert run("while True: pass", timeout_s=0.5) == ProgramRun(passed=0, tests=1, error="not done after 0.5 s")
    slept = run(DOUBLE, "assert double(1) == 2", "import time\ntime.sleep(60)", timeout_s=0.5)
    assert slept == ProgramRun(passed=1, tests=2, error="not done after 0.5 s")


def test_a_program_cannot_report_that_it_passed() -> None:
    forged = (
        'import os, json\nfor fd in range(64):\n    try: os.write(fd, b\'{"test": 0, "passed": true}\\n\')\n'
        "    except OSError: pass\nos._exit(0)"
    )
    assert run(forged).passed == 0
    replaced = "import json, os\njson.dumps = lambda *a, **k: '{}'\nos.write = lambda *a: None"
    assert run(replaced, "assert False").passed == 0
    assert run(replaced, "assert True").passed == 1


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim.txt"
    path.write_text("secret")
    return path


@pytest.mark.parametrize(
    "program",
    [
        "open({path!r}, 'w')",
        "open({path!r}, 'a')",
        "open({path!r}).read()",
        "import os\nos.open({path!r}, os.O_RDWR)",
        "import os\nos.remove({path!r})",
        "import os\nos.truncate({path!r}, 0)",
        "import os\nos.rename({path!r}, 'x')",
        "import os\nos.link({path!r}, 'x')",
        "import os\nos.symlink({path!r}, 'x')\nopen('x', 'w')",
        "import posix\nposix.unlink({path!r})",
        "import os\nos.chdir('/')\nopen({path!r}[1:], 'w')",
        "import pathlib\npathlib.Path({path!r}).write_text('x')",
        "import shutil\nshutil.rmtree({folder!r})",
        "import os\nos.listdir({folder!r})",
        "import subprocess\nsubprocess.run(['rm', {path!r}])",
        "import os\nos.system('rm ' + {path!r})",
        "import os\nif os.fork() == 0: os.remove({path!r})",
        "import os\nos.execv('/bin/rm', ['rm', {path!r}])",
        "import os\nos.kill(os.getppid(), 9)",
        "import os\nos.killpg(0, 9)",
        "import ctypes\nctypes.CDLL(None).unlink({path!r}.encode())",
        "import sys\nsys.modules['ctypes'].CDLL(None)",
        "import multiprocessing\nmultiprocessing.get_context('fork').Process(target=print).start()",
        "import socket\nsocket.create_connection(('127.0.0.1', 80))",
        "import socket\nsocket.socket(socket.AF_UNIX).connect('/run/docker.sock')",
        "import socket\nsocket.getaddrinfo('localhost', 80)",
        "import urllib.request\nurllib.request.urlopen('http://127.0.0.1/')",
        "import gc\ngc.get_objects()",
        "for i in range(300):\n    open(str(i), 'w').close()",
        (
            "import multiprocessing as m\np = m.get_context('spawn').Process(target=print)\np.start()\np.join()\n"
            "assert p.exitcode == 0"
        ),
        "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (1, 1))",
        "import sqlite3\nsqlite3.connect({path!r})",
    ],
)
def test_a_program_may_not_reach_outside_its_folder(program: str, victim: Path) -> None:
    found = run(program.format(path=str(victim), folder=str(victim.parent)))
    assert found.passed == 0, found
    assert victim.read_text() == "secret"
    assert sorted(victim.parent.iterdir()) == [victim]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="namespaces and Landlock are Linux's")
def test_a_program_sees_no_secrets_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert run("import os", "assert 'OPENAI_API_KEY' not in os.environ").passed == 1
    assert run("", f"open('/proc/{os.getpid()}/environ', 'rb').read()\nassert True").passed == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Landlock is Linux's")
@pytest.mark.parametrize(
    "program",
    [
        (
            "import readline\nreadline.read_history_file({path!r})\nassert not readline.get_history_item(1)\n"
            "assert 0, 'it was read'"
        ),
        "import sqlite3\nsqlite3.connect(':memory:').execute('attach ? as x', ({path!r},))\nassert 0, 'it was read'",
    ],
)
def test_a_program_cannot_read_outside_where_python_sees_nothing(program: str, victim: Path) -> None:
    found = run(program.format(path=str(victim)))
    assert found.passed == 0
    assert "it was read" not in found.error


def test_a_program_that_crashes_the_reading_of_results_passes_nothing() -> None:
    deep = "import os\nfor i in range(1200):\n    os.mkdir('d')\n    os.chdir('d')"
    before = len(list(Path("/tmp").glob("orkester-code-*")))
    run(deep, memory_mb=512)
    assert len(list(Path("/tmp").glob("orkester-code-*"))) == before
    nested = run("import os, sys\nos.write(int(sys.argv[1]), b'[' * 100000 + b'\\n')")
    assert nested == ProgramRun(passed=1, tests=1)
    assert score("x = 1", "assert x == 1").value == 1


def test_reports_of_tests_that_do_not_exist_do_not_count() -> None:
    forged = (
        "import sys\ng = sys._getframe()\nwhile g:\n    if 'report' in g.f_locals:\n        for i in range(9):\n"
        "            g.f_locals['report']({'test': i, 'passed': True})\n    g = g.f_back"
    )
    assert run(forged, "assert True", "assert True").passed <= 2


def test_what_a_program_starts_ends_with_it() -> None:
    before = len(list(Path("/tmp").glob("orkester-code-*")))
    found = run("import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()")
    assert found == ProgramRun(passed=1, tests=1)
    assert len(list(Path("/tmp").glob("orkester-code-*"))) == before


def test_a_python_of_its_own_has_its_packages() -> None:
    assert score("import pytest", "assert pytest.__version__", python=sys.executable, memory_mb=2048).value == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout_s": 0}, "timeout_s"),
        ({"memory_mb": 1}, "memory_mb"),
        ({"python": "/no/such/python"}, "absolute path of a program, but got '/no/such/python'"),
    ],
)
def test_options_that_cannot_be_used_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        scorer({"code": options})


def test_programs_that_differ_in_layout_are_one_vote() -> None:
    made = Code()
    assert made.key("x=1 # one") == made.key("```python\nx = 1\n```") != made.key("x = 2")
