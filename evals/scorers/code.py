"""The scorer ``code``: an answer is right when its Python program passes the expected tests."""

from __future__ import annotations

import ast
import asyncio
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ._deferred import Answered, Score
from ._programs import run_tests

if TYPE_CHECKING:
    from orkester.serving.chat import ChatModel

_FENCE: Final = re.compile(
    r"^[ \t]*(?:```|~~~)[ \t]*([\w+#.-]*)[^\n]*\n(.*?)(?:^[ \t]*(?:```|~~~)|\Z)", re.DOTALL | re.MULTILINE
)
_PYTHON: Final = frozenset({"", "python", "python3", "py", "py3"})
_BEGINNING: Final = re.compile(r"^(?:from|import|def|class|async def|@)\b|^@", re.MULTILINE)
#: The most lines at the end of an answer without fences that may be prose.
_MOST_PROSE: Final = 60
_FIELDS: Final = ("tests", "entry_point")


@dataclass(frozen=True)
class Code:
    """Runs the program of an answer with the tests of the example, in a locked-down process.

    The expected answer is the source of a test, a list of tests, or an object with ``tests`` and ``entry_point``. Tests
    are statements with ``assert``; or they define ``test_…`` functions, classes of ``unittest``, or a function
    ``check(candidate)``, as in HumanEval (Chen et al. 2021, arXiv:2107.03374).

    Attributes:
        partial: Whether an answer scores the share of tests that pass, instead of 1 when all of them pass.
        entry_point: The function that ``check(candidate)`` gets, where the data do not name it.
        timeout_s: The time for a program with all its tests.
        memory_mb: The most memory of the process, in MB.
        python: The path of the Python that runs programs, with its packages; None for the Python that runs Orkester,
            without any package.
    """

    partial: bool = False
    entry_point: str | None = None
    timeout_s: float = 5.0
    memory_mb: int = 512
    python: str | None = None

    name: ClassVar[str] = "code"
    version: ClassVar[str] = "1"
    models: ClassVar[Sequence[str]] = ()
    calls_per_answer: ClassVar[int] = 0
    at_once: ClassVar[int] = max(1, os.cpu_count() or 1)

    def __post_init__(self) -> None:
        if not 0 < self.timeout_s <= 600:
            raise ValueError(f"timeout_s is from above 0 to 600 seconds, but got {self.timeout_s}")
        if self.memory_mb < 64:
            raise ValueError(f"memory_mb is 64 or more, but got {self.memory_mb}")
        if self.python is not None and not os.access(self.python, os.X_OK):
            raise ValueError(f"python: there is no program {self.python}")

    def fault(self, expected: Any) -> str:
        """Why the tests cannot be run, or check nothing."""
        if isinstance(expected, dict) and (unknown := [name for name in expected if name not in _FIELDS]):
            return f"an object has tests and entry_point, but this one has {unknown[0]!r}"
        tests, entry_point = self._tests(expected)
        if not tests:
            return "there is no test; give Python source, a list of it, or an object with tests"
        for test in tests:
            try:
                tree = ast.parse(test)
            except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
                return f"the test is not Python: {error}"
            if not any(isinstance(node, (ast.Assert, ast.Raise, ast.Call)) for node in ast.walk(tree)):
                return f"the test checks nothing: {test.strip()[:60]!r} has no assert"
            if entry_point is None and _defines_check(tree):
                return (
                    "the test defines check(candidate) and does not call it; say which function it is for: the object "
                    '{"tests": …, "entry_point": "NAME"}, or the option entry_point'
                )
        return ""

    async def evaluate(self, answered: Answered, models: Mapping[str, ChatModel]) -> Score:
        """Run the answer's program: 1 when it passes all tests."""
        del models
        tests, entry_point = self._tests(answered.expected)
        program = program_of(answered.answer, entry_point)
        run = await asyncio.to_thread(
            run_tests,
            program,
            tests,
            entry_point=entry_point,
            python=self.python,
            timeout_s=self.timeout_s,
            memory_mb=self.memory_mb,
        )
        share = run.passed / run.tests if run.tests else 0.0
        detail: dict[str, Any] = {"passed": run.passed, "tests": run.tests}
        if run.error:
            detail["error"] = run.error
        return Score(value=share if self.partial else float(share == 1), detail=detail)

    def key(self, answer: str) -> str:
        """The program without comments and in one layout; the answer without space at its ends if it has none."""
        program = program_of(answer, self.entry_point)
        try:
            return ast.unparse(ast.parse(program))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return program.strip()

    def _tests(self, expected: Any) -> tuple[Sequence[str], str | None]:
        """The tests of an example, and the function that they are for."""
        entry_point = self.entry_point
        if isinstance(expected, dict):
            entry_point = expected.get("entry_point") or entry_point
            expected = expected.get("tests", [])
        tests = expected if isinstance(expected, (list, tuple)) else [expected]
        return [str(test) for test in tests], entry_point


def program_of(answer: str, entry_point: str | None) -> str:
    """The program in an answer.

    It is the last fenced block of Python that defines the entry point; otherwise the last one that defines something;
    otherwise the last one. Without fences, it is the text without the prose before and after it.

    Args:
        answer: The answer of a team.
        entry_point: The name of the function that the program is to define; None if it is not known.
    """
    fenced: list[str] = [body for language, body in _FENCE.findall(answer) if language.lower() in _PYTHON]
    if fenced:
        trees = [(body, _parsed(body)) for body in reversed(fenced)]
        for wanted in (entry_point, None):
            for body, tree in trees:
                if tree is not None and _defines(tree, wanted):
                    return body
        return fenced[-1]
    return next((text for text in _without_prose(answer) if _parsed(text) is not None), answer)


def _without_prose(answer: str) -> Iterator[str]:
    """The answer; and from each line that may begin a program, with fewer and fewer lines at the end."""
    yield answer
    if (start := _BEGINNING.search(answer)) is None:
        return
    lines = answer[start.start() :].splitlines(keepends=True)
    for left_out in range(min(len(lines), _MOST_PROSE)):
        yield "".join(lines[: len(lines) - left_out])


def _parsed(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _defines(tree: ast.Module, name: str | None) -> bool:
    """Whether a program defines a name; any function or class for None."""
    defined = [node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))]
    return any(name is None or node.name == name for node in defined)


def _defines_check(tree: ast.Module) -> bool:
    defined = any(
        isinstance(node, ast.FunctionDef) and node.name == "check" and len(node.args.args) == 1 for node in tree.body
    )
    called = any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "check"
        for node in ast.walk(tree)
    )
    return defined and not called


scorer = Code
