"""Answers as models write them, judged by their meaning: battery/*.jsonl. ``benchmarks/scorer_battery.py`` counts."""

import json
from pathlib import Path
from typing import Any

import pytest

from orkester.evals.scorers import scorer

FILES = sorted((Path(__file__).parent / "battery").glob("*.jsonl"))
CASES = [(file.stem, json.loads(line)) for file in FILES for line in file.read_text(encoding="utf-8").splitlines()]


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 400


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_answer_gets_its_score(file: Path) -> None:
    wrong = [case for name, case in CASES if name == file.stem and score(name, case) != case["score"]]
    assert wrong == []


def score(name: str, case: dict[str, Any]) -> float:
    settings = case.get("settings")
    return scorer({name: settings} if settings else name).score(case["answer"], case["expected"])
