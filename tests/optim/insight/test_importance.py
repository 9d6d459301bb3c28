"""Which knobs matter, and what would be worth trying: checked against functions whose shares are known."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from orkester.evals.objectives import Estimate
from orkester.evals.summaries.measurement import Measurement
from orkester.graphs import Team
from orkester.optim.insight.effects import MIN_TEAMS, fit
from orkester.optim.insight.importance import Importance, Share, importances
from orkester.optim.insight.insights import Insights, insights
from orkester.optim.insight.suggestions import border_hints, worth_trying
from orkester.optim.run.results import Results, TeamResult
from orkester.optim.search.models.design import Design
from orkester.optim.study.space import Grid, Space
from orkester.optim.study.study_of_run import space_of_run

MODELS = Grid(("small", "middle", "large"))
TENTHS = Grid(tuple(round(0.1 * i, 1) for i in range(11)))
HALVES = Grid(tuple(round(0.5 + 0.05 * i, 2) for i in range(11)))
CASCADE = {"first": MODELS, "then": MODELS, "votes": Grid((2, 3, 4, 5)), "temperature": TENTHS, "agreement": HALVES}
VOTE = {"agents": Grid(tuple(range(2, 10))), "model": MODELS, "temperature": TENTHS}
DEBATE = {"agents": Grid((2, 3, 4)), "rounds": Grid((1, 2)), "model": MODELS, "temperature": Grid((0.5,))}
QUALITY = {"model": {"small": 0.3, "middle": 0.5, "large": 0.9}}

Truth = Callable[[Team], float]


def result(team: Team, values: Mapping[str, float], error: float = 0.001, **changes: Any) -> TeamResult:
    """A measured team; ``error`` is the standard error of every value."""
    estimates = {
        name: Estimate(value=value, low=value - 1.96 * error, high=value + 1.96 * error, n=64)
        for name, value in values.items()
    }
    measurement = Measurement(
        team=team.id, phase="search", examples=64, blocks=4, estimates=estimates, energy_method="replay", failures={}
    )
    given: dict[str, Any] = {"trial": 0, "whole": True, "infeasible": "", "on_front": False} | changes
    return TeamResult(team=team, search=measurement, confirmed=None, agents=[], residual_j=None, reruns=0, **given)


def together(teams: Sequence[TeamResult], objectives: Mapping[str, Any] | None = None, **constraints: str) -> Results:
    limits = {"failure_rate": "<= 0", **constraints}
    return Results(objectives=objectives or {"quality": "maximize"}, constraints=limits, teams=teams)


def drawn(space: Space, count: int, seed: int = 0) -> list[Team]:
    """So many different teams of the space, topologies and values equally likely."""
    rng = random.Random(seed)
    found: dict[str, Team] = {}
    while len(found) < count:
        team = space.draw(rng)
        found[team.id] = team
    return list(found.values())


def said(space: Space, truth: Truth, teams: Sequence[Team], error: float = 0.001, seed: int = 0) -> Importance:
    rng = random.Random(seed)
    found = together([result(team, {"quality": truth(team) + rng.gauss(0, error)}, error) for team in teams])
    return importances(fit(found, space, ["quality"], seed=seed), ["quality"])["quality"]


def shares(space: Space, truth: Truth) -> dict[tuple[str, ...], float]:
    """What is true, by running through every team of the space."""
    means, inner = [], []
    parts: dict[tuple[str, ...], float] = {}
    for name, grids in space.grids.items():
        knobs = [knob for knob, grid in grids.items() if not grid.fixed]
        values = np.empty([len(grids[knob].values) for knob in knobs])
        for place in np.ndindex(*values.shape):
            chosen = {knob: grids[knob].values[i] for knob, i in zip(knobs, place, strict=True)}
            fixed = {knob: grid.values[0] for knob, grid in grids.items() if grid.fixed}
            values[place] = truth(Team(name, {**fixed, **chosen}))
        axes = range(len(knobs))
        alone = [values.mean(axis=tuple(j for j in axes if j != i)) - values.mean() for i in axes]
        for i in axes:
            parts[f"{name}.{knobs[i]}",] = float(alone[i].var())
        for i, j in itertools.combinations(axes, 2):
            both = values.mean(axis=tuple(k for k in axes if k not in {i, j})) - values.mean()
            parts[f"{name}.{knobs[i]}", f"{name}.{knobs[j]}"] = float((both - alone[i][:, None] - alone[j]).var())
        means.append(values.mean())
        inner.append(values.var())
    total = float(np.var(means) + np.mean(inner))
    found = {key: part / len(means) / total for key, part in parts.items()}
    return {**found, ("topology",): float(np.var(means)) / total}


def holds(share: Share, truth: float) -> bool:
    return share.low <= truth <= share.high


def test_shares_are_those_of_a_function_whose_shares_are_known() -> None:
    """y = 3a + 2bc: by hand, the shares of a, b and c alone, and of b with c."""
    space = Space({"cascade": CASCADE})
    a, b, c = ((np.array(CASCADE[k].values, dtype=float)) for k in ("votes", "temperature", "agreement"))
    parts = {
        "cascade.votes": 9 * (a / 10).var(),
        "cascade.temperature": 4 * c.mean() ** 2 * b.var(),
        "cascade.agreement": 4 * b.mean() ** 2 * c.var(),
        "together": 4 * b.var() * c.var(),
    }
    total = sum(parts.values())

    def truth(team: Team) -> float:
        k = team.knobs
        return 3 * float(k["votes"]) / 10 + 2 * float(k["temperature"]) * float(k["agreement"])

    found = said(space, truth, drawn(space, 300))
    for name in ("cascade.votes", "cascade.temperature", "cascade.agreement"):
        assert found.knobs[name].value == pytest.approx(parts[name] / total, abs=0.01)
        assert holds(found.knobs[name], parts[name] / total)
    for name in ("cascade.first", "cascade.then"):  # decide nothing
        assert found.knobs[name].value < 0.005
        assert found.knobs[name].low == 0 < found.knobs[name].high
    strongest = found.interactions[0]
    assert {strongest.first, strongest.second} == {"cascade.temperature", "cascade.agreement"}
    assert holds(strongest.share, parts["together"] / total)
    assert strongest.share.low > 0
    assert all(each.share.low == 0 for each in found.interactions[1:])
    assert "topology" not in found.knobs  # there is one
    named = sum(share.value for share in found.knobs.values()) + sum(i.share.value for i in found.interactions)
    assert named + found.rest.value == pytest.approx(1)
    assert found.rest.low == 0


def mixed(team: Team) -> float:
    """Differs between topologies, by what only one of them has, and by two knobs together."""
    k = team.knobs
    score = QUALITY["model"][str(k.get("model", k.get("first")))]
    if team.topology == "vote":
        return score + 0.05 * float(k["agents"]) * (1 - float(k["temperature"]))
    return 0.4 + 0.3 * float(k["rounds"]) + 0.2 * score


def test_knobs_count_in_their_topology_and_topologies_among_each_other() -> None:
    space = Space({"vote": VOTE, "debate": DEBATE})
    truth = shares(space, mixed)
    found = said(space, mixed, drawn(space, 120), error=0.01)
    for name, share in found.knobs.items():
        assert share.value == pytest.approx(truth[name,], abs=0.03), name
    assert found.knobs["topology"].teams == 120
    assert found.knobs["debate.rounds"].teams < 120
    assert "debate.temperature" not in found.knobs  # fixed: nothing was asked
    together_ = {(each.first, each.second): each.share for each in found.interactions}
    key = ("vote.agents", "vote.temperature")
    assert together_[key].value == pytest.approx(truth[key], abs=0.03)
    assert (found.interactions[0].first, found.interactions[0].second) == key


def test_a_sampler_that_looks_where_it_is_good_changes_no_share() -> None:
    space = Space({"vote": VOTE, "debate": DEBATE})
    truth = shares(space, mixed)
    everywhere = drawn(space, 200)
    best = sorted(everywhere, key=mixed)[100:]
    found = said(space, mixed, best, error=0.01)
    for name, share in found.knobs.items():
        assert share.value == pytest.approx(truth[name,], abs=0.06), name


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    space = Space({"vote": {**VOTE, "temperature": Grid((0.2, 0.4, 0.6, 0.8))}, "debate": DEBATE})
    hits = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        model = dict(zip(MODELS.values, rng.normal(size=3), strict=True))
        slopes = rng.normal(size=5) * rng.choice([0, 1], 5)

        def truth(team: Team, model: dict[Any, float] = model, slopes: Any = slopes) -> float:
            k = team.knobs
            score = model[k["model"]] + slopes[4] * (team.topology == "vote")
            if team.topology == "vote":
                both = slopes[1] * (float(k["agents"]) - 5.5) * (float(k["temperature"]) - 0.5)
                return float(score + 0.2 * slopes[0] * float(k["agents"]) + both)
            return float(score + slopes[2] * float(k["rounds"]) + slopes[3] * np.exp(-float(k["agents"])))

        right = shares(space, truth)
        found = said(space, truth, drawn(space, 50, seed), error=0.2, seed=seed)
        each: dict[tuple[str, ...], Share] = {(name,): share for name, share in found.knobs.items()}
        each |= {(pair.first, pair.second): pair.share for pair in found.interactions}
        hits += [holds(share, right[name]) or (share.low == 0 and right[name] < 0.005) for name, share in each.items()]
    assert len(hits) > 200
    assert np.mean(hits) > 0.9


def test_a_team_that_was_stopped_early_counts_by_its_error() -> None:
    space = Space({"vote": VOTE})
    teams = drawn(space, 40)
    exact = [result(team, {"quality": mixed(team)}) for team in teams[:-3]]

    def rounds_off(error: float) -> float:
        odd = [result(team, {"quality": mixed(team) + 1.5}, error, whole=False) for team in teams[-3:]]
        found = importances(fit(together([*exact, *odd]), space, ["quality"]), ["quality"])["quality"]
        return abs(found.knobs["vote.model"].value - shares(space, mixed)["vote.model",])

    assert rounds_off(error=0.5) < 0.05 < rounds_off(error=0.001)


def test_an_engine_option_is_a_knob_of_every_topology() -> None:
    space = Space({"vote": VOTE, "debate": DEBATE}, {"prefix_caching": (False, True)})

    def truth(team: Team) -> float:
        return 0.5 if team.engine["prefix_caching"] else 1.0

    found = said(space, truth, drawn(space, 80))
    assert next(iter(found.knobs)) == "engine.prefix_caching"
    assert found.knobs["engine.prefix_caching"].value > 0.98
    assert found.knobs["engine.prefix_caching"].teams == 80


def test_of_too_few_teams_nothing_is_said() -> None:
    space = Space({"vote": VOTE, "cascade": CASCADE})
    votes = [team for team in drawn(space, 80) if team.topology == "vote"]
    others = [team for team in drawn(space, 80) if team.topology == "cascade"]
    found = together([result(team, {"quality": 0.5 + 0.01 * i}) for i, team in enumerate(votes[: MIN_TEAMS - 1])])
    assert fit(found, space, ["quality"]) is None
    assert importances(None, ["quality"]) == {}
    same = together([result(team, {"quality": 0.5}) for team in votes])
    assert importances(fit(same, space, ["quality"]), ["quality"]) == {}
    # Five knobs of a cascade on six teams: too few, but there are enough of votes.
    some = said(space, lambda team: float(team.knobs["temperature"]), [*votes[:20], *others[:6]])
    assert {name.split(".")[0] for name in some.knobs} == {"topology", "vote"}
    assert {each.first.split(".")[0] for each in some.interactions} == {"vote"}
    few = said(space, lambda team: float(team.knobs["temperature"]), [*votes[:8], *others[:8]])
    assert few.interactions == []
    assert few.together is None


def test_teams_that_failed_or_are_not_of_the_space_are_left_out() -> None:
    space = Space({"vote": VOTE})
    teams = drawn(space, 30)
    good = [result(team, {"quality": mixed(team), "failure_rate": 0.0}) for team in teams]
    bad = [result(replace_model(team), {"quality": 0.0, "failure_rate": 1.0}) for team in teams[:10]]
    strange = result(Team("vote", {"agents": 77, "model": "small", "temperature": 0.5}), {"quality": 9.0})
    alone = fit(together(good), space, ["quality"])
    mixed_in = fit(together([*good, *bad, strange]), space, ["quality"])
    assert alone is not None
    assert mixed_in is not None
    assert np.array_equal(alone.coefficients["vote"], mixed_in.coefficients["vote"])
    other = fit(together(good), space, ["quality"], seed=1)
    assert other is not None
    assert not np.array_equal(alone.coefficients["vote"], other.coefficients["vote"])


def replace_model(team: Team) -> Team:
    return Team(team.topology, {**team.knobs, "model": "large"})


BOTH = {"quality": "maximize", "energy_j": "minimize"}


def measured(team: Team) -> dict[str, float]:
    """More agents are better and dearer; the middle model is the best, the large one no better and twice as dear."""
    model = {"small": 0.3, "middle": 0.6, "large": 0.6}[str(team.knobs["model"])]
    joules = {"small": 1.0, "middle": 2.0, "large": 4.0}[str(team.knobs["model"])]
    agents = float(team.knobs["agents"])
    return {"quality": model + 0.03 * agents, "energy_j": joules * agents, "failure_rate": 0.0}


def fronted(teams: Sequence[Team], **constraints: str) -> Results:
    from orkester.optim.goals.front import front_indices

    points = [[measured(team)[name] for name in BOTH] for team in teams]
    members = set(front_indices(points, ["maximize", "minimize"]))
    found = [result(team, measured(team), 0.005, on_front=i in members) for i, team in enumerate(teams)]
    return together(found, BOTH, **constraints)


SMALL = Space({"vote": {**VOTE, "temperature": Grid((0.5,))}})


def few_agents(most: int = 7) -> list[Team]:
    return [team for team in SMALL.teams() if 3 <= int(team.knobs["agents"]) <= most]


def test_what_is_worth_trying_is_untried_and_would_push_the_front() -> None:
    found = fronted(few_agents())
    tips = worth_trying(found, fit(found, SMALL, list(BOTH)))
    tried = {each.team.id for each in found.teams}
    assert 1 <= len(tips) <= 5
    for tip in tips:
        assert tip.team in SMALL
        assert tip.team.id not in tried
        assert 0.05 <= tip.chance <= 1
        truth = measured(tip.team)
        for name, estimate in tip.predicted.items():
            assert estimate.low is not None
            assert estimate.high is not None
            assert estimate.low <= truth[name] <= estimate.high
    first = next(tip for tip in tips if tip.team.knobs["model"] == "middle" and tip.team.knobs["agents"] == 9)
    assert first.claim == "it would beat the front's highest quality, 0.81"
    assert "vote: agents=9" in first.reason
    assert f"predicted quality {first.predicted['quality'].value:.3g} (" in first.reason
    assert tips == worth_trying(found, fit(found, SMALL, list(BOTH)))


def test_a_suggestion_says_what_it_saves_where_quality_is_no_better() -> None:
    """Agents 3 to 9 but not 6 were tried of the middle model, and only 7 and up of the large one are as good."""
    teams = [t for t in SMALL.teams() if t.knobs["model"] == "large" or t.knobs["agents"] in {2, 3, 9}]
    found = fronted(teams)
    tips = worth_trying(found, fit(found, SMALL, list(BOTH)))
    reasons = [tip.claim for tip in tips]
    assert any("the lowest energy_j of the front's teams that are as good or better in quality" in r for r in reasons)


def test_nothing_is_suggested_that_is_predicted_to_break_a_constraint() -> None:
    limited = fronted(few_agents(), energy_j="<= 15")
    tips = worth_trying(limited, fit(limited, SMALL, list(BOTH)))
    assert all(measured(tip.team)["energy_j"] <= 15 for tip in tips)
    assert all((tip.team.knobs["agents"], tip.team.knobs["model"]) != (9, "middle") for tip in tips)


def test_nothing_is_suggested_with_a_model_that_always_failed() -> None:
    found = fronted([team for team in few_agents() if team.knobs["model"] != "large"])
    space = Space({**SMALL.grids, "single": {"model": MODELS, "temperature": Grid((0.0,))}})
    large = Team("vote", {"agents": 3, "model": "large", "temperature": 0.5})
    broken = result(large, {**measured(large), "failure_rate": 1.0}, infeasible="failure_rate is 1, not <= 0")
    found = replace(found, teams=[*found.teams, broken, replace(broken, search=None)])
    tips = worth_trying(found, fit(found, space, list(BOTH)))
    assert tips
    assert all("large" not in tip.team.models for tip in tips)
    assert any(tip.team.topology == "single" for tip in tips)  # never tried, so there may be something


def test_a_team_is_suggested_under_the_setting_that_stands_for_it() -> None:
    grids = {"single": {"model": MODELS, "temperature": Grid((0.5,))}, **SMALL.grids}
    agents = Grid((1, *SMALL.grids["vote"]["agents"].values))
    space = Space({**grids, "vote": {**SMALL.grids["vote"], "agents": agents}})
    found = fronted(few_agents())
    tips = worth_trying(found, fit(found, space, list(BOTH)), most=30)
    assert tips
    assert all(tip.team in space for tip in tips)
    assert all(tip.team.knobs.get("agents") != 1 for tip in tips)


def test_a_topology_without_searched_knobs_is_one_team() -> None:
    alone = Team("single", {"model": "small", "temperature": 0.0})
    space = Space({"single": {"model": Grid(("small",)), "temperature": Grid((0.0,))}, **SMALL.grids})
    tried = fronted(few_agents())
    extra = result(alone, {"quality": 0.2, "energy_j": 1.0}, 0.005, on_front=True)
    before = insights(tried, space)
    after = insights(replace(tried, teams=[*tried.teams, extra]), space)
    assert set(after.importances["quality"].knobs) == {"topology", "vote.agents", "vote.model"}
    assert any(tip.team == alone for tip in before.suggestions)
    assert all(tip.team != alone for tip in after.suggestions)


@pytest.mark.parametrize(("models", "told"), [(6, True), (7, False)])
def test_a_pair_of_many_names_is_left_out(models: int, told: bool) -> None:
    names = Grid(tuple(f"model-{i}" for i in range(models)))
    design = Design("cascade", Space({"cascade": {**CASCADE, "first": names, "then": names}}))
    pairs = [effect.knobs for effect in design.effects if len(effect.knobs) == 2]
    assert (("cascade.first", "cascade.then") in pairs) == told
    assert ("cascade.first", "cascade.votes") in pairs


def test_functions_of_knobs_and_pairs_are_orthonormal_over_the_grid() -> None:
    design = Design("vote", Space({"vote": VOTE}, {"prefix_caching": (False, True)}))
    levels = np.array(list(np.ndindex(*design.shape)))
    columns = design.columns(levels)
    assert np.allclose(columns.T @ columns / len(columns), np.eye(columns.shape[1]))
    teams = [design.team([int(level) for level in row]) for row in levels[:50]]
    found, known = design.levels(teams)
    assert known.all()
    assert np.array_equal(found, levels[:50])


def test_nothing_is_suggested_without_a_front_or_a_model_of_every_objective() -> None:
    found = fronted(few_agents())
    effects = fit(found, SMALL, list(BOTH))
    assert worth_trying(found, None) == []
    assert worth_trying(replace(found, teams=[replace(t, on_front=False) for t in found.teams]), effects) == []
    assert worth_trying(found, fit(found, SMALL, ["quality"])) == []
    everything = fronted(list(SMALL.teams()))
    assert worth_trying(everything, fit(everything, SMALL, list(BOTH))) == []


def test_predictions_hold_the_truth_of_teams_that_were_not_tried() -> None:
    space = Space({"vote": VOTE, "debate": DEBATE})
    hits = []
    for seed in range(8):
        rng = random.Random(seed)
        teams = drawn(space, 60, seed)
        rows = [
            result(t, {"quality": mixed(t) / 2 + rng.gauss(0, 0.03)}, 0.03, on_front=i == 0)
            for i, t in enumerate(teams)
        ]
        found = together(rows)
        for tip in worth_trying(found, fit(found, space, ["quality"]), most=20):
            estimate = tip.predicted["quality"]
            assert estimate.low is not None
            assert estimate.high is not None
            hits.append(estimate.low <= mixed(tip.team) / 2 <= estimate.high)
    assert len(hits) > 20
    assert np.mean(hits) > 0.85


def test_a_range_that_ends_where_the_front_is_should_be_wider() -> None:
    teams = [team for team in SMALL.teams() if team.knobs["model"] == "middle"]
    narrow = Space({"vote": {"agents": Grid((2, 3, 4)), "model": MODELS, "temperature": TENTHS}})

    def hints(space: Space, *members: Team) -> Sequence[str]:
        return border_hints(together([result(team, {"quality": 0.5}, on_front=True) for team in members]), space)

    def vote(agents: int, temperature: float) -> Team:
        return Team("vote", {"agents": agents, "model": "small", "temperature": temperature})

    assert hints(narrow, vote(4, 0.3), vote(4, 0.5), vote(2, 0.5)) == [
        "2 of 3 front members of vote have agents=4, the upper end of its range: widen it, the topology takes 1 to 9"
    ]
    assert hints(narrow, vote(4, 0.3), vote(3, 0.5), vote(2, 0.5)) == []  # one of three
    assert hints(narrow, vote(4, 0.3)) == []  # one is chance
    assert hints(narrow, vote(3, 0.0), vote(3, 0.0)) == []  # no temperature is below 0
    assert hints(SMALL, *teams[-2:]) == []
    assert hints(Space({"my_graph": {"agents": Grid((1, 2, 3))}}), Team("my_graph", {"agents": 3})) == []


def test_all_of_it_is_learnt_from_a_run_and_its_manifest() -> None:
    asked: dict[str, Any] = {
        "name": "study",
        "task": {"data": "x.jsonl", "scorer": "exact", "data_sha256": "0"},
        "models": {name: {} for name in MODELS.values},
        "search": {"vote": {"agents": [2, 9], "model": "any", "temperature": 0.5}},
        "objectives": BOTH,
    }
    space = space_of_run({"study": asked})
    assert space == SMALL
    for fault in ({}, {"study": {**asked, "search": {"nothing": {}}}}, {"study": {**asked, "search": 1}}):
        assert space_of_run(fault) is None
    assert insights(fronted(few_agents()), None) == Insights()
    found = insights(fronted(few_agents(), energy_j="<= 15", latency_p95_s="<= 1"), space)
    assert list(found.importances) == ["quality", "energy_j"]
    assert found.importances["energy_j"].logarithmic
    assert not found.importances["quality"].logarithmic
    assert found.suggestions
