"""The contract of scorers, for every one that comes with Orkester and for a user's own."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from orkester.evals.scorers import Scorer, scorer, scorers
from orkester.serving.chat import ChatModel, Reply
from orkester.testing.scorer_contract import DeferredScorerContract, ScorerContract
from orkester.testing.scripted import ChatCall, reply, scripted_models


class TestExact(ScorerContract):
    name = spec = "exact"
    rights = (
        "Oslo",
        "São Paulo",
        "A",
        "+",
        "-5",
        3.25,
        "東京",
        "दिल",
    )
    same = (
        ("Oslo", "  oslo. "),
        ("São Paulo", "SÃO  PAULO!"),
        ("-5", "−5"),
        ("**Oslo**", "Oslo"),
    )
    wrong = "Atlantis"


class TestContains(ScorerContract):
    name = spec = "contains"
    rights = (
        "Oslo",
        "São Paulo",
        "Hepatitis A",
        "-5",
        42,
        "東京",
    )
    same = (
        ("Oslo", "OSLO!"),
        ("a city", "city"),
    )
    wrong = "Atlantis"
    idempotent = False


class TestJson(ScorerContract):
    name = spec = "json"
    rights = (
        '{"city": "Oslo", "people": 709037}',
        "[1, 2, 3]",
        '"Oslo"',
        "true",
        "null",
        "12345678901234567890123456789.5",
    )
    same = (
        ('{"a": 1, "b": [true]}', 'Here it is:\n```json\n{"b": [true], "a": 1.0}\n```'),
        ("[100, 0]", "[1e2, -0.0]"),
    )
    wrong = '{"city": "Atlantis"}'


class TestF1(ScorerContract):
    name = spec = "f1"
    rights = (
        "Oslo",
        "São Paulo",
        "the Nile",
        42,
        "東京",
    )
    same = (
        ("The Nile!", "nile"),
        ("a  city", "city"),
    )
    wrong = "Atlantis"


class TestRouge(ScorerContract):
    name = spec = "rouge"
    rights = (
        "Oslo",
        "São Paulo",
        "the Nile",
        42,
        "東京",
    )
    same = (
        ("The Nile!", "the nile"),
        ("a  city", "A city."),
    )
    wrong = "Atlantis"


class TestNumeric(ScorerContract):
    name = spec = "numeric"
    rights = (
        0,
        -5,
        3.25,
        "1,234",
        1e-07,
        "1e20",
        10**30 + 1,
    )
    same = (
        ("5", "It is 5.0."),
        ("0", "-0.0"),
        ("1,000", "1000"),
        ("1e3", "1000"),
        ("−2", "-2"),
        (".5", "0.50"),
    )
    wrong = "17"
    idempotent = False


class TestChoice(ScorerContract):
    name = spec = "choice"
    rights = (
        "A",
        "B",
        "I",
        "z",
    )
    same = (
        ("B", "(b)"),
        ("B", "The answer is B."),
        ("A", "Answer: A"),
    )
    wrong = "C"
    idempotent = False


class TestRegex(ScorerContract):
    name = "regex"
    spec = MappingProxyType({"regex": {"pattern": r"\S+$"}})
    rights = (
        "Oslo",
        "Łódź",
        42,
    )
    same = (
        ("It is Oslo", "oslo"),
        ("in Oslo", "Well: OSLO"),
    )
    wrong = "Atlantis"
    idempotent = False


class TestOwn(ScorerContract):
    name = spec = "own_contract:as_text"
    rights = (
        "Oslo",
        "São Paulo",
        42,
    )
    same = (("Oslo", " OSLO."),)
    wrong = "Atlantis"

    @pytest.fixture(autouse=True, scope="class")
    @staticmethod
    def _module(tmp_path_factory: pytest.TempPathFactory) -> None:
        folder = tmp_path_factory.mktemp("own")
        (folder / "own_contract.py").write_text(
            "def as_text(answer, expected):\n"
            "    accepted = expected if isinstance(expected, list) else [expected]\n"
            "    return answer in map(str, accepted)\n"
        )
        TestOwn.folder = folder

    folder: Path

    def make(self) -> Scorer:
        return scorer(self.spec, folder=self.folder)


class TestCode(DeferredScorerContract):
    name = spec = "code"
    rights = (
        ("def double(x):\n    return 2 * x", "assert double(2) == 4"),
        ("Here it is:\n```python\ndef double(x):\n    return x + x\n```\nIt adds.", ["assert double(2) == 4"]),
        (
            "def f(x):\n    return x",
            {"tests": "def check(candidate):\n    assert candidate(1)", "entry_point": "f"},
        ),
    )
    wrongs = (
        ("def double(x):\n    return x", "assert double(2) == 4"),
        ("I cannot write this.", "assert double(2) == 4"),
    )
    same = (
        ("x = 1  # one", "```python\nx   =   1\n```"),
        ("I do not know ", "I do not know"),
    )
    unusable = (
        "assert (",
        "x = 1",
        [],
        {"test": "assert f(1)"},
        "def check(candidate):\n    assert candidate(1)",
    )


class TestJudge(DeferredScorerContract):
    name = "judge"
    spec = MappingProxyType({"judge": {"model": "large"}})
    rights = (("It is Oslo.", "Oslo"),)
    wrongs = (("Bergen", "Oslo"),)
    same = (("Oslo", " OSLO."),)

    def models(self) -> Mapping[str, ChatModel]:
        return scripted_models(_judge)[0]


def _judge(call: ChatCall) -> Reply:
    """A judge that looks for the right answer, word for word."""
    return reply("correct" if "It is Oslo" in str(call.content) else "incorrect")


def test_every_scorer_that_comes_with_orkester_is_held_to_a_contract() -> None:
    held = {kind.name for kind in (*ScorerContract.__subclasses__(), *DeferredScorerContract.__subclasses__())}
    assert set(scorers()) <= held
