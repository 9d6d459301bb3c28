"""Which calls a team makes, without any engine."""

from typing import Any

import pytest

from orkester.evals.running.probe import probe, probe_all
from orkester.evals.scorers import scorer
from orkester.evals.task import Task
from orkester.graphs import Team

SINGLE = Team("single", {"model": "small", "temperature": 0.0})


def task(name: str = "exact", **changes: Any) -> Task:
    known: dict[str, Any] = {"name": "small", "shots": (), "search": (), "confirm": (), "scorer": scorer(name)}
    known |= {"instruction": "", "max_tokens": 8, "extract": None, "data_sha256": ""}
    return Task(**{**known, **changes})


def vote(agents: int = 3, model: str = "small", temperature: float = 0.7, **engine: bool) -> Team:
    return Team("vote", {"agents": agents, "model": model, "temperature": temperature}, engine)


def cascade(votes: int = 3, then: str = "large", agreement: float = 1.0) -> Team:
    knobs = {"first": "small", "then": then, "votes": votes, "temperature": 0.7, "agreement": agreement}
    return Team("cascade", knobs)


def debate(agents: int = 2, rounds: int = 1) -> Team:
    return Team("debate", {"agents": agents, "rounds": rounds, "model": "small", "temperature": 0.7})


def shape(way: Any) -> list[list[tuple[str, str, int]]]:
    return [[(call.agent, call.model, call.sample) for call in stage] for stage in way]


@pytest.mark.parametrize("how", ["exact", "contains", "numeric", "choice"])
def test_every_topology_has_its_stages(how: str) -> None:
    one, three = [[("solo", "small", 0)]], [("voter", "small", i) for i in range(3)]
    first = [("first", "small", i) for i in range(3)]
    rounds = [[("debater", "small", 0), ("debater", "small", 1)], [("debater", "small", 2), ("debater", "small", 3)]]
    for team, agreeing, differing, calls in (
        (SINGLE, one, one, 1),
        (vote(), [three], [three], 3),
        (cascade(), [first], [first, [("then", "large", 0)]], 3.5),
        (cascade(agreement=0.5), [first], [first, [("then", "large", 0)]], 3.5),
        (debate(), rounds, rounds, 4),
    ):
        found = probe(team, task(how))
        assert (shape(found.agreeing), shape(found.differing)) == (agreeing, differing)
        assert (found.team, found.calls, found.reason) == (team.id, calls, "")


def test_the_same_call_has_the_same_key_whoever_makes_it() -> None:
    known = probe(vote(5), task()).keys
    assert len(known) == 5
    for team, new in (
        (vote(3), 0),
        (vote(7), 2),
        (Team("single", {"model": "small", "temperature": 0.7}), 0),
        (cascade(), 0.5),
        (debate(3), 3),
        (vote(3, "large"), 3),
        (vote(3, temperature=0.6), 3),
        (vote(3, prefix_caching=True), 3),
        (SINGLE, 1),
    ):
        assert probe(team, task()).new_calls(known) == new, str(team)


def test_a_call_that_builds_on_others_is_another_when_they_are() -> None:
    """With models that agree its messages look alike, whoever was asked before."""
    one, two = probe(debate(3, 1), task()), probe(debate(3, 2), task())
    assert one.keys < two.keys  # the same rounds, and one more
    assert two.new_calls(one.keys) == 3
    assert probe(debate(2), task()).new_calls(one.keys) == 2  # the first round is the same, the second is not
    assert probe(cascade(then="large"), task()).new_calls(probe(cascade(votes=2), task()).keys) == 1


def test_it_says_the_same_every_time_and_in_company() -> None:
    teams = [SINGLE, vote(), cascade(), debate()]
    assert probe_all(teams, task()) == [probe(team, task()) for team in teams]


async def test_it_may_be_asked_from_within_a_loop() -> None:
    assert probe(vote(), task()).calls == 3


def test_calls_add_up_and_stages_follow_each_other() -> None:
    found = probe(cascade(), task())
    seconds = {("first", "small"): 2.0, ("then", "large"): 5.0}
    assert found.critical_path(lambda call: seconds.get((call.agent, call.model))) == pytest.approx((2.0 + 7.0) / 2)
    assert found.expected_sum(lambda call: seconds.get((call.agent, call.model))) == pytest.approx((6.0 + 11.0) / 2)
    assert found.expected_sum(lambda call: 1.0 if call.model == "small" else None) is None
    assert found.critical_path(lambda call: float(call.sample)) == pytest.approx(2.0)


def test_a_graph_that_breaks_has_unknown_calls() -> None:
    class Broken:
        name, version = "broken", "1"

        def score(self, answer: str, expected: Any) -> float:
            return 0.0

        def key(self, answer: str) -> str:
            raise ZeroDivisionError

    found = probe(vote(), task(scorer=Broken()))
    assert (found.calls, found.new_calls(()), found.critical_path(lambda _: 1.0)) == (None, None, None)
    assert shape(found.agreeing) == shape(found.differing) == [[("voter", "small", i) for i in range(3)]]
    assert "the graph of vote does not end when all answers are equal: error ZeroDivisionError" in found.reason
    assert probe(SINGLE, task(scorer=Broken())).calls == 1  # which asks for no key


def test_a_graph_that_never_ends_has_unknown_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(self: Team, question: Any, models: Any, settings: Any = None) -> str:
        while True:
            await models["small"].chat(
                [{"role": "user", "content": question}], agent="a", temperature=0.7, max_tokens=8
            )

    monkeypatch.setattr(Team, "answer", answer)
    found = probe(SINGLE, task())
    assert found.calls is None
    assert found.reason.startswith("the graph of single does not end when all answers are equal: ")


def test_both_ways_name_a_call_alike_when_it_is_made_in_both() -> None:
    """Though what a debater reads in the second round is another text."""
    for team in (debate(3, 2), vote(), cascade()):
        found = probe(team, task())
        agreeing, differing = ({c.key for stage in way for c in stage} for way in (found.agreeing, found.differing))
        assert agreeing <= differing
        assert len(differing - agreeing) == (team.topology == "cascade")
