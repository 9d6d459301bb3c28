"""The face: every public name is there, says what it is, and costs nothing before it is used."""

import ast
import inspect
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import orkester
from orkester import errors

#: What takes long to import, and what imports it.
HEAVY = (
    "langgraph",
    "langchain_core",
    "openai",
    "optuna",
    "reportlab",
    "numpy",
    "pydantic",
    "scipy",
    "xllamacpp",
    "aiohttp",
)


@pytest.mark.parametrize("name", orkester.__all__)
def test_a_public_name_is_there_and_documented(name: str) -> None:
    thing = getattr(orkester, name)
    assert inspect.isclass(thing) or inspect.isfunction(thing)
    assert thing.__name__ == name
    text = inspect.cleandoc(thing.__doc__ or "")
    assert text
    assert not text.startswith(f"{name}("), "this is what dataclass wrote, not we"
    assert text.splitlines()[0].endswith((".", "…")), f"{name}: a first line is a sentence"


def test_public_functions_say_what_they_raise() -> None:
    functions = [getattr(orkester, name) for name in orkester.__all__]
    for function in filter(inspect.isfunction, functions):
        text = inspect.cleandoc(function.__doc__ or "")
        assert "Raises:" in text, function.__name__
        assert inspect.signature(function).return_annotation is not inspect.Signature.empty


def test_names_are_sorted_and_the_same_for_people_and_for_type_checkers() -> None:
    assert orkester.__all__ == sorted(orkester.__all__)
    assert set(orkester.__all__) <= set(dir(orkester))
    tree = ast.parse(inspect.getsource(orkester))
    (guarded,) = [node for node in tree.body if isinstance(node, ast.If)]
    typed = [alias.name for node in guarded.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(typed) == orkester.__all__


def test_every_error_is_public_and_one_of_a_tree() -> None:
    found = {name: thing for name, thing in vars(errors).items() if inspect.isclass(thing)}
    assert set(found) <= set(orkester.__all__)
    for thing in found.values():
        assert issubclass(thing, errors.OrkesterError)
        assert thing.exit_code == (2 if thing is errors.InputError else 1)
    tree = errors.__doc__ or ""
    assert all(name in tree for name in found)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'orkester' has no attribute 'tunes'"):
        _ = orkester.tunes
    with pytest.raises(ImportError, match="cannot import name 'tunes'"):
        exec("from orkester import tunes")


def test_the_version_is_the_packages() -> None:
    assert orkester.__version__ == version("orkester")


@pytest.mark.parametrize(
    "statement",
    [
        "import orkester",
        "from orkester import InputError, OrkesterError",
        "from orkester.graphs import topologies; topologies()",
        "from orkester.evals.scorers import scorer; scorer('exact')",
        "from orkester.cli import app; app(['--help'], standalone_mode=False)",
    ],
)
def test_importing_is_light(statement: str) -> None:
    script = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    loaded = {name.partition(".")[0] for name in ended.stdout.split()}
    assert "orkester" in loaded
    assert not loaded & set(HEAVY)


def test_star_import_gives_the_public_names() -> None:
    space: dict[str, object] = {}
    exec("from orkester import *", space)
    assert set(orkester.__all__) <= set(space)


def test_the_package_is_typed() -> None:
    assert (Path(orkester.__file__).parent / "py.typed").is_file()
