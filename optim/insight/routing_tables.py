"""Who got which questions from a router, how often rightly, and what it cost beside single models and an oracle."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orkester.evals.objectives import Estimate, share_estimate
from orkester.evals.records.block import Block, ExampleResult, Phase
from orkester.evals.stats.intervals import mean_interval
from orkester.graphs import OneOfPolicies, Team, topology

#: The most tables that are made.
_MOST = 6


@dataclass(frozen=True, kw_only=True)
class RoutingRow:
    """Some of the questions, or all of them, as a way to route answers them.

    Attributes:
        name: A model that got questions; ``all``; ``always MODEL``; or ``oracle``.
        questions: The number of questions.
        quality: Their mean score, with its interval; None without questions.
        energy_j: The mean joules of a question, with its interval over questions; None when not known.
    """

    name: str
    questions: int
    quality: Estimate | None
    energy_j: Estimate | None


@dataclass(frozen=True, kw_only=True)
class RoutingTable:
    """The decisions of one router.

    Attributes:
        team: The router.
        phase: The phase whose questions are counted.
        models: A row for each model that the policy chose from.
        whole: The row of all questions.
        others: The single models and the oracle, on the questions that the router and all these models have answered;
            empty when there are none. The oracle takes the cheapest model that is right, and the cheapest if none is.
        shared: The row of the router on these questions; None without them.
        dearest: The single model that takes the most joules on these questions; None when the joules are not known.
        saved_j: The joules per question that the router takes less than this model, paired by question.
    """

    team: Team
    phase: Phase
    models: Sequence[RoutingRow]
    whole: RoutingRow
    others: Sequence[RoutingRow] = ()
    shared: RoutingRow | None = None
    dearest: str | None = None
    saved_j: Estimate | None = None


def routing_tables(blocks: Sequence[Block], teams: Sequence[Team]) -> Sequence[RoutingTable]:
    """Make a table for each router among some teams.

    Args:
        blocks: All blocks of the run.
        teams: The teams, the most interesting ones first.

    Returns:
        At most six tables, in the order of the teams.
    """
    routers = [team for team in teams if _routes(team)][:_MOST]
    if not routers:
        return ()
    wanted = {team.id for team in routers}
    answers: dict[tuple[str, Phase], dict[str, ExampleResult]] = {}
    singles: dict[tuple[str, Phase], dict[str, ExampleResult]] = {}
    for block in blocks:
        found = {result.id: result for result in block.examples}
        if block.team in wanted:
            answers.setdefault((block.team, block.phase), {}).update(found)
        if block.topology == "single":  # of several temperatures, the one that was measured first
            known = singles.setdefault((str(block.knobs["model"]), block.phase), {})
            known.update({name: result for name, result in found.items() if name not in known})
    return [table for team in routers if (table := _table(team, answers, singles)) is not None]


def _routes(team: Team) -> bool:
    return any(isinstance(knob.range, OneOfPolicies) for knob in topology(team.topology).knobs.values())


def _table(
    team: Team,
    answers: Mapping[tuple[str, Phase], Mapping[str, ExampleResult]],
    singles: Mapping[tuple[str, Phase], Mapping[str, ExampleResult]],
) -> RoutingTable | None:
    phases: Sequence[Phase] = [phase for phase in ("confirm", "search") if answers.get((team.id, phase))]
    if not phases:
        return None

    def shared_in(phase: Phase) -> list[str]:
        every = [answers[team.id, phase], *(singles.get((model, phase), {}) for model in team.models)]
        return [name for name in every[0] if all(name in each for each in every[1:])]

    phase = next((each for each in phases if shared_in(each)), phases[0])
    own = answers[team.id, phase]
    by_model: dict[str, list[ExampleResult]] = {model: [] for model in team.models}
    for result in own.values():
        for model in {call.model for call in result.calls}:
            by_model[model].append(result)
    shared = shared_in(phase)
    alone = {model: [singles[model, phase][name] for name in shared] for model in team.models} if shared else {}
    dearest, saved_j = _saved([own[name] for name in shared], alone)
    return RoutingTable(
        team=team,
        phase=phase,
        models=[_row(model, results) for model, results in by_model.items()],
        whole=_row("all", list(own.values())),
        others=[*(_row(f"always {model}", results) for model, results in alone.items()), *_oracle(alone)],
        shared=_row("this router", [own[name] for name in shared]) if shared else None,
        dearest=dearest,
        saved_j=saved_j,
    )


def _oracle(alone: Mapping[str, Sequence[ExampleResult]]) -> list[RoutingRow]:
    """The row of the oracle; none when the joules of a model are not known, since they decide."""
    chosen: list[ExampleResult] = []
    for results in zip(*alone.values(), strict=True):
        if any(result.energy_j is None for result in results):
            return []
        chosen.append(min(results, key=lambda result: (-result.score, result.energy_j or 0.0)))
    return [_row("oracle", chosen)] if chosen else []


def _row(name: str, results: Sequence[ExampleResult]) -> RoutingRow:
    return RoutingRow(
        name=name,
        questions=len(results),
        quality=share_estimate([result.score for result in results]) if results else None,
        energy_j=_mean([result.energy_j for result in results]),
    )


def _mean(joules: Sequence[float | None]) -> Estimate | None:
    known = [each for each in joules if each is not None]
    if not known or len(known) < len(joules):
        return None
    low, high = mean_interval(known) or (None, None)
    return Estimate(value=math.fsum(known) / len(known), low=low, high=high, n=len(known))


def _saved(
    own: Sequence[ExampleResult], alone: Mapping[str, Sequence[ExampleResult]]
) -> tuple[str | None, Estimate | None]:
    """The single model that takes the most joules, and how many joules the router takes less per question."""
    means = {
        model: mean.value for model, results in alone.items() if (mean := _mean([each.energy_j for each in results]))
    }
    if not means or any(each.energy_j is None for each in own):
        return None, None
    dearest = max(means, key=lambda model: means[model])
    pairs = zip(alone[dearest], own, strict=True)
    return dearest, _mean([(single.energy_j or 0.0) - (routed.energy_j or 0.0) for single, routed in pairs])
