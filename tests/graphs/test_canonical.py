"""Two settings of topologies are one team if, and only if, they make the same calls and answer the same.

What a setting does is found out on models that answer by patterns: all answers are equal, all differ, the first few
are equal, and patterns drawn at random. A pattern knows a call by what its answer may depend on, and not by who makes
it.
"""

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from orkester.agents import Role
from orkester.agents.packs import known_roles
from orkester.agents.routing import Route, RoutingRequest, routing_policies
from orkester.errors import InputError
from orkester.graphs import (
    Between,
    Canonical,
    Form,
    Knob,
    OneOf,
    OneOfModels,
    OneOfPolicies,
    Team,
    TeamSettings,
    form_of,
    topologies,
    topology,
)
from orkester.optim.study.space import Grid, Space
from orkester.registry import Plugin, Registry
from orkester.testing import ChatCall, scripted_models

MODELS = ("small", "large")
#: Values for the knobs of topologies with special ends, such as votes and agreement. Others get a grid of their ranges.
GRIDS: Mapping[str, Mapping[str, Sequence[Any]]] = {
    "single": {"model": MODELS, "temperature": (0.0, 0.5)},
    "vote": {"agents": (1, 2, 3, 4), "model": MODELS, "temperature": (0.5,)},
    "cascade": {
        "first": ("small",),
        "then": MODELS,
        "votes": (2, 3, 4),
        "temperature": (0.5,),
        "agreement": (0.5, 0.55, 0.65, 0.7, 0.75, 0.8, 1.0),
    },
    "adaptive_vote": {
        "agents": (3, 4, 5, 6),
        "confidence": (0.8, 0.85, 0.9, 0.95, 1.0),
        "model": ("small",),
        "temperature": (0.5,),
    },
    "debate": {"agents": (2, 3), "rounds": (1, 2), "model": ("small",), "temperature": (0.0, 0.5)},
    "reflect": {"rounds": (1, 2), "model": ("small",), "critic": MODELS, "temperature": (0.0, 0.5)},
}
#: One pattern of answers after the other gets the next question. The rule finds a digit in the last two.
QUESTIONS = ("A question?", "Is 2 even?", "Is 7 even?")
#: What a study may change of roles, each to another end.
CHANGES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "none": {},
    "a voter with an instruction of its own": {"voter": {"instruction": "You vote."}},
    "a voter and a single agent with the same instruction": {
        "voter": {"instruction": "You answer."},
        "solo": {"instruction": "You answer."},
    },
    "agents with temperatures of their own": {
        "voter": {"temperature": 0.3},
        "first": {"temperature": 0.3},
        "solo": {"temperature": 0.3},
        "debater": {"temperature": 0.3},
        "actor": {"temperature": 0.3},
    },
    "replies that follow a schema": {"voter": {"output": {"type": "object"}}, "solo": {"output": {"type": "object"}}},
    "shorter replies of the cascade's first agents": {"first": {"max_tokens": 3}},
}

Pattern = Callable[[str, ChatCall], str]


class ByWord:
    """A stand-in for a policy that has learnt: the order of its choices does not matter to it."""

    def route(self, request: RoutingRequest) -> Route:
        choices = sorted(request.choices)
        return Route(choice=choices[0] if "7" in request.question else choices[-1], reason="a word")


class ByCost:
    """A stand-in for a policy to which the order of its choices matters, and that another word decides."""

    def route(self, request: RoutingRequest) -> Route:
        return Route(choice=request.choices[0 if "2" in request.question else -1], reason="a word")


def digest(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:6], "big")


def patterns() -> Iterator[Pattern]:
    yield lambda call, asked: "yes"
    yield lambda call, asked: f"answer {digest(call)}"
    for count in range(1, 5):
        yield lambda call, asked, count=count: "yes" if asked.sample < count else f"answer {digest(call)}"
    for seed in range(16):
        words = ("yes", "no", "approved: yes") if seed % 2 else ("yes", "no", "perhaps", "approved")
        yield lambda call, asked, seed=seed, words=words: words[digest(seed, call) % len(words)]
    # What a planner, a supervisor and a receiver say when others are to work.
    for directive in ("1. yes\n2. no\n3. yes", "ASK: yes\nASK: no\nASK: yes", "HANDOFF: yes"):
        yield lambda call, asked, directive=directive: directive
        for seed in range(4):
            words = (directive, "yes", "no")
            yield lambda call, asked, seed=seed, words=words: words[digest(seed, call) % len(words)]


def identity(asked: ChatCall) -> str:
    """What an answer may depend on. A call's agent is not among it."""
    parts = [asked.model, list(asked.messages), asked.temperature, asked.max_tokens, asked.sample, asked.seed]
    return json.dumps([*parts, asked.response_format], sort_keys=True)


async def behaviour(name: str, knobs: Mapping[str, Any], roles: Mapping[str, Role]) -> tuple[object, ...]:
    """Calls and answer under every pattern."""
    found: list[object] = []
    for pattern, question in zip(patterns(), itertools.cycle(QUESTIONS), strict=False):
        made: Counter[str] = Counter()

        def answer(asked: ChatCall, pattern: Pattern = pattern, made: Counter[str] = made) -> str:
            call = identity(asked)
            made[call] += 1
            return pattern(f"{call} {made[call]}", asked)

        models, _ = scripted_models(answer, *MODELS)
        settings = TeamSettings(
            instruction="Answer yes or no.", roles=roles, policies={"learnt": ByWord(), "cost_aware": ByCost()}
        )
        text = await Team(name, knobs).answer(question, models, settings)
        found.append((tuple(sorted(made.items())), text))
    return tuple(found)


def changed(change: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Role]:
    return {name: replace(known_roles()[name], **fields) for name, fields in change.items()}


def grid_of(name: str) -> Mapping[str, Sequence[Any]]:
    if name in GRIDS:
        return GRIDS[name]
    return {knob.name: values_of(knob) for knob in topology(name).knobs.values()}


def values_of(knob: Knob) -> Sequence[Any]:
    match knob.range:
        case OneOfModels():
            return MODELS
        case OneOfPolicies():
            return routing_policies()
        case OneOf(choices):
            return choices
        case Between(low, high):
            middle = (low + high) / 2
            return sorted({int(low), int(middle)}) if knob.kind is int else (low, middle)


def settings_of(name: str) -> Iterator[Mapping[str, Any]]:
    grid = grid_of(name)
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def key(form: Form) -> tuple[str, frozenset[tuple[str, Any]]]:
    return form.topology, frozenset(form.knobs.items())


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_settings_are_one_team_where_they_do_the_same_and_only_there(change: Mapping[str, Any]) -> None:
    roles = changed(change)
    touched = set(change) & {"debater", "actor"} or not change
    by_form: dict[object, set[object]] = {}
    by_behaviour: dict[object, set[object]] = {}
    names: dict[object, str] = {}
    for name in topologies() if touched else ("single", "vote", "cascade", "router"):
        for knobs in settings_of(name):
            form, done = key(form_of(name, knobs, roles)), await behaviour(name, knobs, roles)
            names.setdefault(form, f"{name} {knobs}")
            by_form.setdefault(form, set()).add(done)
            by_behaviour.setdefault(done, set()).add(form)
    assert [names[form] for form, behaviours in by_form.items() if len(behaviours) > 1] == [], "they do not do the same"
    twins = [[names[form] for form in forms] for forms in by_behaviour.values() if len(forms) > 1]
    assert twins == [], "they do the same, and canonical does not say so"
    assert len(by_form) > 10


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_form_is_its_own_form_and_depends_on_deciding_knobs_alone(change: Mapping[str, Any]) -> None:
    roles = changed(change)
    for name in topologies():
        assert set(topology(name).decided_by) <= set(topology(name).knobs)
        for knobs in settings_of(name):
            form = form_of(name, knobs, roles)
            assert set(form.knobs) <= set(topology(form.topology).knobs)
            assert form_of(form.topology, {**defaults(form.topology), **form.knobs}, roles) == form
            free = {knob: object() for knob in knobs if knob not in topology(name).decided_by}
            image = form_of(name, {**knobs, **free}, roles)
            values = {id(stand_in): knobs[knob] for knob, stand_in in free.items()}
            assert {knob: values.get(id(value), value) for knob, value in image.knobs.items()} == form.knobs


def defaults(name: str) -> Mapping[str, Any]:
    return {knob.name: knob.default for knob in topology(name).knobs.values()}


# -- spaces ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize(
    "names", [tuple(GRIDS), ("vote", "cascade"), ("cascade",), ("cascade", "single"), ("vote", "single")], ids=str
)
def test_a_space_has_every_team_once_under_a_setting_of_its_own(
    names: tuple[str, ...], change: Mapping[str, Any]
) -> None:
    grids = {name: {knob: Grid(tuple(values)) for knob, values in GRIDS[name].items()} for name in names}
    roles = changed(change)
    space = Space(grids, {"prefix_caching": (True, False)}, roles)
    teams = list(space.teams())
    forms = {key(form_of(name, knobs, roles)) for name in names for knobs in settings_of(name)}
    assert len(space) == len(teams) == 2 * len(forms)
    assert {key(form_of(team.topology, team.knobs, roles)) for team in teams} == forms
    assert all(team in space and space.has_setting(team) for team in teams)
    by_place = [space.team_at(place) for place in range(space.settings)]
    assert [team for team in by_place if team is not None] == teams
    for name in names:
        for knobs in settings_of(name):
            team = Team(name, knobs, {"prefix_caching": True})
            stands = space.representative(team)
            assert stands in teams
            assert (team in space) == (stands == team)
            assert form_of(stands.topology, stands.knobs, roles) == form_of(name, knobs, roles)


def test_the_plainest_setting_stands_for_a_team() -> None:
    grids = {name: {knob: Grid(tuple(values)) for knob, values in GRIDS[name].items()} for name in ("vote", "single")}
    space = Space(grids)
    one = Team("vote", {"agents": 1, "model": "small", "temperature": 0.5})
    assert space.representative(one) == Team("single", {"model": "small", "temperature": 0.5})
    assert space.params(one) == {"topology": "single", "single.model": "small", "single.temperature": 0.5}
    without_single = Space({"vote": grids["vote"]})
    assert without_single.representative(one) == one
    cascades = Space({"cascade": {knob: Grid(tuple(values)) for knob, values in GRIDS["cascade"].items()}})
    knobs = {"first": "small", "then": "large", "votes": 3, "temperature": 0.5}
    assert cascades.representative(Team("cascade", {**knobs, "agreement": 0.8})).knobs["agreement"] == 1.0


def fails(form: Form, roles: Mapping[str, Role]) -> Form:
    raise RuntimeError("boom")


def returns_nothing(form: Form, roles: Mapping[str, Role]) -> Form:
    return None  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("canonical", "message"),
    [
        (
            fails,
            (
                "canonical of the topology 'own' fails for the values {'model': 'small'} of the knobs in decided_by: "
                "RuntimeError: boom"
            ),
        ),
        (returns_nothing, "canonical of the topology 'own' must return a Form, but returned None"),
    ],
)
def test_a_canonical_that_does_not_work_is_named(canonical: Canonical, message: str) -> None:
    own = replace(topology("single"), name="own", canonical=canonical, decided_by=("model",))
    registry = Registry(
        kind="topology",
        group="topologies",
        built_in=lambda: [Plugin(name="own", origin="built in", target="own:topology", load=lambda: own)],
        accept=lambda _, loaded: loaded,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orkester.graphs._topology.TOPOLOGIES", registry)
        with pytest.raises(InputError) as raised:
            form_of("own", {"model": "small", "temperature": 0.0})
    assert str(raised.value) == message
