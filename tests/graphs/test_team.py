"""Teams: their ids, what they refuse, and where their models are."""

import copy
import pickle
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import orkester.graphs
from orkester.agents import Role
from orkester.errors import InputError
from orkester.graphs import Between, OneOfPolicies, Team, TeamContext, TeamSettings, check_value, topologies, topology
from orkester.graphs._knobs import knobs
from orkester.testing.scripted import scripted_models

VOTE = {"agents": 5, "model": "small", "temperature": 0.7}
ROUTER = {"first": "small", "second": "large", "routing": "rule", "temperature": 0.0}


@pytest.mark.parametrize(
    ("team", "team_id"),
    [
        (Team("single", {"model": "small", "temperature": 0.0}), "single-7e4dda62"),
        (Team("vote", VOTE), "vote-2f323f2e"),
        (
            Team("cascade", {"first": "s", "then": "l", "votes": 3, "temperature": 0.7, "agreement": 1.0}),
            "cascade-3dd48ab7",
        ),
        (Team("debate", {"agents": 3, "rounds": 1, "model": "gemma3-270m", "temperature": 0.35}), "debate-a9004235"),
    ],
)
def test_ids_never_change(team: Team, team_id: str) -> None:
    # Records and team files of runs that exist carry them.
    assert team.id == team_id


@settings(max_examples=50, deadline=None)
@given(order=st.permutations(list(VOTE)))
def test_the_order_of_knobs_does_not_matter(order: list[str]) -> None:
    team = Team("vote", {name: VOTE[name] for name in order})
    assert team == Team("vote", VOTE)
    assert hash(team) == hash(Team("vote", VOTE))
    assert str(team) == "vote: agents=5, model=small, temperature=0.7"


def test_other_knobs_or_another_topology_are_another_team() -> None:
    teams = [Team("vote", VOTE), Team("debate", VOTE), *(Team("vote", {**VOTE, "agents": n}) for n in (2, 3))]
    assert len({team.id for team in teams}) == len(set(teams)) == 4


@pytest.mark.parametrize("twin", [lambda t: pickle.loads(pickle.dumps(t)), copy.copy, copy.deepcopy])
@pytest.mark.parametrize("engine", [{}, {"kv_cache_dtype": "fp8"}])
def test_a_copy_is_the_same_team(twin: Any, engine: Any) -> None:
    team = Team("vote", VOTE, engine)
    assert twin(team) == team
    assert twin(team).id == team.id
    assert {team: 1}[twin(team)] == 1


def test_knobs_cannot_be_changed_afterwards() -> None:
    asked = dict(VOTE)
    team = Team("vote", asked)
    asked["agents"] = 9
    assert team.knobs["agents"] == 5
    with pytest.raises(TypeError):
        team.knobs["agents"] = 9  # type: ignore[index]


def test_engine_options_make_another_team_in_whatever_order() -> None:
    plain = Team("vote", VOTE)
    asked = {"quantization": None, "prefix_caching": True, "max_num_active_seqs": 4}
    team = Team("vote", VOTE, asked)
    assert Team("vote", VOTE, {}) == plain
    assert Team("vote", VOTE, {}).id == plain.id
    assert team != plain
    assert team.id == "vote-6dc1df0d"  # it never changes, as the others
    assert Team("vote", VOTE, dict(reversed(asked.items()))) == team
    assert len({plain, team, Team("vote", VOTE, {**asked, "max_num_active_seqs": 2})}) == 3
    assert str(team) == (
        "vote: agents=5, model=small, temperature=0.7; "
        "engine: max_num_active_seqs=4, prefix_caching=true, quantization=none"
    )
    assert team.check() is team
    with pytest.raises(TypeError):
        team.engine["max_num_active_seqs"] = 2  # type: ignore[index]


def test_it_names_each_of_its_models_once() -> None:
    cascade = {"first": "s", "then": "l", "votes": 3, "temperature": 0.7, "agreement": 1.0}
    assert Team("cascade", cascade).models == ("s", "l")
    assert Team("cascade", {**cascade, "then": "s"}).models == ("s",)
    assert Team("vote", VOTE).models == ("small",)


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        (
            "vot",
            {},
            f"unknown topology 'vot' (did you mean 'vote'?). Known: {', '.join(topologies())}, or module:name",
        ),
        (
            "zzz",
            {},
            f"unknown topology 'zzz'. Known: {', '.join(topologies())}, or module:name",
        ),
        ("vote", {"rounds": 2}, "vote has no knob 'rounds'. Known: agents, model, temperature"),
        ("vote", {"temperature": None}, "vote needs a value for the knob 'temperature'"),
        ("vote", {"agents": 0}, "agents takes 1 to 9, but got 0"),
        ("vote", {"agents": 10}, "agents takes 1 to 9, but got 10"),
        ("vote", {"agents": 2.5}, "agents takes a whole number, but got 2.5"),
        ("vote", {"agents": True}, "agents takes a whole number, but got True"),
        ("vote", {"agents": "5"}, "agents takes a whole number, but got '5'"),
        ("vote", {"temperature": 1.3}, "temperature takes 0 to 1.2, but got 1.3"),
        ("vote", {"temperature": float("nan")}, "temperature takes 0 to 1.2, but got nan"),
        ("vote", {"temperature": "warm"}, "temperature takes a number, but got 'warm'"),
        ("vote", {"model": 5}, "model takes a name, but got 5"),
        ("router", {**ROUTER, "routing": 5}, "routing takes a name, but got 5"),
        (
            "router",
            {**ROUTER, "routing": "rul"},
            "unknown routing policy 'rul' (did you mean 'rule'?). Known: cost_aware, learnt, rule, or module:name",
        ),
    ],
)
def test_what_is_no_team_is_refused(name: str, changes: dict[str, Any], said: str) -> None:
    asked = {**({} if name == "router" else VOTE), **changes}
    asked = {key: value for key, value in asked.items() if value is not None}
    with pytest.raises(InputError) as raised:
        Team(name, asked).check()
    assert str(raised.value) == said


def test_a_team_names_the_policies_that_it_uses() -> None:
    assert Team("router", {**ROUTER, "routing": "learnt"}).policies == ("learnt",)
    assert Team("vote", VOTE).policies == ()


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(topologies()), seed=st.integers(0, 10**6))
def test_whatever_lies_in_the_ranges_is_a_team(name: str, seed: int) -> None:
    rng = random.Random(seed)
    chosen: dict[str, Any] = {}
    for knob in topology(name).knobs.values():
        if isinstance(knob.range, Between):
            low, high = knob.range.low, knob.range.high
            chosen[knob.name] = rng.randint(int(low), int(high)) if knob.kind is int else rng.uniform(low, high)
        else:
            chosen[knob.name] = "rule" if isinstance(knob.range, OneOfPolicies) else "small"
    team = Team(name, chosen)
    assert team.check() is team


def test_a_whole_number_will_do_for_a_number() -> None:
    assert Team("vote", {**VOTE, "temperature": 1}).check()


def test_a_context_that_needs_a_value_without_a_default_is_no_topology() -> None:
    from dataclasses import dataclass
    from typing import Annotated

    @dataclass(frozen=True)
    class Bare:
        agents: Annotated[int, Between(1, 3)]

    with pytest.raises(InputError, match="knob 'agents' needs a default, since a topology also works without a study"):
        knobs(Bare)


def test_knobs_are_the_annotated_fields_in_order() -> None:
    found = topology("cascade").knobs
    assert list(found) == ["first", "then", "votes", "temperature", "agreement"]
    assert found["votes"].kind is int
    assert found["agreement"].kind is float
    assert found["votes"].range == Between(2, 9)
    with pytest.raises(InputError, match="2 to 9"):
        check_value(found["votes"], 1)


async def test_a_team_asks_its_models() -> None:
    models, asked = scripted_models(lambda call: "Oslo")
    assert await Team("single", {"model": "large", "temperature": 0.0}).answer("Capital?", models) == "Oslo"
    assert [(call.model, call.content) for call in asked] == [("large", "Capital?")]


@pytest.mark.parametrize(
    "team",
    [
        Team("single", {"model": "small", "temperature": 0.0}),
        Team("vote", VOTE),
        Team("cascade", {"first": "small", "then": "large", "votes": 3, "temperature": 0.7, "agreement": 1.0}),
        Team("debate", {"agents": 3, "rounds": 1, "model": "small", "temperature": 0.35}),
    ],
    ids=lambda team: team.topology,
)
async def test_the_messages_of_runs_that_exist_never_change(team: Team) -> None:
    # Records of runs know a call by its messages, sampling and number.
    models, asked = scripted_models(lambda call: f"{call.agent} {call.sample}")
    await team.answer("Which?", models, TeamSettings(instruction="Be {brief}.", max_tokens=5))
    for call in asked:
        system, user = call.messages
        assert system == {"role": "system", "content": "Be {brief}."}
        if call.agent == "debater" and call.sample >= 3:
            drafts = "".join(f"- debater {i}\n" for i in range(3) if i != call.sample - 3)
            shown = f"Which?\nDrafts from other agents:\n{drafts}Your answer:"
            assert user == {"role": "user", "content": shown}
        else:
            assert user == {"role": "user", "content": "Which?"}
        assert (call.max_tokens, call.response_format) == (5, None)
    asked.clear()
    await team.answer("Which?", models)
    assert all([message["role"] for message in call.messages] == ["user"] for call in asked)
    assert {call.max_tokens for call in asked} == {64}


async def test_a_team_works_with_the_roles_it_is_given() -> None:
    models, asked = scripted_models(lambda call: "Oslo")
    roles = {"solo": Role(name="solo", instruction="Think.", temperature=0.2, max_tokens=7)}
    team = Team("single", {"model": "small", "temperature": 0.9})
    await team.answer("Which?", models, TeamSettings(instruction="One word.", roles=roles))
    (call,) = asked
    assert call.messages[0]["content"] == "Think.\n\nOne word."
    assert (call.temperature, call.max_tokens) == (0.2, 7)


def test_a_role_that_nobody_knows_is_refused() -> None:
    context = TeamContext(models=scripted_models(lambda call: "")[0])
    with pytest.raises(InputError, match=r"unknown role 'sol'\. Known: .*\bsolo\b.*roles=\{name: Role\(…\)\}"):
        context.agent("sol", "small")


def test_topologies_are_modules_of_the_package() -> None:
    for name in topologies():
        assert getattr(orkester.graphs, name).topology is topology(name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = orkester.graphs.nothing
