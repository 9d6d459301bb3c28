"""A search without engines: who is in the race, what blocks cost, and that the same records lead the same way."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from orkester.evals.running.probe import PlannedCall, Signature
from orkester.graphs import Team
from orkester.optim.goals.goal import Goal
from orkester.optim.search.models.composition import Composition
from orkester.optim.search.racing import Race
from orkester.optim.search.samplers import Sampler, Setting
from orkester.optim.search.samplers.ehvi import Ehvi
from orkester.optim.search.search import CHANGE_CALLS, Search, Taken
from orkester.optim.study.space import Grid, Space
from orkester.testing.blocks import block, call, result

Floats = NDArray[np.float64]
EXAMPLES, BLOCK = 32, 8
GOAL = Goal(
    objectives={"quality": "maximize", "latency_mean_s": "minimize", "energy_j": "minimize"},
    constraints={"failure_rate": "<= 0"},
)
MODELS = Grid(("small", "middle", "large"))
SPACE = Space(
    {
        "single": {"model": MODELS, "temperature": Grid((0.0,))},
        "vote": {"agents": Grid((2, 3, 4, 5)), "model": MODELS, "temperature": Grid((0.3, 0.7))},
    }
)
SIZE = {"small": 1.0, "middle": 2.0, "large": 4.0}
SINGLE = Team("single", {"model": "small", "temperature": 0.0})
LARGE = Team("single", {"model": "large", "temperature": 0.0})


def vote(agents: int, model: str = "small", temperature: float = 0.7, **engine: int) -> Team:
    return Team("vote", {"agents": agents, "model": model, "temperature": temperature}, engine)


def agents_of(team: Team) -> int:
    return int(team.knobs.get("agents", 1))


def signature(team: Team) -> Signature:
    model, heat = str(team.knobs["model"]), float(team.knobs["temperature"])
    stage = tuple(
        PlannedCall(
            agent="voter",
            model=model,
            temperature=heat,
            max_tokens=64,
            sample=i,
            key=f"{model} {heat} {i} {dict(team.engine)}",
        )
        for i in range(agents_of(team))
    )
    return Signature(team=team.id, agreeing=(stage,), differing=(stage,))


def searching(**changes: Any) -> Search:
    known = {
        "goal": GOAL,
        "examples": EXAMPLES,
        "block": BLOCK,
        "race": Race(objectives=GOAL.objectives, constraints=GOAL.constraints, examples=EXAMPLES, block=BLOCK),
        "composition": Composition(signature),
    }
    return Search(**{**known, **changes})


def rows(
    score: float = 1.0, latency_s: float = 1.0, energy_j: float = 1.0, failed: float = 0.0
) -> Mapping[str, Floats]:
    values = {"score": score, "failed": failed, "latency_s": latency_s, "energy_j": energy_j}
    return {name: np.full(BLOCK, value) for name, value in values.items()}


def taken(calls: float = 1.0, fresh: float = 1.0) -> Taken:
    return Taken(calls_per_example=calls, fresh=fresh, sent=[])


def whole(search: Search, team: Team, **values: float) -> None:
    for _ in range(EXAMPLES // BLOCK):
        search.learn(team, rows(**values), taken())


# -- who is in the race -----------------------------------------------------------------------------------------------


def test_a_team_is_closed_when_it_is_whole() -> None:
    search = searching()
    for number in range(EXAMPLES // BLOCK):
        assert SINGLE.id not in search.closed, number
        search.learn(SINGLE, rows(), taken())
    assert search.closed == {SINGLE.id: ""}
    assert search.infeasible == set()


def test_a_team_that_fails_is_closed_at_once_and_infeasible() -> None:
    search = searching()
    search.learn(SINGLE, rows(failed=1.0), taken())
    assert search.closed == {SINGLE.id: "failure_rate cannot be <= 0 any more after 8 of 32 examples"}
    assert search.infeasible == {SINGLE.id}


def test_without_a_race_it_goes_on_to_its_end_and_is_infeasible_then() -> None:
    search = searching(race=None)
    search.learn(SINGLE, rows(failed=1.0), taken())
    assert not search.closed
    for _ in range(3):
        search.learn(SINGLE, rows(), taken())
    assert search.closed == {SINGLE.id: ""}
    assert search.infeasible == {SINGLE.id}


def noisy(
    search: Search, team: Team, seed: int, *, blocks: int, latency_s: float, energy_j: float, score: float
) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(blocks):
        if team.id in search.closed:
            return
        right = (rng.random(BLOCK) < score).astype(float)
        found = rows(energy_j=energy_j * math.exp(rng.normal(0, 0.05)))
        latency = latency_s * np.exp(rng.normal(0, 0.1, BLOCK))
        search.learn(team, {**found, "score": right, "latency_s": latency}, taken())


def test_a_team_that_another_beats_is_stopped_and_not_infeasible() -> None:
    search = searching()
    noisy(search, SINGLE, 0, blocks=4, latency_s=1.0, energy_j=1.0, score=0.95)
    noisy(search, LARGE, 1, blocks=4, latency_s=5.0, energy_j=9.0, score=0.1)
    assert search.closed[SINGLE.id] == ""
    assert search.closed[LARGE.id].startswith(f"beaten by {SINGLE.id} after ")
    assert search.evidence.seen(LARGE) < EXAMPLES
    assert search.infeasible == set()


def test_what_a_record_says_of_a_stop_is_not_decided_again() -> None:
    search = searching()
    search.learn(SINGLE, rows(), taken(), stopped="beaten by another")
    assert search.closed == {SINGLE.id: "beaten by another"}
    failing = rows(failed=1.0)
    search.learn(vote(2), failing, taken(2.0), stopped="")
    assert vote(2).id not in search.closed
    search.learn(vote(3), failing, taken(3.0))
    assert vote(3).id in search.closed


def test_a_team_that_violates_a_constraint_stops_no_other() -> None:
    search = searching()
    for number in range(4):
        search.learn(SINGLE, rows(failed=float(number == 3)), taken())
    noisy(search, LARGE, 1, blocks=4, latency_s=5.0, energy_j=9.0, score=0.1)
    assert search.infeasible == {SINGLE.id}
    assert search.closed[LARGE.id] == ""


def test_a_team_that_was_stopped_stops_no_other() -> None:
    search = searching()
    noisy(search, SINGLE, 0, blocks=4, latency_s=1.0, energy_j=1.0, score=0.95)
    search.close(SINGLE, "beaten by another after 32 of 32 examples")
    noisy(search, LARGE, 1, blocks=4, latency_s=5.0, energy_j=9.0, score=0.1)
    assert search.closed[LARGE.id] == ""


def test_a_team_that_could_not_be_measured_is_closed_and_infeasible() -> None:
    search = searching()
    search.learn(SINGLE, rows(), taken())
    search.give_up(SINGLE, "its engine died")
    assert search.closed == {SINGLE.id: "its engine died"}
    assert search.infeasible == {SINGLE.id}
    standing = search.standing()
    assert set(standing.closed) == set(standing.infeasible) == {SINGLE.id}


# -- what blocks cost -------------------------------------------------------------------------------------------------


def test_calls_that_others_made_cost_nothing_where_they_are_reused() -> None:
    for reuse, expected in ((True, 0.0), (False, 24.0)):
        search = searching(reuse=reuse)
        search.learn(vote(5), rows(), taken(5.0))
        assert search.standing().cost(vote(3), 8) == expected
        assert search.standing().cost(vote(3, "large"), 8) == 24.0


def test_without_a_composition_a_block_costs_its_examples() -> None:
    assert searching(composition=None).standing().cost(vote(5), 8) == 8.0


def test_profiles_can_be_left_out() -> None:
    sent = [(("voter", "small"), 0.5, 2.0)]
    for profiles, known in ((True, True), (False, False)):
        search = searching(profiles=profiles)
        search.learn(SINGLE, rows(), Taken(calls_per_example=1.0, fresh=1.0, sent=sent))
        assert (search.standing().predicted([SINGLE], "energy_j") is not None) == known


def test_other_engines_cost_a_change_where_engines_take_turns() -> None:
    search = searching(engines_take_turns=True)
    search.learn(vote(5), rows(), taken(5.0))
    cost = search.standing().cost
    assert cost(vote(6), 8) == 8.0  # the engine is there
    assert cost(vote(2, "large"), 8) == 16.0 + CHANGE_CALLS
    assert cost(vote(2, max_num_active_seqs=4), 8) >= CHANGE_CALLS  # the same model with other options
    assert cost(vote(3), 8) == 0.0
    assert searching().standing().cost(vote(2, "large"), 8) == 16.0


def test_a_block_for_which_nothing_was_sent_changes_no_engine() -> None:
    search = searching(engines_take_turns=True)
    search.learn(vote(5, "large"), rows(), taken(5.0))
    search.learn(vote(5), rows(), taken(5.0))
    search.learn(vote(3, "large"), rows(), taken(3.0, fresh=0.0))
    cost = search.standing().cost
    assert cost(vote(6), 8) == 8.0
    assert cost(vote(6, "large"), 8) == 8.0 + CHANGE_CALLS
    assert cost(vote(4, "large"), 8) == 0.0  # for what is in the store no engine is needed


def test_what_a_block_took_is_told_from_its_record() -> None:
    examples = (
        result(0, calls=(call(energy_j=2.0, latency_s=0.5), call(reused=True, energy_j=1.0, sample=1))),
        result(1, calls=(call(energy_j=None), call(failure="timeout", sample=1))),
    )
    found = Taken.of(block(examples=examples))
    assert found.calls_per_example == 2
    assert found.fresh == 0.75
    assert [part for part, *_ in found.sent] == [("voter", "small")] * 2  # sent, and answered
    assert found.sent[0] == (("voter", "small"), 0.5, 2.0)
    assert math.isnan(found.sent[1][2])
    no_calls = Taken.of(block(examples=(result(0, calls=()),)))
    assert (no_calls.calls_per_example, no_calls.fresh) == (0.0, 0.0)


# -- with a sampler ---------------------------------------------------------------------------------------------------


@dataclass
class World:
    """Teams with true values, and blocks drawn from them: the same block however often it is asked for."""

    seed: int
    failing: str = ""
    blocks: list[tuple[Team, Mapping[str, Floats], Taken]] = field(default_factory=list)
    made: dict[str, int] = field(default_factory=dict)

    def block(self, team: Team, seen: int) -> tuple[Mapping[str, Floats], Taken]:
        size, agents = SIZE[str(team.knobs["model"])], agents_of(team)
        rng = np.random.default_rng([self.seed, seen, *team.id.encode()])
        ease = np.random.default_rng([self.seed, seen]).normal(0, 1, BLOCK)
        chance = 1 / (1 + np.exp(-(0.5 * size + 0.2 * agents - 1 + ease)))
        score = (rng.random(BLOCK) < chance).astype(float)
        found = {
            "score": score,
            "failed": np.full(BLOCK, float(team.knobs["model"] == self.failing)),
            "latency_s": size * np.exp(rng.normal(0, 0.2, BLOCK)),
            "energy_j": np.full(BLOCK, size * agents * math.exp(rng.normal(0, 0.05))),
        }
        new = 0
        for planned in signature(team).keys:
            new += self.made.get(planned, 0) <= seen
            self.made[planned] = max(seen + BLOCK, self.made.get(planned, 0))
        sent = [(("voter", str(team.knobs["model"])), size, size)] * (new * BLOCK)
        return found, Taken(calls_per_example=agents, fresh=new / agents, sent=sent)

    def learn(self, search: Search, team: Team) -> None:
        found, took = self.block(team, search.evidence.seen(team))
        self.blocks.append((team, found, took))
        search.learn(team, found, took)


def ehvi(seed: int = 0, start: Sequence[Team] = ()) -> Ehvi:
    return Ehvi(Setting(space=SPACE, goal=GOAL, seed=seed, start=start))


def begun(search: Search) -> int:
    return len(search.evidence.teams)


def drive(
    search: Search, sampler: Sampler, world: World, *, trials: int = len(SPACE), most: int = 400
) -> list[list[str]]:
    """To its end, or so many choices; each of them, and that it keeps to the rules."""
    choices: list[list[str]] = []
    for _ in range(most):
        new = trials - begun(search)
        turns = search.choose(sampler, 8, new_teams=new)
        if not turns:
            return choices
        teams = [turn.team for turn in turns]
        assert not {team.id for team in teams} & set(search.closed)
        assert sum(team not in search.evidence for team in teams) <= new
        assert len({team.id for team in teams}) == len(teams)
        choices.append([team.id for team in teams])
        for turn in turns:
            assert turn.blocks == 1
            if turn.team.id not in search.closed:
                world.learn(search, turn.team)
    raise AssertionError("it does not end")


@pytest.mark.parametrize("trials", [1, 5, 12, len(SPACE)])
@pytest.mark.parametrize("seed", [0, 1])
def test_ehvi_begins_no_more_teams_than_it_may_and_asks_for_none_that_is_closed(seed: int, trials: int) -> None:
    search = searching()
    choices = drive(search, ehvi(seed), World(seed, failing="middle"), trials=trials)
    assert choices
    assert begun(search) <= trials
    assert {team.id for team in search.evidence.teams if team.knobs["model"] == "middle"} <= search.infeasible
    closed_whole = [team for team in search.evidence.teams if search.closed.get(team.id) == ""]
    assert trials < 5 or closed_whole  # there is a front


def test_ehvi_ends_with_a_front_that_is_measured_whole() -> None:
    search, sampler = searching(), ehvi()
    drive(search, sampler, World(3))
    front = sampler.believed_front(search.standing())
    assert front
    assert all(search.evidence.seen(team) == EXAMPLES for team in front)
    assert not search.infeasible & {team.id for team in front}


def test_ehvi_sends_fewer_calls_than_measuring_every_team() -> None:
    search, world = searching(), World(4)
    drive(search, ehvi(), world)
    sent = sum(took.fresh * took.calls_per_example * BLOCK for _, _, took in world.blocks)
    assert sent < 0.6 * sum(agents_of(team) * EXAMPLES for team in SPACE.teams())


def test_the_users_teams_come_first() -> None:
    start = [vote(4, "large", 0.3), vote(2)]
    choices = drive(searching(), ehvi(start=start), World(0))
    assert choices[:2] == [[start[0].id], [start[1].id]]


def test_from_the_same_records_follows_the_same_choice() -> None:
    """As a run does that was killed after any block: what it knows is on disk."""
    search, sampler, world = searching(), ehvi(), World(5, failing="middle")
    checked = 0
    while turns := search.choose(sampler, 1, new_teams=20 - begun(search)):
        if len(world.blocks) % 3 == 0:
            again = searching()
            for team, found, took in world.blocks:
                again.learn(team, found, took)
            assert (again.closed, again.infeasible) == (search.closed, search.infeasible)
            assert again.choose(ehvi(), 1, new_teams=20 - begun(again)) == turns
            checked += 1
        for turn in turns:
            world.learn(search, turn.team)
    assert checked > 5


def test_a_front_is_measured_to_its_end_when_little_is_left_to_spend() -> None:
    search, sampler, world = searching(), ehvi(), World(6)
    for _ in range(12):
        for turn in search.choose(sampler, 1):
            world.learn(search, turn.team)
    before = {team.id for team in search.evidence.teams}
    while unfinished := {team.id for team in sampler.believed_front(search.standing())} - set(search.closed):
        (turn,) = search.choose(sampler, 1, calls_left=1.0)
        assert turn.team.id in unfinished  # nothing new, though it would be worth it
        world.learn(search, turn.team)
    assert {team.id for team in search.evidence.teams} == before


@pytest.mark.parametrize("budget", [40, 64, 100, 200, 400])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_of_a_small_budget_something_is_left_to_measure_the_front_to_its_end(seed: int, budget: int) -> None:
    search, sampler, world, sent = searching(), ehvi(seed), World(seed), 0.0
    while sent < budget and (turns := search.choose(sampler, 1, calls_left=budget - sent)):
        (turn,) = turns
        world.learn(search, turn.team)
        took = world.blocks[-1][2]
        sent += took.fresh * took.calls_per_example * BLOCK
    whole = [team for team in search.evidence.teams if search.closed.get(team.id) == ""]
    assert set(whole) - {team for team in whole if team.id in search.infeasible}
    assert sent < budget + 5 * BLOCK


def test_a_team_whose_calls_are_all_known_goes_on_to_its_end_in_one_go() -> None:
    search, sampler, world = searching(race=None), ehvi(), World(8)
    for team in [*(team for team in SPACE.teams() if team.topology == "single"), vote(2, "large"), vote(2, "middle")]:
        world.learn(search, team)  # one of each topology on each model
    for _ in range(EXAMPLES // BLOCK):
        world.learn(search, vote(5))
    world.learn(search, vote(3))
    assert world.blocks[-1][2].fresh == 0
    for _ in range(EXAMPLES // BLOCK - 1):
        (turn,) = search.choose(sampler, 1)
        assert turn.team == vote(3)
        world.learn(search, turn.team)
    (turn,) = search.choose(sampler, 1)
    assert turn.team != vote(3)


def test_a_goal_without_constraints_is_served_too() -> None:
    search = searching(goal=replace(GOAL, constraints={}), race=None)
    sampler = Ehvi(Setting(space=SPACE, goal=replace(GOAL, constraints={}), seed=1))
    assert drive(search, sampler, World(7), trials=8)
