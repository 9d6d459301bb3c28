"""docs/scorers.md: its examples are true, and its table of counts is the one that the benchmark prints."""

import re

import pytest
from support import ROOT, module_at

from orkester.evals.scorers import scorer, scorers

PAGE = (ROOT / "docs" / "scorers.md").read_text(encoding="utf-8")


def rows(section: str) -> list[tuple[str, ...]]:
    """The rows of the last table of a section, without its head."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    head = max(i for i, line in enumerate(lines) if set(line) <= set("|- "))
    return [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in lines[head + 1 :]]


@pytest.mark.parametrize("name", ["exact", "contains"])
def test_the_examples_of_texts_are_true(name: str) -> None:
    examples = rows(name)
    assert len(examples) > 10
    for answer, expected, right in examples:
        wanted: object = 1 if expected == "1 (a number)" else expected.strip("`")
        assert scorer(name).score(answer[1:-1], wanted) == (right == "yes"), (answer, expected)


def test_the_examples_of_letters_are_true() -> None:
    for answer, letter in rows("choice"):
        scores = {each: scorer("choice").score(answer.strip("`"), each) for each in "ABCDI"}
        assert [each for each, score in scores.items() if score] == ([] if letter == "none" else [letter]), answer


def test_the_examples_of_numbers_are_true() -> None:
    examples = [
        (found[0], found[1]) for found in re.findall(r"^\| `([^`…]+)` \| (-?[\d/]+|none) \|$", PAGE, re.MULTILINE)
    ]
    assert len(examples) > 8
    for answer, number in examples:
        score = scorer("numeric").score(answer, "0" if number == "none" else number)
        assert score == (number != "none"), answer


def test_the_counts_are_those_of_the_batteries() -> None:
    for row in module_at("benchmarks/scorer_battery.py").table():
        assert row in PAGE.splitlines()


def test_every_scorer_is_on_the_page() -> None:
    assert [name for name in scorers() if f"| `{name}` |" not in PAGE] == []
