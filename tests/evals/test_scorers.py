"""What the scorers count as right, in tables of hard cases."""

import math
import sys
from pathlib import Path
from typing import Any

import pytest

from orkester.errors import InputError
from orkester.evals.scorers import scorer, scorers


@pytest.mark.parametrize(
    ("answer", "expected", "score"),
    [
        ("the Oslo.", "oslo", 0),
        ("Oslo, Norway", "Oslo", 0),
        ("Bogota", "Bogotá", 0),
        ("5", "-5", 0),
        ("−5", -5, 1),
        ("...", "A", 0),
        ("the", "A", 0),
        ("Rome", ["Roma", "Rome"], 1),
        ("True", True, 1),
    ],
)
def test_exact(answer: str, expected: Any, score: float) -> None:
    assert scorer("exact").score(answer, expected) == score


@pytest.mark.parametrize(
    ("answer", "expected", "score"),
    [
        ("It is Bucharest, in Romania.", "Oman", 0),  # not inside another word
        ("Muscat is in Oman.", "Oman", 1),
        ("The capital is Port of Spain.", "port of spain", 1),
        ("Port-au-Prince", "Port au Prince", 1),
        ("It is N'Djamena!", "N’Djamena", 1),
        ("San José is it", "San Jose", 1),
        ("hepatitis B", "Hepatitis A", 0),
        ("it is 15", "5", 0),
        ("it is -5", "5", 0),
        ("Rome or Paris", ["Paris"], 1),
        ("", "Oslo", 0),
        ("Oslo", "", 0),
    ],
)
def test_contains(answer: str, expected: Any, score: float) -> None:
    assert scorer("contains").score(answer, expected) == score


@pytest.mark.parametrize(
    ("answer", "expected", "score"),
    [
        ("1,234", 1234, 1),
        ("about 1,234,567.50 euros", 1234567.5, 1),
        ("1,2345", 12345, 0),  # no thousands
        ("1, 2, 3", 3, 1),  # the last of several
        ("12 - 5 = 7", 7, 1),
        ("-7", 7, 0),
        ("−7", -7, 1),
        ("5-3", 3, 0),  # a range, or a difference that is left to be calculated
        (".5", 0.5, 1),
        ("-.5", -0.5, 1),
        ("It is 5.", 5, 1),
        ("...42", 42, 1),
        ("No.5", 5, 1),
        ("version 3.14.15", 15, 0),
        ("1e3", 1000, 1),
        ("1e-05", 1e-05, 1),
        ("42km", 42, 1),
        ("H2O", 2, 0),
        ("-0", 0, 1),
        ("nan", "nan", 0),
        ("inf", "inf", 0),
        ("Infinity", 5, 0),
        ("none", 0, 0),
        ("", 0, 0),
        ("1000000000000000000000000000001", 10**30, 0),
        ("4", ["3", "4"], 1),
        ("5", "forty", 0),
    ],
)
def test_numeric(answer: str, expected: Any, score: float) -> None:
    assert scorer("numeric").score(answer, expected) == score


@pytest.mark.parametrize(
    ("answer", "expected", "score"),
    [("101", 100, 1), ("99", 100, 1), ("101.1", 100, 0), ("-101", -100, 1), ("0.01", 0, 0), ("0", 0, 1)],
)
def test_numeric_with_a_tolerance(answer: str, expected: Any, score: float) -> None:
    assert scorer({"numeric": {"tolerance": 0.01}}).score(answer, expected) == score


def test_numeric_takes_a_number_of_a_million_digits() -> None:
    long = "1" * 1_000_001
    assert scorer("numeric").score(long, 5) == 0
    assert scorer({"numeric": {"tolerance": 0.5}}).score(long, long) == 1


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("b", "B"),
        ("(B)", "B"),
        ("[b]", "B"),
        ("B. Oslo", "B"),
        ("B) Oslo", "B"),
        ("**B**", "B"),
        ("B because it is", "B"),
        ("the answer is (B)", "B"),
        ("The answer is B because A is wrong", "B"),
        ("The answer is: b", "B"),
        ("**Answer:** B", "B"),
        ("Answer: option B", "B"),
        ("Answer:\n\nB", "B"),
        ("A) Rome\nB) Oslo\nAnswer: B", "B"),
        ("First I thought the answer is A, but the answer is B", "B"),
        ("The answer is a bit unclear; (B)", "B"),
        ("The answer I chose is B", "B"),
        ("I would choose B.", "B"),
        ("It must be B, I think.", "B"),
        ("A good choice would be B", "B"),
        ("It's B. A fine choice.", "B"),
        ("A", "A"),
        ("A is correct, B is not", "A"),
        ("I think A", "A"),
        ("(I)", "I"),
        ("e.g. Oslo", None),
        ("Oslo", None),
        ("", None),
    ],
)
def test_choice_reads_the_letter(answer: str, letter: str | None) -> None:
    chosen = scorer("choice")
    assert [right for right in "ABCI" if chosen.score(answer, right)] == ([letter] if letter else [])


def test_choice_is_quick_on_a_long_gap() -> None:
    assert scorer("choice").score("answer" + " " * 20_000 + "\n*" * 20_000, "B") == 0


@pytest.mark.parametrize(
    ("pattern", "answer", "expected", "score"),
    [
        (r"#### (\S+)", "so 2 + 2\n#### 4", 4, 1),
        (r"#### (\S+)", "#### 3\n#### 4", 4, 1),  # the last match
        (r"#### (\S+)", "4", 4, 0),  # no match
        (r"\d+", "4 apples and 5", "5", 1),  # no group: the whole match
        (r"\d*", "4 apples", "4", 1),  # empty matches are none
        (r"(Oslo)?", "it is Oslo.", "OSLO", 1),
        (r"is (.+)$", "it is São Paulo.", ["Rio", "SÃO PAULO"], 1),
    ],
)
def test_regex(pattern: str, answer: str, expected: Any, score: float) -> None:
    assert scorer({"regex": {"pattern": pattern}}).score(answer, expected) == score


def test_answers_without_a_match_are_one_vote() -> None:
    made = scorer({"regex": {"pattern": r"\d+"}})
    assert made.key("no idea") == made.key("none") == ""


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("exat", "did you mean 'exact'"),
        ("zzz", f"Known: {', '.join(scorers())}, or module:name"),
        ({}, "a scorer must be a name"),
        ({"exact": {}, "contains": {}}, "a scorer must be a name"),
        ("regex", "needs the option 'pattern'"),
        ({"regex": {"patern": "x"}}, "did you mean 'pattern'"),
        ({"regex": {"pattern": "("}}, "not a regular expression"),
        ({"regex": {"pattern": "(a)(b)"}}, "at most one group"),
        ({"numeric": {"tolerance": -0.1}}, "0 <= tolerance < 1"),
        ({"numeric": {"tolerance": math.nan}}, "0 <= tolerance < 1"),
        ({"numeric": {"tolerance": "0.1"}}, "takes a number as tolerance, but got '0.1'"),
        ({"judge": {"model": 3}}, "takes text as model, but got 3"),
        ({"judge": {"model": "large", "pairs": "yes"}}, "takes true or false as pairs, but got 'yes'"),
        ({"judge": {"model": "large", "criteria": ["x"]}}, "takes text as criteria"),
        ({"code": {"memory_mb": 1.5}}, "takes a whole number as memory_mb, but got 1.5"),
        ({"code": {"timeout_s": True}}, "takes a number as timeout_s, but got True"),
        ({"numeric": 5}, "takes options as"),
    ],
)
def test_a_scorer_that_cannot_be_is_refused(spec: Any, said: str) -> None:
    with pytest.raises(InputError) as raised:
        scorer(spec)
    assert said in str(raised.value)


class TestOwn:
    """A scorer of the user's: ``module:name``."""

    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(sys, "path", [*sys.path])
        return tmp_path

    @staticmethod
    def made(folder: Path, body: str) -> Any:
        (folder / "own_scorer.py").write_text(f"def judge(answer, expected):\n    {body}\n")
        return scorer("own_scorer:judge", folder=folder)

    @pytest.mark.parametrize(("body", "score"), [("return answer == expected", 1.0), ("return 0.25", 0.25)])
    def test_a_number_or_a_bool_is_a_score(self, folder: Path, body: str, score: float) -> None:
        assert self.made(folder, body).score("Oslo", "Oslo") == score

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ("return 2", "must return a number from 0 to 1, but returned 2.0"),
            ("return -0.5", "must return a number from 0 to 1"),
            ("return float('nan')", "must return a number from 0 to 1, but returned nan"),
            ("return float('inf')", "must return a number from 0 to 1"),
            ("return None", "failed on the answer 'Oslo'"),
            ("return answer", "failed on the answer 'Oslo'"),
            ("raise KeyError('oops')", "KeyError('oops')"),
        ],
    )
    def test_anything_else_says_what_it_was_and_on_which_answer(self, folder: Path, body: str, said: str) -> None:
        with pytest.raises(InputError) as raised:
            self.made(folder, body).score("Oslo", "Oslo")
        assert said in str(raised.value)
        assert "own_scorer:judge" in str(raised.value)

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("no_such_module:judge", "ModuleNotFoundError"),
            ("own_scorer:juge", "did you mean 'judge'"),
            ("own_scorer:", "has no ''"),
            (":judge", "cannot be imported"),
            ("own_scorer:LIMIT", "is not a class, a scorer or a function, but 3"),
            ("broken:judge", "SyntaxError"),
            ("raising:judge", "RuntimeError: at import"),
        ],
    )
    def test_a_function_that_is_not_there_is_refused(self, folder: Path, name: str, said: str) -> None:
        (folder / "own_scorer.py").write_text("LIMIT = 3\ndef judge(answer, expected):\n    return 1\n")
        (folder / "broken.py").write_text("def judge(:\n")
        (folder / "raising.py").write_text("raise RuntimeError('at import')\n")
        with pytest.raises(InputError) as raised:
            scorer(name, folder=folder)
        assert said in str(raised.value)

    def test_two_folders_may_have_a_module_of_the_same_name(self, folder: Path) -> None:
        for name in ("one", "two"):
            (folder / name).mkdir()
        one, two = self.made(folder / "one", "return 0.1"), self.made(folder / "two", "return 0.2")
        assert (one.score("", ""), two.score("", "")) == (0.1, 0.2)

    def test_a_module_that_was_changed_is_read_again(self, folder: Path) -> None:
        assert self.made(folder, "return 0").score("", "") == 0
        assert self.made(folder, "return 1.0").score("", "") == 1

    def test_the_module_may_import_what_lies_beside_it_but_hides_nothing(self, folder: Path) -> None:
        (folder / "helper_of_own.py").write_text("VALUE = 0.5\n")
        (folder / "statistics.py").write_text("raise RuntimeError('hidden')\n")
        assert self.made(folder, "import helper_of_own, statistics; return helper_of_own.VALUE").score("", "") == 0.5

    def test_a_module_that_is_installed_needs_no_folder(self) -> None:
        assert scorer("operator:eq").score("Oslo", "Oslo") == 1

    def test_it_takes_no_options(self, folder: Path) -> None:
        self.made(folder, "return 1")
        with pytest.raises(InputError, match=r"has no option 'strict'\. Options: none"):
            scorer({"own_scorer:judge": {"strict": True}}, folder=folder)
