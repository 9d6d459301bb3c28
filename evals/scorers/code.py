"""The scorer ``code``: an answer is right when its Python program passes the expected tests."""

from __future__ import annotations

import ast
import asyncio
import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ._deferred import Answered, Score
from ._fences import fenced
from ._programs import ProgramRun, run_tests

if TYPE_CHECKING:
    from orkester.serving.chat import ChatModel

_PYTHON: Final = frozenset({"", "python", "python3", "py", "py3"})
#: Lines that may begin a program after prose.
_BEGINNING: Final = re.compile(r"^(?:from|import|def|class|async def|@|[A-Za-z_]\w* *=(?!=))", re.MULTILINE)
#: How many beginnings are tried, and how often each is cut off before a line that is no Python.
_MOST_BEGINNINGS, _MOST_CUTS = 20, 8
#: The most characters of an answer that are looked at.
_MOST_CHARACTERS: Final = 200_000
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
        if self.python is not None and not (Path(self.python).is_absolute() and os.access(self.python, os.X_OK)):
            raise ValueError(f"python must be the absolute path of a program, but got {self.python!r}")

    def fault(self, expected: Any) -> str:
        """Why the tests cannot be run, or check nothing."""
        if isinstance(expected, dict) and (unknown := [name for name in expected if name not in _FIELDS]):
            return f"an object has tests and entry_point, but this one has {unknown[0]!r}"
        tests, entry_point = self._tests(expected)
        if not tests:
            return "there is no test; give Python source, a list of it, or an object with tests"
        if entry_point is not None and not (isinstance(entry_point, str) and entry_point.isidentifier()):
            return f"entry_point must be the name of a function, but it is {entry_point!r:.60}"
        return next(filter(None, (test_fault(test, entry_point) for test in tests)), "")

    async def evaluate(self, answered: Answered, models: Mapping[str, ChatModel]) -> Score:
        """Run the answer's program: 1 when it passes all tests."""
        del models
        tests, entry_point = self._tests(answered.expected)
        run = await asyncio.to_thread(self._run, answered.answer, tests, entry_point)
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

    def _run(self, answer: str, tests: Sequence[str], entry_point: str | None) -> ProgramRun:
        return run_tests(
            program_of(answer, entry_point),
            tests,
            entry_point=entry_point,
            python=self.python,
            timeout_s=self.timeout_s,
            memory_mb=self.memory_mb,
        )

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

    It is the last fenced block of Python that defines the entry point; otherwise the last one that defines something
    else than tests; otherwise the last one. Earlier blocks that define what it uses come before it. Without fences, it
    is the text without the prose before and after it.

    Args:
        answer: The answer of a team.
        entry_point: The name of the function that the program is to define; None if it is not known.
    """
    answer = answer[:_MOST_CHARACTERS].replace("\ufeff", "")
    blocks = [body for language, body in fenced(answer) if language in _PYTHON]
    if not blocks:
        return next(_without_prose(answer), answer)
    trees = [_parsed(body) for body in blocks]
    defined = [set() if tree is None else _defined(tree) for tree in trees]
    places = range(len(blocks) - 1, -1, -1)
    candidates = [
        [i for i in places if entry_point in defined[i]],
        [i for i in places if any(not _is_test(name) for name in _callables(trees[i]))],
        list(places),
    ]
    chosen = next(filter(None, candidates))[0]
    program, needed = blocks[chosen], _used(trees[chosen]) - defined[chosen]
    for i in range(chosen - 1, -1, -1):
        if (tree := trees[i]) is not None and needed & defined[i]:
            program = f"{blocks[i]}\n{program}"
            needed = (needed | _used(tree)) - defined[i]
    return program


def test_fault(test: str, entry_point: str | None) -> str:
    """Why a test cannot be run, or checks nothing; empty if it can be used.

    Args:
        test: The source of the test.
        entry_point: The function that ``check(candidate)`` gets; None if the data do not name it.
    """
    try:
        tree = ast.parse(test)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"the test is not Python: {error}"
    nodes = list(_run_at_once(tree))
    if any(isinstance(node, ast.Assert) and isinstance(node.test, ast.Tuple) for node in ast.walk(tree)):
        return "an assert of a tuple in brackets is always true; remove the brackets"
    checks = any(isinstance(node, (ast.Assert, ast.Raise)) for node in nodes) or any(map(_is_call_of_a_check, nodes))
    if checks or any(map(_is_found, tree.body)):
        return ""
    if "check" in _defined(tree):
        if entry_point is not None:
            return ""
        return (
            "the test defines check(candidate) and does not call it; say which function it is for: the object "
            '{"tests": …, "entry_point": "NAME"}, or the option entry_point'
        )
    return (
        f"the test checks nothing: {test.strip()[:60]!r}. It needs an assert outside of functions, or functions test_… "
        "or check(candidate), or a class of unittest"
    )


def _run_at_once(tree: ast.Module) -> Iterator[ast.AST]:
    """The nodes of a test that run when it is run: not those in functions, classes, and below ``if __name__``."""
    todo: list[ast.AST] = list(tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and any(
            isinstance(n, ast.Name) and n.id == "__name__" for n in ast.walk(node.test)
        ):
            continue
        yield node
        todo += ast.iter_child_nodes(node)


def _is_call_of_a_check(node: ast.AST) -> bool:
    """Whether a statement calls something that may check: ``case.assertEqual(…)``, ``check(f)``; not ``print``."""
    if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        return False
    function = node.value.func
    return not (isinstance(function, ast.Name) and function.id == "print")


def _is_found(node: ast.stmt) -> bool:
    """Whether a statement defines a test that is found and run: a function without arguments, or a class of tests."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test"):
        needed = len(node.args.args) + len(node.args.posonlyargs) - len(node.args.defaults)
        yields = any(isinstance(each, (ast.Yield, ast.YieldFrom)) for each in ast.walk(node))
        return not needed and not yields
    if isinstance(node, ast.ClassDef) and (node.bases or node.name.startswith("Test")):
        return any(isinstance(each, ast.FunctionDef) and each.name.startswith("test") for each in node.body)
    return False


def _without_prose(answer: str) -> Iterator[str]:
    """The answer if it is a program; and from each line that may begin one up to the first line that is no Python."""
    if _parsed(answer) is not None:
        yield answer
        return
    for start in itertools.islice(_BEGINNING.finditer(answer), _MOST_BEGINNINGS):
        text = answer[start.start() :]
        for _ in range(_MOST_CUTS):
            try:
                tree = ast.parse(text)
            except SyntaxError as error:
                text = "".join(text.splitlines(keepends=True)[: (error.lineno or 1) - 1])
            except (ValueError, RecursionError, MemoryError):
                break
            else:
                if _defined(tree):
                    yield text
                break


def _parsed(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _defined(tree: ast.Module) -> set[str]:
    """The names that a program defines outside of functions and classes."""
    found: set[str] = set()
    for node in _run_at_once(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).partition(".")[0])
    return found | _callables(tree)


def _callables(tree: ast.Module | None) -> set[str]:
    """The functions and classes that a program defines, and names that it gives to a lambda."""
    if tree is None:
        return set()
    lambdas = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    bare = (child for node in (tree, *_run_at_once(tree)) for child in ast.iter_child_nodes(node))
    return lambdas | {
        node.name for node in bare if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
    }


def _used(tree: ast.Module | None) -> set[str]:
    """The names that a program reads anywhere."""
    nodes = () if tree is None else ast.walk(tree)
    return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def _is_test(name: str) -> bool:
    return name.startswith(("test", "Test")) or name == "check"


scorer = Code
