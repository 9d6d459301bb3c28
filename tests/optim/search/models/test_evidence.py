"""What teams that have seen different examples say when they are compared."""

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from orkester.graphs import Team
from orkester.optim.search.models.evidence import Evidence

Floats = NDArray[np.float64]
BLOCK = 8


def team(number: int) -> Team:
    return Team("single", {"model": f"m{number}", "temperature": 0.0})


def rows(score: Floats, **more: Floats) -> Mapping[str, Floats]:
    return {"score": score, **more}


def filled(names: list[str], columns: Mapping[str, Floats], seen: list[int]) -> Evidence:
    """Teams with the first so many examples of their rows, in blocks."""
    examples = next(iter(columns.values())).shape[1]
    evidence = Evidence(names, examples)
    for number, count in enumerate(seen):
        for start in range(0, count, BLOCK):
            end = min(count, start + BLOCK)
            part = {name: column[number, start:end] for name, column in columns.items()}
            evidence.add(team(number), part)
    return evidence


@pytest.mark.parametrize(("by_difficulty", "left"), [(False, 0.75), (True, 0.5)])
def test_teams_that_saw_other_examples_are_compared_fairly(by_difficulty: bool, left: float) -> None:
    plain, fair = [], []
    seen = [64] * 6 + [16] * 14
    for seed in range(30):
        rng = np.random.default_rng(seed)
        easy = rng.normal(0, 2, 64)
        easy = np.sort(easy)[::-1] if by_difficulty else easy
        score = (rng.random((20, 64)) < 1 / (1 + np.exp(-easy))).astype(float)  # all teams are alike
        evidence = filled(["quality"], {"score": score}, seen)
        own = np.array([evidence.value(team(i), "quality") for i in range(20)])
        values = evidence.objective("quality").values
        plain.append(own[6:].mean() - own[:6].mean())
        fair.append(values[6:].mean() - values[:6].mean())
    assert np.square(fair).mean() < left**2 * np.square(plain).mean()


def test_better_teams_stay_better_whatever_they_saw() -> None:
    rng = np.random.default_rng(1)
    ability = np.array([-0.5, 0.5] * 10)
    easy = np.sort(rng.normal(0, 2, 64))[::-1]
    score = (rng.random((20, 64)) < 1 / (1 + np.exp(-(ability[:, None] + easy)))).astype(float)
    # The weak ones saw the easy examples alone: their plain means are higher.
    evidence = filled(["quality"], {"score": score}, [16, 64] * 10)
    own = np.array([evidence.value(team(i), "quality") for i in range(20)])
    assert own[0::2].mean() > own[1::2].mean()
    values = evidence.objective("quality").values
    assert values[0::2].mean() < values[1::2].mean()


@pytest.mark.parametrize("by_block", [False, True])
def test_what_is_measured_by_block_is_as_sure_as_its_blocks(by_block: bool) -> None:
    rng = np.random.default_rng(2)
    n, examples, spread = 200, 64, 0.3
    noise = rng.normal(0, spread, (n, examples // BLOCK if by_block else examples))
    joules = 5 * np.exp(np.repeat(noise, BLOCK, axis=1) if by_block else noise)
    found = filled(["energy_j"], {"energy_j": joules}, [examples] * n).objective("energy_j")
    assert found.variances.mean() == pytest.approx(found.values.var(), rel=0.3)  # what the errors really are
    assert found.variances.mean() == pytest.approx(spread**2 / (examples // BLOCK if by_block else examples), rel=0.1)


@pytest.mark.parametrize("name", ["quality", "latency_mean_s", "latency_p50_s"])
def test_errors_are_as_large_as_it_says(name: str) -> None:
    ratios = []
    for seed in range(12):
        rng = np.random.default_rng([3, seed])
        n, examples = 24, 64
        true = rng.normal(0, 0.3, n)
        easy = rng.normal(0, 1, examples)
        if name == "quality":
            chance = 1 / (1 + np.exp(-(3 * true[:, None] + easy)))
            columns = {"score": (rng.random((n, examples)) < chance).astype(float)}
            true = chance.mean(axis=1)
        else:
            columns = {"latency_s": np.exp(true[:, None] + 0.3 * easy + rng.normal(0, 0.4, (n, examples)))}
        found = filled([name], columns, [16, 32, 48, 64] * 6).objective(name)
        errors = found.values - true
        ratios += list((errors - errors.mean()) / np.sqrt(found.variances))  # a common shift changes no order
    assert 0.75 < np.sqrt(np.mean(np.square(ratios))) < 1.3


def test_more_examples_make_it_surer() -> None:
    rng = np.random.default_rng(5)
    score = (rng.random((4, 64)) < 0.7).astype(float)
    found = filled(["quality"], {"score": score}, [8, 16, 32, 64]).objective("quality")
    assert list(found.variances) == sorted(found.variances, reverse=True)
    assert found.row_variance > 0


def test_a_block_without_joules_says_nothing_of_them_and_spoils_nothing() -> None:
    joules = np.full((3, 16), 5.0)
    joules[1, 8:] = np.nan  # one block
    joules[2] = np.nan  # never
    found = filled(["energy_j"], {"energy_j": joules}, [16, 16, 16]).objective("energy_j")
    assert np.isfinite(found.values).all()
    assert np.exp(found.values[:2]) == pytest.approx([5.0, 5.0], rel=1e-6)
    assert found.variances[0] < found.variances[1] < found.variances[2]
    assert found.variances[2] > 100 * found.variances[1]


def test_joules_per_success_of_a_team_without_one_are_endless_and_the_model_still_holds() -> None:
    evidence = Evidence(["energy_j_per_success"], 8)
    evidence.add(team(0), rows(np.zeros(8), energy_j=np.full(8, 2.0)))
    evidence.add(team(1), rows(np.ones(8), energy_j=np.full(8, 2.0)))
    assert evidence.value(team(0), "energy_j_per_success") == np.inf
    assert evidence.value(team(1), "energy_j_per_success") == 2.0
    values = evidence.objective("energy_j_per_success").values
    assert np.isfinite(values).all()
    assert values[0] > values[1]


def test_it_counts_examples_blocks_and_calls_of_its_own() -> None:
    evidence = Evidence(["quality"], 24)
    assert team(0) not in evidence
    assert evidence.seen(team(0)) == 0
    evidence.add(team(0), rows(np.ones(8)), fresh=1.0)
    evidence.add(team(0), rows(np.ones(16)), fresh=0.25)
    evidence.add(team(1), rows(np.zeros(8)), fresh=0.0)
    assert team(0) in evidence
    assert evidence.teams == [team(0), team(1)]
    assert list(evidence.done) == [24, 8]
    assert evidence.block_sizes(team(0)) == (8, 16)
    assert list(evidence.fresh) == [pytest.approx(0.5), 0.0]
    assert (evidence.blocks, evidence.sent) == (3, 2)
    assert list(evidence.column(team(1), "score")) == [0.0] * 8
    with pytest.raises(ValueError, match="would have 25 rows, but the search has only 24 examples"):
        evidence.add(team(0), rows(np.ones(1)))


def test_many_teams_find_room() -> None:
    evidence = Evidence(["quality"], 4)
    for number in range(100):
        evidence.add(team(number), rows(np.full(4, float(number % 2))))
    assert len(evidence.teams) == 100
    assert [evidence.value(team(i), "quality") for i in range(100)] == [float(i % 2) for i in range(100)]
