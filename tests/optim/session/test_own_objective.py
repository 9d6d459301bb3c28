"""An objective that no module knows goes through a whole study: one file, and nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from own_objectives import added
from support import quick_folder, write_study

import orkester
from orkester.errors import InputError

TOTAL_TOKENS = '''
"""How many tokens models read and write."""

from orkester.evals.objectives import Mean, Objective, PerCall


def _total(call):
    known = None not in (call.input_tokens, call.output_tokens)
    return call.input_tokens + call.output_tokens if known else None


OBJECTIVES = (
    Objective(
        name="total_tokens",
        unit="tokens",
        meaning="Tokens read and written, per example.",
        column=PerCall(name="total_tokens", of=_total),
        statistic=Mean(),
        remedy="serve the model by an engine that counts",
        of_agent=lambda share: share.input_tokens + share.output_tokens,
    ),
)
'''


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with quick_folder() as folder:
        own = folder / "own"
        own.mkdir()
        (own / "total_tokens.py").write_text(TOTAL_TOKENS)
        yield folder


@pytest.fixture(scope="module")
def finished(folder: Path) -> Path:
    """The directory of a whole run."""
    path = write_study(
        folder / "study",
        examples=80,
        sampler="random",
        objectives={"quality": "maximize", "total_tokens": "minimize", "calls": None},
        constraints={"total_tokens": "<= 50"},
        measure={"examples": 56, "block": 8},
        budget={"trials": 10},
    )
    with added(folder / "own"):
        return orkester.tune(path, folder / "run").path


@pytest.fixture
def run(folder: Path, finished: Path) -> Iterator[orkester.Run]:
    with added(folder / "own"):
        yield orkester.open_run(finished)


def test_it_is_measured_with_its_interval_and_constrains(run: orkester.Run) -> None:
    for result in run.results.teams:
        assert result.search is not None
        found = result.search.estimates
        assert found["total_tokens"].value == pytest.approx(found["input_tokens"].value + found["output_tokens"].value)
        assert found["total_tokens"].n == result.search.examples
        assert found["total_tokens"].low is not None
    broken = [result for result in run.results.teams if result.infeasible]
    assert broken
    assert all("total_tokens is" in result.infeasible for result in broken)


def test_teams_are_raced_by_it_and_the_front_is_confirmed(run: orkester.Run) -> None:
    assert list(run.results.objectives) == ["quality", "total_tokens"]
    assert any(result.stopped.startswith("beaten by") for result in run.results.teams)
    assert run.results.front
    for result in run.results.front:
        assert result.confirmed is not None
        assert "total_tokens" in result.confirmed.estimates
        assert result.front_probability is not None
    assert max(result.front_probability or 0 for result in run.results.front) > 0.5


def test_the_report_shows_it_with_its_unit_and_each_agents_part(run: orkester.Run) -> None:
    report = (run.path / "report.html").read_text()
    assert "total_tokens [tokens], less is better" in report
    assert '<th scope="row">total tokens</th>' in report


def test_it_chooses_a_team(run: orkester.Run) -> None:
    cheapest = orkester.best(run, best_in="total_tokens", at_least={"quality": 0.1})
    values = [
        result.search.estimates["total_tokens"].value
        for result in run.results.teams
        if result.search is not None and result.whole and not result.infeasible
    ]
    assert cheapest.result.search is not None
    assert cheapest.result.search.estimates["total_tokens"].value == min(values)


def test_without_its_file_the_run_names_what_is_missing(finished: Path) -> None:
    with pytest.raises(InputError, match=r"unknown objective 'total_tokens'"):
        _ = orkester.open_run(finished).results
