"""The choice of one team from a run.

Limits work as if they had been constraints of the study: the candidates are the whole and feasible teams within the
limits that no other such team beats. So a team that is not on the study's front may be chosen, when every team that
beats it is beyond a limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from orkester.errors import InputError, OrkesterError
from orkester.evals.objectives import Estimate, objective
from orkester.evals.records.block import Phase
from orkester.optim.goals.front import front_indices
from orkester.optim.goals.goal import Direction, quality_name, violation
from orkester.optim.run.results import Results, TeamResult, is_single

from .limits import (
    Limit,
    choosable,
    confirmation,
    enough_examples,
    keeps,
    limits_of,
    nothing_left,
    require_measured,
    written,
)
from .verdict import (
    LOSS,
    AgainstSingle,
    Verdict,
    against_guess,
    difference,
    judge,
    measured,
    value_of,
)
from .verdict_text import sentences


class HasResults(Protocol):
    """A run, or another object with results."""

    @property
    def results(self) -> Results:
        """The results."""
        ...


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One team, and why it and no other.

    Attributes:
        result: The team with all that was measured of it.
        rule: ``recommended`` or ``best in NAME``.
        why: The reason, in a sentence or two.
        phase: Whether candidates were compared by their confirmed values or by those of the search.
        values: The team's values in that phase: the objectives, and every quantity that was asked about.
        candidates: The teams it was chosen from, itself included.
        excluded: How many whole and feasible teams are beyond each limit.
        unclear: Candidates that cannot be told from the choice in the quantity that decided.
        doubts: What is not certain, a sentence each.
        against: The comparison with the best single agent; None when no single agent was measured.
        verdict: The best and the recommended team; None for ``best in NAME``.
    """

    result: TeamResult
    rule: str
    why: str
    phase: Phase
    values: Mapping[str, Estimate]
    candidates: Sequence[TeamResult]
    excluded: Mapping[str, int]
    unclear: Sequence[TeamResult]
    doubts: Sequence[str]
    against: AgainstSingle | None
    verdict: Verdict | None = None

    @property
    def energy_method(self) -> str:
        """Label of the choice's joules; ``unavailable`` when there are none."""
        return measured(self.result, self.phase).energy_method

    def as_json(self) -> dict[str, Any]:
        """For ``orkester best --json``."""
        team, against = self.result.team, self.against
        return {
            "id": team.id,
            "topology": team.topology,
            "knobs": dict(team.knobs),
            "engine": dict(team.engine),
            "trial": self.result.trial,
            "on_front": self.result.on_front,
            "rule": self.rule,
            "why": self.why,
            "values_of": self.phase,
            "values": {
                name: {"value": e.value, "low": e.low, "high": e.high, "n": e.n} for name, e in self.values.items()
            },
            "energy_method": self.energy_method,
            "candidates": [result.team.id for result in self.candidates],
            "excluded": dict(self.excluded),
            "unclear": [result.team.id for result in self.unclear],
            "doubts": list(self.doubts),
            "against_single": None
            if against is None
            else {
                "id": against.single.team.id,
                "values_of": against.phase,
                "ratios": dict(against.ratios),
                "difference": None if against.difference is None else against.difference.as_json(),
            },
            "verdict": None if self.verdict is None else self.verdict.as_json(),
        }


def best(
    run: Results | HasResults,
    *,
    at_most: Mapping[str, float] | None = None,
    at_least: Mapping[str, float] | None = None,
    keep: Mapping[str, float] | None = None,
    best_in: str | None = None,
    loss: float = LOSS,
) -> Choice:
    """Choose one team from a run.

    Without ``best_in`` the choice is the recommended team: the cheapest one whose quality cannot be told from the best
    (paired test at 5 %), or lacks at most ``loss`` of it. The cheapest has the smallest geometric mean of the study's
    minimised objectives. So costs that go together never outvote quality. A study without the objective ``quality``
    has its first objective in this place.

    Args:
        run: An open run, or its results.
        at_most: Upper limits by quantity, in the quantity's unit. The quantity need not be an objective of the study.
            The team keeps to a limit in the search and, where it was confirmed, in confirmation.
        at_least: Lower limits by quantity.
        keep: By quantity, the share of the best candidate's value that must be kept, over 0 and up to 1. Where less is
            better, the value may be at most the best one ÷ the share.
        best_in: The quantity to be best in.
        loss: The share of the best quality that the recommended team may lack, from 0 to below 1. A share of quality in
            ``keep`` replaces it.

    Returns:
        The choice, with what is not certain about it.

    Raises:
        InputError: A quantity is unknown or was not measured in this run, or a number makes no sense.
        OrkesterError: No team fulfils the conditions; the message says how close the nearest team comes.
    """
    found = run if isinstance(run, Results) else run.results
    if not 0 <= loss < 1:
        raise InputError(f"the loss must be from 0 to below 1 (100 %), but got {loss:g}")
    limits, shares = limits_of(at_most or {}, at_least or {}), _shares(keep or {})
    if best_in is not None:
        objective(best_in)  # raises where there is none
    ruling = list(dict.fromkeys([*shares, *([best_in] if best_in is not None else [])]))
    asked = list(dict.fromkeys([*found.objectives, *(limit.name for limit in limits), *ruling]))
    teams, enough = choosable(found), enough_examples(found)
    require_measured(teams, asked)
    candidates = _candidates(found, teams, limits, ruling, enough)
    phase = _phase(candidates, asked, enough)
    floors = [_floor(found, candidates, name, share, phase) for name, share in shares.items()]
    kept = _keeping(candidates, floors, phase)
    beside = [name for name in ruling if name not in found.objectives]
    who = _who(limits, beside, shares, floors)
    verdict = None
    if best_in is None:
        share = shares.get(quality_name(found.objectives))
        verdict = judge(found, kept, phase, loss if share is None else 1 - share)
        chosen, unclear = verdict.recommended, _others_as_good(verdict)
        against = _against(found, teams, chosen, enough)
        why = " ".join(sentences(found, verdict, against)) + (f" It is the only team {who}." if len(kept) == 1 else "")
    else:
        ordered = _ordered(found, kept, candidates, best_in, phase)
        chosen = ordered[0].team
        unclear = [each.team for each in ordered[1:] if _overlap(each.team, chosen, best_in, phase)]
        against, why = _against(found, teams, chosen, enough), _why(ordered, best_in, who)
    estimates = measured(chosen, phase).estimates
    return Choice(
        result=chosen,
        rule="recommended" if best_in is None else f"best in {best_in}",
        why=why,
        phase=phase,
        values={name: estimates[name] for name in asked if name in estimates},
        candidates=kept,
        excluded={str(limit): sum(not keeps(team, limit, enough) for team in teams) for limit in limits},
        unclear=unclear,
        doubts=[
            *_doubts(chosen, candidates, [*limits, *floors], phase, enough),
            *_doubts_of_quality(found, chosen, verdict, phase),
        ],
        against=against,
        verdict=verdict,
    )


def _candidates(
    found: Results, teams: Sequence[TeamResult], limits: Sequence[Limit], ruling: Sequence[str], enough: float
) -> Sequence[TeamResult]:
    """The teams within the limits that no other one beats in the objectives and in the quantities that rule."""
    within = [team for team in teams if all(keeps(team, limit, enough) for limit in limits)]
    if not within:
        raise nothing_left(found, teams, limits)
    if not limits and all(name in found.objectives for name in ruling):
        return list(found.front)
    directions = {**found.objectives, **{name: _direction(found, name) for name in ruling}}
    candidates = _undominated(within, directions)
    if not candidates:
        raise OrkesterError(f"none of the {len(within)} teams within the limits was measured in {' and '.join(ruling)}")
    return candidates


def _others_as_good(verdict: Verdict) -> list[TeamResult]:
    """The best team, if another one is recommended that cannot be told from it."""
    return [verdict.best] if verdict.best is not verdict.recommended and not verdict.told_apart else []


@dataclass(frozen=True, kw_only=True)
class _Rated:
    """A candidate with what it gives up in each objective, 0 at the best of the candidates and 1 at the worst."""

    team: TeamResult
    value: float  # of the quantity to be best in, with the sign that makes less better
    losses: tuple[float, ...]


def _shares(keep: Mapping[str, float]) -> dict[str, float]:
    for name, share in keep.items():
        objective(name)  # raises where there is none
        if not 0 < share <= 1:
            raise InputError(f"the share of {name} to keep must be over 0 and up to 1 (100 %), but got {share:g}")
    return dict(keep)


def _direction(found: Results, name: str) -> Direction:
    return found.objectives.get(name, objective(name).direction)


def _undominated(teams: Sequence[TeamResult], directions: Mapping[str, Direction]) -> Sequence[TeamResult]:
    """Those that no other beats in the search, where all have the same examples; with all teams it is the front."""
    having = [team for team in teams if all(name in measured(team, "search").estimates for name in directions)]
    points = [[value_of(team, name, "search") for name in directions] for team in having]
    return [having[i] for i in front_indices(points, list(directions.values()))]


def _phase(teams: Sequence[TeamResult], names: Sequence[str], enough: float) -> Phase:
    """Confirmed values if all have them, else the search's for all.

    Held-out examples may be harder than those of the search, and what was chosen for its values looks better in the
    search than it is: a confirmed value beside one of the search would say little.
    """
    for team in teams:
        confirmed = confirmation(team, enough)
        if confirmed is None or any(name not in confirmed.estimates for name in names):
            return "search"
    return "confirm"


def _floor(found: Results, teams: Sequence[TeamResult], name: str, share: float, phase: Phase) -> Limit:
    values = [value_of(team, name, phase) for team in teams]
    if _direction(found, name) == "minimize":
        return Limit(name=name, text=f"<= {written(min(values) / share)}")
    if max(values) < 0:
        raise InputError(
            f"the best {name} is {max(values):g}, and a share of a negative number means nothing; use a limit"
        )
    return Limit(name=name, text=f">= {written(max(values) * share)}")


def _keeping(teams: Sequence[TeamResult], floors: Sequence[Limit], phase: Phase) -> list[TeamResult]:
    def holds(team: TeamResult, floor: Limit) -> bool:
        return violation(value_of(team, floor.name, phase), floor.text) <= 0

    kept = [team for team in teams if all(holds(team, floor) for floor in floors)]
    if not kept:
        each = "; ".join(f"{_short(floor)}: {sum(holds(team, floor) for team in teams)}" for floor in floors)
        raise OrkesterError(
            f"no team keeps all of these shares; of {len(teams)} candidates they are kept by: {each}. Ask for less"
        )
    return kept


def _ordered(
    found: Results, teams: Sequence[TeamResult], candidates: Sequence[TeamResult], best_in: str, phase: Phase
) -> list[_Rated]:
    """The choice first. What is given up is counted over all candidates, also those that keep too little."""
    columns = []
    for name, direction in found.objectives.items():
        sign = -1.0 if direction == "maximize" else 1.0
        every = [sign * value_of(team, name, phase) for team in candidates]
        low, span = min(every), max(every) - min(every)
        columns.append([(sign * value_of(team, name, phase) - low) / span if span > 0 else 0.0 for team in teams])
    sign = -1.0 if _direction(found, best_in) == "maximize" else 1.0
    rated = [
        _Rated(team=team, value=sign * value_of(team, best_in, phase), losses=losses)
        for team, losses in zip(teams, zip(*columns, strict=True), strict=True)
    ]
    # Sums are rounded: what is the same but for rounding is decided by the first objective, not by chance.
    return sorted(rated, key=lambda each: (each.value, round(sum(each.losses), 9), each.losses, each.team.team.id))


def _overlap(a: TeamResult, b: TeamResult, name: str, phase: Phase) -> bool:
    """Whether the intervals overlap; one goes on for ever towards an end that is not known."""
    first, second = (measured(team, phase).estimates[name] for team in (a, b))
    return _reaches(first.low, second.high) and _reaches(second.low, first.high)


def _reaches(low: float | None, high: float | None) -> bool:
    return low is None or high is None or low <= high


def _against(found: Results, teams: Sequence[TeamResult], chosen: TeamResult, enough: float) -> AgainstSingle | None:
    first = quality_name(found.objectives)
    # A vote of one agent, say, is a single agent, too.
    singles = [team for team in teams if is_single(team.team)]
    if not singles:
        return None
    # Confirmation may order them in another way than the search, so all single agents of the front count. Another one
    # can only be the best if it is the best in the search.
    top = _ordered(found, singles, singles, first, "search")[0].team
    pool = [team for team in singles if team.on_front or team is top]
    single = _ordered(found, pool, pool, first, _phase(pool, list(found.objectives), enough))[0].team
    phase = _phase([single, chosen], list(found.objectives), enough)
    ratios: dict[str, float | None] = {}
    for name in found.objectives:
        value = value_of(single, name, phase)
        ratios[name] = value_of(chosen, name, phase) / value if value else None
    return AgainstSingle(
        single=single, phase=phase, ratios=ratios, difference=difference(found, chosen, single, first, phase)
    )


def _short(limit: Limit) -> str:
    """With as many digits as can be read."""
    comparison, bound = limit.text.split()
    return f"{limit.name} {comparison} {float(bound):.4g}"


def _who(limits: Sequence[Limit], beside: Sequence[str], shares: Mapping[str, float], floors: Sequence[Limit]) -> str:
    """Which teams were chosen from, to follow the word ``team``."""
    parts = []
    if limits:
        parts.append(f"within {' and '.join(map(str, limits))}")
    if limits or beside:
        parts.append("that no other such team beats" + (f", {' and '.join(beside)} counted too" if beside else ""))
    else:
        parts.append("on the front")
    if floors:
        kept = [
            f"{100 * share:.4g} % of the best {floor.name} ({_short(floor)})"
            for share, floor in zip(shares.values(), floors, strict=True)
        ]
        parts.append(f"with at least {' and '.join(kept)}")
    return " ".join(parts)


def _why(ordered: Sequence[_Rated], best_in: str, who: str) -> str:
    chosen, *others = ordered
    if not others:
        return f"It is the only team {who}."
    tied = sum(other.value == chosen.value for other in others)
    as_good = f"{tied} other{'s' if tied > 1 else ''}"
    also = f"; {as_good} with the same value give{'s' if tied == 1 else ''} up more elsewhere" if tied else ""
    return f"It is best in {best_in} of the {len(ordered)} teams {who}{also}."


def _doubts_of_quality(found: Results, chosen: TeamResult, verdict: Verdict | None, phase: Phase) -> list[str]:
    """Whether it guesses, and which differences so few examples cannot show."""
    doubts = []
    guess = against_guess(found, chosen, phase)
    if guess is not None and not guess.is_better:
        doubts.append(
            f"It is not shown to be better than guessing: the {guess.name} has quality {guess.value:.3g} on the same "
            f"examples, and the difference is in [{guess.difference.low:+.2g}, {guess.difference.high:+.2g}]."
        )
    if verdict is not None and verdict.lacks is not None and not verdict.told_apart:
        lacks = verdict.lacks
        doubts.append(
            f"On {lacks.n} examples, its difference of {verdict.name} to the best team would probably be shown (80 % "
            f"power) only from about {lacks.detectable:.2g} on."
        )
    return doubts


def _doubts(
    chosen: TeamResult, candidates: Sequence[TeamResult], limits: Sequence[Limit], phase: Phase, enough: float
) -> list[str]:
    found = []
    if phase == "search" and confirmation(chosen, enough) is None:
        found.append("It was not confirmed on held-out examples: in the search, a lucky team looks better than it is.")
    elif phase == "search":
        open_ = sum(confirmation(team, enough) is None for team in candidates)
        found.append(
            f"{open_} of the {len(candidates)} candidates were not confirmed, so the values of the search decided."
        )
    for limit in limits:
        estimate = measured(chosen, phase).estimates[limit.name]
        end = estimate.high if limit.text.startswith("<=") else estimate.low
        if end is None:
            found.append(f"Its {limit.name} has no interval: how safely it keeps to {_short(limit)} is not known.")
        elif violation(end, limit.text) > 0:
            found.append(f"Its {limit.name} may be {end:.3g}: the interval reaches beyond {_short(limit)}.")
    return found
