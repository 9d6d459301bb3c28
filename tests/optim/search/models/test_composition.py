"""What is known of teams before they are measured."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from orkester.evals.running.probe import PlannedCall, Signature
from orkester.graphs import Team
from orkester.optim.search.models.composition import Composition, no_prediction

Part = tuple[str, str]


def call(agent: str, model: str, sample: int, temperature: float) -> PlannedCall:
    return PlannedCall(
        agent=agent,
        model=model,
        temperature=temperature,
        max_tokens=64,
        sample=sample,
        key=f"{model} {temperature} {sample}",
    )


def signature(team: Team) -> Signature:
    """Votes share samples of the same model and temperature; a cascade's first stage is a vote."""
    knobs = team.knobs
    heat = float(knobs.get("temperature", 0.0))
    if team.topology == "debate":
        return Signature(team=team.id, agreeing=(), differing=(), reason="it went round in circles")
    if team.topology == "cascade":
        first = tuple(call("first", str(knobs["first"]), i, heat) for i in range(int(knobs["votes"])))
        then = (call("then", str(knobs["then"]), 0, 0.0),)
        return Signature(team=team.id, agreeing=(first,), differing=(first, then))
    role = "solo" if team.topology == "single" else "voter"
    stage = tuple(call(role, str(knobs["model"]), i, heat) for i in range(int(knobs.get("agents", 1))))
    return Signature(team=team.id, agreeing=(stage,), differing=(stage,))


def vote(agents: int, model: str = "small", temperature: float = 0.7) -> Team:
    return Team("vote", {"agents": agents, "model": model, "temperature": temperature})


def cascade(votes: int, then: str = "large", temperature: float = 0.7) -> Team:
    knobs = {"first": "small", "then": then, "votes": votes, "temperature": temperature, "agreement": 1.0}
    return Team("cascade", knobs)


def debate(agents: int) -> Team:
    return Team("debate", {"agents": agents, "rounds": 1, "model": "small", "temperature": 0.7})


SINGLE = Team("single", {"model": "small", "temperature": 0.7})
LARGE = Team("single", {"model": "large", "temperature": 0.0})


def sent(role: str, model: str, latency_s: float, energy_j: float, often: int = 1) -> list[tuple[Part, float, float]]:
    return [((role, model), latency_s, energy_j)] * often


@pytest.fixture
def composition() -> Composition:
    return Composition(signature)


def test_a_smaller_vote_after_a_larger_one_costs_nothing(composition: Composition) -> None:
    assert composition.cost(vote(3), 0, 8) == 24
    composition.learn(vote(5), 8, 5.0, [])
    assert composition.cost(vote(5), 8, 8) == 40  # its next examples are new
    assert composition.cost(vote(3), 0, 8) == 0
    assert composition.cost(SINGLE, 0, 8) == 0  # the same prompt and sample, in another role
    assert composition.cost(vote(7), 0, 8) == 2 * 8
    assert composition.cost(vote(3), 0, 16) == 3 * 8  # eight are there, eight are not
    assert composition.cost(vote(3, temperature=0.3), 0, 8) == 24
    assert composition.cost(vote(3, model="large"), 0, 8) == 24


def test_a_cascade_costs_what_its_votes_leave_open(composition: Composition) -> None:
    assert composition.cost(cascade(3), 0, 8) == pytest.approx(8 * (3 + 0.5))  # half as long as nothing is known
    composition.learn(vote(3), 8, 3.0, [])
    assert composition.cost(cascade(3), 0, 8) == pytest.approx(8 * 0.5)
    composition.learn(LARGE, 8, 1.0, [])
    assert composition.cost(cascade(3), 0, 8) == 0


def test_how_often_a_cascade_goes_on_is_learnt_by_topology(composition: Composition) -> None:
    for block in range(40):
        composition.learn(cascade(3), 8 * (block + 1), 3.1, [])  # one example in ten
    assert composition.calls(cascade(3)) == pytest.approx(3.1, abs=0.02)
    assert composition.calls(cascade(5)) == pytest.approx(5.1, abs=0.02)
    assert composition.calls(vote(5)) == 5


def test_of_a_graph_that_does_not_say_the_usual_of_its_topology_is_expected(composition: Composition) -> None:
    assert composition.cost(debate(2), 0, 8) == 8  # one call an example, as long as none was seen
    composition.learn(debate(2), 8, 4.0, [])
    composition.learn(debate(3), 8, 6.0, [])
    assert composition.calls(debate(4)) == 5.0
    assert composition.cost(debate(4), 0, 8) == 40
    assert composition.cost(debate(2), 0, 8) == 40  # nothing is known to be in the store
    assert composition.cost(vote(2), 0, 8) == 16


def test_latency_and_energy_of_teams_follow_from_the_calls_of_others(composition: Composition) -> None:
    teams = [SINGLE, vote(2), vote(6), cascade(4), LARGE, debate(2)]
    assert composition.predicted(teams, "energy_j") is None  # no call so far
    composition.learn(vote(2), 8, 2.0, [*sent("voter", "small", 0.2, 1.0, 8), *sent("voter", "small", 0.4, 3.0, 8)])
    composition.learn(LARGE, 8, 1.0, sent("solo", "large", 1.5, 10.0, 8))
    energy, latency = composition.predicted(teams, "energy_j"), composition.predicted(teams, "latency_p50_s")
    assert energy is not None
    assert latency is not None
    # A role that made no call is taken to be like others on the model; a cascade goes on in half of the cases.
    assert list(energy[:5]) == pytest.approx([2.0, 4.0, 12.0, 4 * 2.0 + 0.5 * 10.0, 10.0])
    assert list(latency[:5]) == pytest.approx([0.3, 0.3, 0.3, 0.3 + 0.5 * 1.5, 1.5])  # votes go side by side
    assert math.isnan(energy[5])
    calls = composition.predicted(teams, "calls")
    assert calls is not None
    assert list(calls[:5]) == pytest.approx([1, 2, 6, 4.5, 1])
    assert composition.predicted(teams, "quality") is None
    composition.learn(SINGLE, 8, 1.0, sent("solo", "small", 0.1, 0.5, 8))
    later = composition.predicted(teams, "energy_j")
    assert later is not None
    assert later[0] == pytest.approx(0.5)  # its own role is known now
    assert later[2] == pytest.approx(12.0)


def test_unmetered_calls_have_a_time_and_no_joules(composition: Composition) -> None:
    composition.learn(SINGLE, 8, 1.0, sent("solo", "small", 0.3, math.nan, 8))
    energy, latency = composition.predicted([SINGLE], "energy_j"), composition.predicted([SINGLE], "latency_mean_s")
    assert latency is not None
    assert energy is None or np.isnan(energy).all()
    assert latency[0] == pytest.approx(0.3)


def test_a_model_that_was_never_called_leaves_its_teams_open(composition: Composition) -> None:
    composition.learn(SINGLE, 8, 1.0, sent("solo", "small", 0.3, 2.0, 8))
    found = composition.predicted([SINGLE, LARGE, vote(2, model="large")], "energy_j")
    assert found is not None
    assert found[0] == pytest.approx(2.0)
    assert np.isnan(found[1:]).all()


def test_each_graph_is_looked_at_once() -> None:
    seen: list[str] = []

    def counted(team: Team) -> Signature:
        seen.append(team.id)
        return signature(team)

    composition = Composition(counted)
    teams: Sequence[Team] = [vote(n, temperature=t) for n in (2, 3) for t in (0.1, 0.2, 0.3)]
    for _ in range(3):
        composition.learn(teams[0], 8, 2.0, sent("voter", "small", 0.2, 1.0))
        composition.predicted(teams, "energy_j")
        assert composition.cost(teams[0], 0, 8) == 0
    assert len(seen) == len(set(seen)) == 2  # teams that differ in temperature alone are taken to be built alike


def test_a_search_without_profiles_knows_nothing() -> None:
    known: Callable[..., None] = no_prediction
    assert known([SINGLE], "energy_j") is None
