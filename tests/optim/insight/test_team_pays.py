"""Whether a team pays, and how sure that is."""

from collections.abc import Sequence

import pytest

from orkester.errors import OrkesterError
from orkester.evals.records.block import Block, Phase
from orkester.evals.records.log import Records
from orkester.graphs import Team
from orkester.optim.insight.team_pays import team_pays
from orkester.optim.run.results import Results, results
from orkester.testing.blocks import block, call, result

SINGLE = Team("single", {"model": "m", "temperature": 0.0})
VOTE = Team("vote", {"agents": 3, "model": "m", "temperature": 0.5})


def measured(team: Team, scores: Sequence[int], phase: Phase = "search") -> Block:
    calls = 1 if team is SINGLE else 3
    examples = tuple(
        result(id=f"{phase}{i}", score=float(score), calls=tuple(call(model="m") for _ in range(calls)))
        for i, score in enumerate(scores)
    )
    return block(team=team.id, topology=team.topology, knobs=dict(team.knobs), phase=phase, examples=examples)


def found(*blocks: Block) -> Results:
    sizes: dict[Phase, int] = {"search": 20, "confirm": 40}
    return results(Records(blocks=blocks, failures=()), {"quality": "maximize", "calls": "minimize"}, {}, sizes)


def test_a_team_that_is_clearly_better_pays_on_held_out_examples() -> None:
    pays = team_pays(
        found(
            measured(SINGLE, [0] * 10 + [1] * 10),
            measured(VOTE, [1] * 20),
            measured(SINGLE, [0, 1] * 20, "confirm"),
            measured(VOTE, [1] * 38 + [0] * 2, "confirm"),
        )
    )
    assert (pays.phase, pays.difference.n) == ("confirm", 40)
    assert pays.difference.value == pytest.approx(0.45)
    assert pays.probability > 0.99
    assert pays.ratios["calls"].value == 3
    assert pays.verdict.startswith("A team pays in quality")
    assert "above 0.45" in pays.saturation
    assert "it gains nevertheless" in pays.saturation
    assert pays.as_json()["probability_better"] == pays.probability


def test_a_team_that_is_as_good_leaves_it_open_and_says_what_would_be_shown() -> None:
    pays = team_pays(found(measured(SINGLE, [0, 1] * 10), measured(VOTE, [1, 0] * 10)))
    assert pays.phase == "search"
    assert 0.3 < pays.probability < 0.7
    assert pays.verdict.startswith("It is open whether a team pays")
    assert "would probably be shown" in pays.verdict


def test_a_team_that_is_worse_does_not_pay() -> None:
    pays = team_pays(found(measured(SINGLE, [1] * 20), measured(VOTE, [0] * 10 + [1] * 10)))
    assert pays.probability < 0.01
    assert pays.verdict == "No team pays: the probability that the best one is better is below 1 %."


def test_what_is_equal_is_as_likely_as_not() -> None:
    pays = team_pays(found(measured(SINGLE, [0, 1] * 10), measured(VOTE, [0, 1] * 10)))
    assert pays.probability == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(("team", "lacking"), [(SINGLE, "team of several agents"), (VOTE, "single agent")])
def test_without_one_of_the_two_there_is_nothing_to_compare(team: Team, lacking: str) -> None:
    with pytest.raises(OrkesterError, match=f"the run has no {lacking}"):
        team_pays(found(measured(team, [1] * 20)))
