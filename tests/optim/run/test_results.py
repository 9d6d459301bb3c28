"""Results, put together from blocks made by hand."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orkester.errors import OrkesterError
from orkester.evals.footprint import footprint
from orkester.evals.records.block import Block, Phase
from orkester.evals.records.log import Record, Records, TeamFailure, TeamStopped
from orkester.graphs import Team
from orkester.optim.goals.front_probability import front_probability
from orkester.optim.goals.goal import violation
from orkester.optim.run.results import Findings, Results, TeamResult, results
from orkester.testing.blocks import block, call, result

OBJECTIVES: Mapping[str, Any] = {"quality": "maximize", "calls": "minimize"}
SIZES: Mapping[Phase, int] = {"search": 4, "confirm": 2}


def team(agents: int) -> Team:
    return Team("vote", {"agents": agents, "model": "small", "temperature": 0.7})


def measured(agents: int, right: int, *, phase: Phase = "search", examples: int = 4, **changes: Any) -> Block:
    """A block of a vote of so many agents, of whose answers so many are right."""
    made = tuple(result(i, score=float(i < right), calls=(call(),) * agents) for i in range(examples))
    who = team(agents)
    changes = {"trial": agents, **changes}
    return block(team=who.id, knobs=dict(who.knobs), phase=phase, examples=made, **changes)


def together(*blocks: Block, failures: Sequence[TeamFailure] = (), **changes: Any) -> Results:
    asked = {"objectives": OBJECTIVES, "constraints": {}, "sizes": SIZES, **changes}
    return results(Records(blocks=blocks, failures=failures), **asked)


def by_agents(found: Results) -> dict[int, TeamResult]:
    return {int(entry.team.knobs["agents"]): entry for entry in found.teams}


def test_the_front_is_what_no_other_team_beats_best_first() -> None:
    found = together(measured(1, 1), measured(2, 3), measured(3, 2), measured(4, 4))
    assert [entry.team.knobs["agents"] for entry in found.front] == [4, 2, 1]
    assert not by_agents(found)[3].on_front
    assert [entry.trial for entry in found.teams] == [1, 2, 3, 4]


def test_the_best_in_an_objective_to_be_small_comes_first() -> None:
    found = together(measured(4, 4), measured(1, 1), objectives={"calls": "minimize", "quality": "maximize"})
    assert [entry.team.knobs["agents"] for entry in found.front] == [1, 4]


def test_a_part_of_a_measurement_is_on_no_front_and_keeps_nobody_off() -> None:
    found = together(measured(1, 2, examples=2), measured(2, 1))
    assert not by_agents(found)[1].whole
    assert [entry.team.knobs["agents"] for entry in found.front] == [2]


def test_failures_are_infeasible_unless_the_study_allows_them() -> None:
    failed = result(0, answer=None, score=0.0, failure="http 400", calls=(call(failure="http 400"),))
    late = result(1, answer=None, score=0.0, failure="deadline")
    bad = block(team=team(3).id, trial=0, examples=(failed, late, result(2), result(3)))
    found = together(bad, measured(1, 1))
    assert by_agents(found)[3].infeasible == "failure_rate is 0.5, not <= 0 (1 × http 400, 1 × deadline)"
    assert [entry.team.knobs["agents"] for entry in found.front] == [1]
    allowed = together(bad, measured(1, 1), constraints={"failure_rate": "<= 0.5"})
    assert by_agents(allowed)[3].infeasible == ""
    assert allowed.constraints == {"failure_rate": "<= 0.5"}


@pytest.mark.parametrize(
    ("constraints", "reason"),
    [
        ({"calls": "<= 2"}, "calls is 3, not <= 2"),
        ({"quality": ">= 0.9"}, "quality is 0.75, not >= 0.9"),
        ({"calls": "<= 3", "quality": ">= 0.75"}, ""),
        ({"energy_j_per_success": "<= 0.01"}, "energy_j_per_success is 1.33, not <= 0.01"),
    ],
)
def test_a_violated_constraint_is_the_reason(constraints: dict[str, str], reason: str) -> None:
    found = together(measured(3, 3), constraints=constraints)
    assert found.teams[0].infeasible == reason
    assert bool(found.front) == (not reason)


def test_what_could_not_be_measured_is_infeasible_by_name() -> None:
    gone = {"energy_j": None, "energy_method": "unavailable"}
    limited = together(measured(1, 1, **gone), constraints={"energy_j": "<= 3"})
    assert limited.teams[0].infeasible == "energy_j could not be measured"
    wanted = together(measured(1, 1, **gone), objectives={**OBJECTIVES, "energy_j": "minimize"})
    assert wanted.teams[0].infeasible == "energy_j could not be measured"
    assert together(measured(1, 1, **gone)).front


def test_a_team_that_was_given_up_is_infeasible_with_what_is_known_of_it() -> None:
    gone = TeamFailure(
        team=team(2).id, topology="vote", knobs=team(2).knobs, reason="the engine of small died 4 times", trial=2
    )
    found = together(measured(1, 1), failures=[gone])
    assert by_agents(found)[2].infeasible == "the engine of small died 4 times"
    assert by_agents(found)[2].search is None
    assert by_agents(found)[2].as_json(OBJECTIVES)["objectives"] is None
    assert [entry.team.knobs["agents"] for entry in found.front] == [1]


def test_a_constraint_counts_in_confirmation_once_that_is_whole() -> None:
    def confirmed(right: int, examples: int) -> Results:
        return together(
            measured(1, 4),
            measured(1, right, phase="confirm", examples=examples),
            measured(2, 4),
            constraints={"quality": ">= 0.5"},
        )

    assert by_agents(confirmed(0, 1))[1].infeasible == ""
    broken = confirmed(0, 2)
    assert by_agents(broken)[1].infeasible == "in confirmation: quality is 0, not >= 0.5"
    assert [entry.team.knobs["agents"] for entry in broken.front] == [2]  # it makes room for the next best
    assert by_agents(confirmed(1, 2))[1].on_front


def test_confirmation_does_not_change_who_is_on_the_front_otherwise() -> None:
    found = together(measured(1, 3), measured(1, 0, phase="confirm", examples=2), measured(2, 2))
    assert [entry.team.knobs["agents"] for entry in found.front] == [1]
    estimates = found.front[0].as_json(OBJECTIVES)
    assert estimates["objectives"]["quality"]["value"] == 0.75
    assert estimates["confirmed"]["quality"] == {
        "value": 0.0,
        "low": 0.0,
        "high": pytest.approx(0.658, abs=1e-3),
        "n": 2,
    }


def test_joules_of_different_methods_are_never_compared() -> None:
    mixed = measured(1, 1), measured(2, 2, energy_method="nvml")
    with pytest.raises(OrkesterError, match=r"different methods \(estimate, nvml\)"):
        together(*mixed, objectives={"quality": "maximize", "energy_j": "minimize"})
    assert together(*mixed).front  # they are not: energy is no objective here


def test_engine_options_are_part_of_a_team_that_is_put_together_from_its_records() -> None:
    asked = {"max_num_active_seqs": 4, "quantization": None}
    served = Team("vote", team(2).knobs, asked)
    lost = Team("vote", team(3).knobs, asked)
    gone = TeamFailure(
        team=lost.id, topology="vote", knobs=lost.knobs, reason="it died", trial=3, engine_options=lost.engine
    )
    made = block(team=served.id, knobs=dict(served.knobs), trial=2, examples=4, engine_options=asked)
    found = together(measured(1, 1), made, failures=[gone])
    assert [entry.team for entry in found.teams] == [team(1), served, lost]
    assert [entry.team.id for entry in found.teams] == [team(1).id, served.id, lost.id]
    assert [entry.as_json(OBJECTIVES)["engine"] for entry in found.teams] == [{}, asked, asked]


def test_reruns_of_all_phases_are_counted() -> None:
    found = together(measured(1, 4, reruns=1), measured(1, 2, phase="confirm", examples=2, reruns=2))
    assert found.teams[0].reruns == 3


@pytest.mark.parametrize(
    ("value", "limit", "beyond"), [(3.0, "<= 2", 1.0), (2.0, "<= 2", 0.0), (0.5, ">= 0.75", 0.25), (1.0, ">= .5", -0.5)]
)
def test_a_violation_is_how_far_a_value_is_beyond_its_limit(value: float, limit: str, beyond: float) -> None:
    assert violation(value, limit) == beyond


@pytest.mark.parametrize("name", ["co2e_g", "cost_eur", "energy_idle_j", "energy_j_per_success"])
def test_nothing_that_follows_from_joules_of_different_methods_is_compared(name: str) -> None:
    mixed = measured(1, 1), measured(2, 2, energy_method="nvml")
    said = rf"\(estimate, nvml\), which must not be compared, and {name} would; start a new run .* energy\.meter"
    with pytest.raises(OrkesterError, match=said):
        together(*mixed, objectives={"quality": "maximize", name: "minimize"})
    with pytest.raises(OrkesterError, match=said):
        together(*mixed, constraints={name: "<= 1e9"})


def test_grams_and_euros_need_a_footprint() -> None:
    wanted = {"quality": "maximize", "co2e_g": "minimize"}
    assert together(measured(1, 1), objectives=wanted).teams[0].infeasible == "co2e_g could not be measured"
    found = together(measured(1, 1), objectives=wanted, footprint=footprint("SE")).teams[0]
    assert found.on_front
    assert found.search is not None
    assert found.search.estimates["co2e_g"].value == pytest.approx(footprint("SE").co2e_g(1.0))  # 4 J, 4 examples


def test_a_team_says_how_its_agents_got_their_joules() -> None:
    (found,) = together(measured(1, 1, energy_idle_j=2.0, attribution="tokens")).teams
    assert (found.idle_j, found.attribution) == (0.5, "tokens")


# -- confirmation -----------------------------------------------------------------------------------------------------

HELD_OUT: Mapping[Phase, int] = {"search": 4, "confirm": 40}


def confirmed(agents: int, right: int, blocks: int) -> list[Block]:
    """Blocks of four held-out examples, so many of which are right in each."""
    return [measured(agents, right, phase="confirm", index=i) for i in range(blocks)]


def test_a_confirmed_team_has_the_probability_that_no_other_one_beats_it() -> None:
    blocks = [measured(1, 2), measured(2, 3), measured(3, 1), *confirmed(1, 4, 5), *confirmed(2, 1, 5)]
    found = together(*blocks, sizes=HELD_OUT)
    known = by_agents(found)
    assert known[1].front_probability is not None
    assert known[1].front_probability > 0.99
    assert known[2].front_probability is not None
    assert known[2].front_probability < 0.01
    assert known[3].front_probability is None  # it was not confirmed
    assert [entry.team for entry in found.front] == [team(2), team(1)]  # chance alone takes nobody off
    assert known[2].as_json(OBJECTIVES)["front_probability"] == known[2].front_probability
    again = together(*blocks, sizes=HELD_OUT)
    assert [entry.front_probability for entry in again.teams] == [entry.front_probability for entry in found.teams]


def test_it_is_settled_when_clear_on_enough_blocks_or_when_there_are_no_more_examples() -> None:
    def settled(blocks: int, right: int = 4, limit: str = ">= 0") -> bool:
        found = together(measured(1, 4), *confirmed(1, right, blocks), sizes=HELD_OUT, constraints={"quality": limit})
        return found.teams[0].settled

    assert [settled(blocks) for blocks in (1, 2, 3)] == [False, False, True]
    assert not settled(3, right=2, limit=">= 0.6")  # the order is clear, but not whether it keeps to the limit
    close = [measured(1, 3), measured(2, 4), *confirmed(1, 3, 4), *confirmed(2, 3, 4)]
    assert not by_agents(together(*close, sizes=HELD_OUT))[2].settled
    whole = [*close, *(measured(2, 3, phase="confirm", index=i) for i in range(4, 10))]
    assert by_agents(together(*whole, sizes=HELD_OUT))[2].settled


def test_near_are_confirmed_teams_beside_the_front_the_likeliest_first() -> None:
    blocks = [measured(1, 4), measured(2, 4), measured(3, 4), measured(4, 4)]
    found = together(*blocks, *confirmed(1, 1, 4), *confirmed(2, 1, 4), *confirmed(3, 4, 4), sizes=HELD_OUT)
    assert [entry.team for entry in found.front] == [team(1)]
    assert [entry.team for entry in found.near] == [team(3), team(2)]


def given_up(agents: int) -> TeamFailure:
    return TeamFailure(
        team=team(agents).id, topology="vote", knobs=dict(team(agents).knobs), reason="it died", trial=agents
    )


#: Blocks of four teams in both phases, teams that were given up, and teams that were stopped.
RECORDS = st.lists(
    st.builds(measured, st.integers(1, 4), st.integers(0, 4), trial=st.none() | st.integers(0, 2))
    | st.builds(measured, st.integers(1, 4), st.integers(0, 4), phase=st.just("confirm"))
    | st.builds(given_up, st.integers(4, 6))
    | st.builds(lambda agents: TeamStopped(team=team(agents).id, reason="beaten"), st.integers(1, 7)),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(RECORDS, st.sets(st.integers(0, 11)))
@example([given_up(4), measured(1, 0, trial=None), measured(4, 0, trial=None)], set())
def test_records_that_come_one_by_one_give_what_all_at_once_do(records: list[Record], looks: set[int]) -> None:
    """However often they are asked for in between."""
    found = Findings(OBJECTIVES, {}, HELD_OUT)
    for number, record in enumerate(records, start=1):
        found.add(record)
        if number in looks or number == len(records):
            so_far = records[:number]
            blocks = [each for each in so_far if isinstance(each, Block)]
            failures = [each for each in so_far if isinstance(each, TeamFailure)]
            stopped = {each.team: each.reason for each in so_far if isinstance(each, TeamStopped)}
            whole = results(Records(blocks=blocks, failures=failures, stopped=stopped), OBJECTIVES, {}, HELD_OUT)
            assert found.results() == whole
            assert {result.team.id: result.trial for result in whole.teams} == {
                each.team: found.team(each.team).trial for each in (*blocks, *failures)
            }


def test_a_block_of_the_search_does_not_draw_chances_again(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def counted(rows: Mapping[str, Any], *rest: Any) -> dict[str, float]:
        drawn.append(sorted(rows))
        return front_probability(rows, *rest)

    monkeypatch.setattr("orkester.optim.run.results.front_probability", counted)
    found = Findings(OBJECTIVES, {}, HELD_OUT)
    for each in (measured(1, 4), measured(2, 4), *confirmed(1, 3, 3)):
        found.add(each)
    first = found.results()
    found.add(measured(3, 1))
    assert found.results().teams[:2] == first.teams
    assert drawn == [[team(1).id]]
    for each in confirmed(2, 4, 3):
        found.add(each)
    found.results()
    assert drawn == [[team(1).id], sorted([team(1).id, team(2).id])]


def test_of_a_team_without_records_nothing_is_found() -> None:
    with pytest.raises(KeyError):
        Findings(OBJECTIVES, {}, SIZES).team("vote-1")
