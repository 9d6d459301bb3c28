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
from orkester.evals.block import Phase
from orkester.evals.measurement import Measurement
from orkester.evals.objectives import Estimate, objective
from orkester.optim.goals.front import front_indices
from orkester.optim.goals.goal import Direction, violation
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
from .verdict import LOSS, Difference, Verdict, difference, judge, quality_name


class HasResults(Protocol):
    """A run, or another object with results."""

    @property
    def results(self) -> Results:
        """The results."""
        ...


@dataclass(frozen=True, kw_only=True)
class AgainstSingle:
    """A choice compared with the best single agent of the same run.

    Attributes:
        single: The single agent that is best in the study's first objective.
        phase: The phase that the values are taken from.
        ratios: The value of the choice ÷ the value of the single agent, by objective; None where the latter is 0.
        difference: The quality of the choice minus that of the single agent; None if the choice is that agent.
    """

    single: TeamResult
    phase: Phase
    ratios: Mapping[str, float | None]
    difference: Difference | None = None


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One team, and why it and no other.

    Attributes:
        result: The team with all that was measured of it.
        rule: ``recommended`` or ``best in NAME``.
        why: The reason, in a sentence.
        phase: Whether candidates were compared by their confirmed values or by those of the search.
        values: The team's values in that phase: the objectives, and every quantity that was asked about.
        candidates: The teams it was chosen from, itself included.
        excluded: How many whole and feasible teams are beyond each limit.
        unclear: Candidates whose intervals overlap with those of the choice in the quantities that decided.
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
    limits = limits_of(at_most or {}, at_least or {})
    shares = _shares(keep or {})
    if best_in is not None:
        objective(best_in)  # raises where there is none
    ruling = list(dict.fromkeys([*shares, *([best_in] if best_in is not None else [])]))
    asked = list(dict.fromkeys([*found.objectives, *(limit.name for limit in limits), *ruling]))

    teams = choosable(found)
    require_measured(teams, asked)
    enough = enough_examples(found)
    within = [team for team in teams if all(keeps(team, limit, enough) for limit in limits)]
    if not within:
        raise nothing_left(found, teams, limits)
    directions = {**found.objectives, **{name: _direction(found, name) for name in ruling}}
    beside = [name for name in ruling if name not in found.objectives]
    if not 0 <= loss < 1:
        raise InputError(f"the loss must be from 0 to below 1 (100 %), but got {loss:g}")
    plain = not limits and not beside
    candidates = list(found.front) if plain else _undominated(within, directions)
    if not candidates:
        raise OrkesterError(f"none of the {len(within)} teams within the limits was measured in {' and '.join(ruling)}")
    if best_in is None:
        confirmed = [team for team in candidates if confirmation(team, enough) is not None]
        candidates = confirmed or candidates
    phase = _phase(candidates, asked, enough)
    floors = [_floor(found, candidates, name, share, phase) for name, share in shares.items()]
    kept = _keeping(candidates, floors, phase)
    verdict = None
    if best_in is None:
        share = shares.get(quality_name(found.objectives))
        verdict = judge(found, kept, phase, loss if share is None else 1 - share)
        chosen, unclear = verdict.recommended, _others_as_good(verdict, kept)
    else:
        ordered = _ordered(found, kept, candidates, best_in, phase)
        chosen = ordered[0].team
        unclear = [each.team for each in ordered[1:] if _overlap(each.team, chosen, best_in, phase)]
    against = _against(found, teams, chosen, enough)
    if verdict is not None:
        why = " ".join(sentences(found, verdict, against))
        if len(kept) == 1:
            why += f" It is the only team {_who(limits, beside, shares, floors)}."
    else:
        assert best_in is not None
        why = _why(ordered, best_in, _who(limits, beside, shares, floors))
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
            *_left_out(found, candidates, phase, best_in),
        ],
        against=against,
        verdict=verdict,
    )


def _others_as_good(verdict: Verdict, kept: Sequence[TeamResult]) -> list[TeamResult]:
    """The best team, if another one is recommended that cannot be told from it."""
    best = verdict.best
    return [best] if best is not verdict.recommended and not verdict.told_apart and best in kept else []


def _left_out(found: Results, candidates: Sequence[TeamResult], phase: Phase, best_in: str | None) -> list[str]:
    if best_in is not None or phase != "confirm":
        return []
    left = sum(team not in candidates for team in found.front)
    return (
        [f"{left} of the {len(found.front)} teams on the front were not confirmed and do not count here."]
        if left
        else []
    )


def measured(team: TeamResult, phase: Phase) -> Measurement:
    """The measurement of a team in a phase in which it was measured."""
    measurement = team.confirmed if phase == "confirm" else team.search
    assert measurement is not None
    return measurement


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


def _value(team: TeamResult, name: str, phase: Phase) -> float:
    return measured(team, phase).estimates[name].value


def _undominated(teams: Sequence[TeamResult], directions: Mapping[str, Direction]) -> Sequence[TeamResult]:
    """Those that no other beats in the search, where all have the same examples; with all teams it is the front."""
    having = [team for team in teams if all(name in measured(team, "search").estimates for name in directions)]
    points = [[_value(team, name, "search") for name in directions] for team in having]
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
    values = [_value(team, name, phase) for team in teams]
    if _direction(found, name) == "minimize":
        return Limit(name=name, text=f"<= {written(min(values) / share)}")
    if max(values) < 0:
        raise InputError(
            f"the best {name} is {max(values):g}, and a share of a negative number means nothing; use a limit"
        )
    return Limit(name=name, text=f">= {written(max(values) * share)}")


def _keeping(teams: Sequence[TeamResult], floors: Sequence[Limit], phase: Phase) -> list[TeamResult]:
    def holds(team: TeamResult, floor: Limit) -> bool:
        return violation(_value(team, floor.name, phase), floor.text) <= 0

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
        every = [sign * _value(team, name, phase) for team in candidates]
        low, span = min(every), max(every) - min(every)
        columns.append([(sign * _value(team, name, phase) - low) / span if span > 0 else 0.0 for team in teams])
    sign = -1.0 if _direction(found, best_in) == "maximize" else 1.0
    rated = [
        _Rated(team=team, value=sign * _value(team, best_in, phase), losses=losses)
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
        value = _value(single, name, phase)
        ratios[name] = _value(chosen, name, phase) / value if value else None
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


# -- in words ---------------------------------------------------------------------------------------------------------


def sentences(found: Results, verdict: Verdict, against: AgainstSingle | None) -> tuple[str, str]:
    """The verdict in two sentences: the team to take and its quality, then what it costs or saves.

    Args:
        found: The results of the run.
        verdict: The verdict.
        against: The recommended team compared with the best single agent.
    """
    team = verdict.recommended
    quality = measured(team, verdict.phase).estimates[verdict.name]
    has = f"{team.team} has {verdict.name} {_interval(quality)}"
    where = "held-out examples" if verdict.phase == "confirm" else "examples of the search"
    of = f"on {quality.n} {where}"
    if is_single(team.team):
        first = f"One agent is enough: {has} {of}"
        first += ", and no team of the front is shown to be better." if len(found.front) > 1 else "."
    elif against is None or against.difference is None:
        first = f"{has} {of}; no single agent was measured to compare it with."
    else:
        gain, single = against.difference, against.single.team
        shown = gain.low > 0 if found.objectives[verdict.name] == "maximize" else gain.high < 0
        in_search = " (in the search)" if against.phase != verdict.phase else ""
        first = f"{has} {of}, {_signed(gain)} compared with the best single agent{in_search}, {single}"
        first += "." if shown else ": that the team is better is not shown."
    return first, _costs(found, verdict, against)


def _costs(found: Results, verdict: Verdict, against: AgainstSingle | None) -> str:
    team, best_team = verdict.recommended, verdict.best
    if best_team is not team:
        saved = verdict.ratios(best_team, team, found.objectives)
        lacks = "" if verdict.lacks is None else f", {_signed(verdict.lacks)}"
        apart = f"is within {verdict.loss:.0%} of" if verdict.told_apart else "cannot be told from"
        costs = _times(saved)
        more = f", which takes {costs}" if costs else ""
        return f"Its {verdict.name} {apart} the best one{lacks}: {best_team.team}{more}.".replace("%", " %")
    if is_single(team.team) or against is None:
        return f"No cheaper team keeps its {verdict.name}."
    phase_ratios = {
        name: ratio
        for name, ratio in against.ratios.items()
        if ratio is not None and name in verdict.ratios(team, team, found.objectives)
    }
    costs = _times(phase_ratios)
    return (
        f"It takes {costs} of that agent, and no cheaper team keeps its {verdict.name}."
        if costs
        else (f"No cheaper team keeps its {verdict.name}.")
    )


def _times(ratios: Mapping[str, float]) -> str:
    return " and ".join(f"{ratio:.2g} × the {name}" for name, ratio in ratios.items())


def _interval(estimate: Estimate) -> str:
    low, high = ("?" if end is None else f"{end:.3g}" for end in (estimate.low, estimate.high))
    return f"{estimate.value:.3g} [{low}, {high}]"


def _signed(difference_: Difference) -> str:
    return f"{difference_.value:+.2g} [{difference_.low:+.2g}, {difference_.high:+.2g}]"
