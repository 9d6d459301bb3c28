"""The front as people see it."""

from pathlib import Path

import pytest
from chosen import entry, together

from orkester import Run
from orkester.cli.results import print_front
from orkester.optim.run.results import Results, TeamResult


def said(found: Results, capsys: pytest.CaptureFixture[str]) -> list[str]:
    print_front(Run(path=Path("runs/it"), name="it", manifest={}, results=found, blocks=()))
    return capsys.readouterr().out.splitlines()


def member(agents: int, quality: float, energy_j: float, chance: float) -> TeamResult:
    values = {"quality": quality, "energy_j": energy_j}
    return entry(agents, values, values, front_probability=chance)


def test_who_is_likely_on_the_front_stands_below_it(capsys: pytest.CaptureFixture[str]) -> None:
    found = together(member(2, 0.9, 1.0, 0.99), member(3, 0.9, 1.1, 0.7), member(4, 0.9, 1.2, 0.3))
    assert [result.team.knobs["agents"] for result in found.likely] == [3]
    lines = said(found, capsys)
    assert [line.split()[0] for line in lines[1:5]] == ["vote:", "confirmed", "near:", "confirmed"]
    assert "agents=3" in lines[3]
    assert "agents=4" not in "".join(lines)
    assert "more probably on the front than not" in lines[-1]


def test_an_empty_front_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    values = {"quality": 0.9, "energy_j": 1.0}
    teams = [
        entry(2, values, whole=False, infeasible="failure_rate is 0.5, not <= 0"),
        entry(3, values, whole=False, infeasible="failure_rate is 0.5, not <= 0"),
        entry(4, values, whole=False, stopped="beaten by another"),
        entry(5, values, whole=False),
    ]
    lines = said(together(*teams), capsys)
    assert lines[0] == "No team is on the front of runs/it."
    assert [line.strip() for line in lines[1:3]] == ["1 × beaten by another", "2 × failure_rate is 0.5, not <= 0"]
    assert "1 not measured to the end" in lines[3]
    assert "--extend" in lines[3]


def test_of_many_reasons_the_commonest_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    values = {"quality": 0.9, "energy_j": 1.0}
    teams = [entry(i, values, whole=False, stopped=f"beaten by {i // 2}") for i in range(2, 22)]
    lines = said(together(*teams), capsys)
    assert len(lines) == 1 + 5 + 1
    assert all("2 × beaten by" in line for line in lines[1:6])
    assert lines[6].strip().startswith("and 5 other reasons")
