"""The verdict on a run: the best quality, the cheapest team that keeps it, and what the difference buys.

Quality decides who is a candidate, and the costs only choose among candidates. So several costs that go together, such
as seconds and joules, never outvote quality.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from orkester.evals.objectives import objective
from orkester.evals.objectives.quality import QUALITY
from orkester.evals.records.block import Phase
from orkester.evals.stats.intervals import Floats
from orkester.evals.stats.rows import Rows
from orkester.evals.summaries.measurement import Measurement
from orkester.evals.summaries.rows import team_rows
from orkester.optim.goals.front_probability import DRAWS, objective_draws, seeded
from orkester.optim.goals.goal import Direction, quality_name
from orkester.optim.goals.groups import LEVEL
from orkester.optim.run.results import Results, TeamResult

#: The share of the best quality that the recommended team may lack.
LOSS: Final = 0.02
#: A cost below it counts as this much, so that a cost of 0 has a logarithm.
_LEAST: Final = 1e-12
#: The ends of a 95 % interval, as quantiles.
_ENDS: Final = (0.025, 0.975)
#: The difference that is shown in 80 % of cases ÷ half of the width of a 95 % interval: (1.960 + 0.842) / 1.960.
_POWER: Final = 1.43


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A difference of two teams in one objective, on the examples that both have seen.

    Attributes:
        value: The difference, in the objective's unit.
        low, high: The ends of the paired 95 % interval (Bayesian bootstrap over the examples).
        n: The number of examples that both have seen.
    """

    value: float
    low: float
    high: float
    n: int

    @property
    def detectable(self) -> float:
        """The smallest difference that as many examples would show with a probability of 80 %, at a level of 5 %.

        Computed from the width of the interval, as if the difference were normally distributed.
        """
        return _POWER * (self.high - self.low) / 2

    def as_json(self) -> dict[str, float]:
        """For ``orkester best --json``."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A cost of one team ÷ that of another one, on the examples that both have seen.

    Attributes:
        value: The ratio of the means.
        low, high: The ends of the paired 95 % interval (Bayesian bootstrap over the examples); None for an end that is
            not known, for example of joules of a single block.
    """

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class AgainstSingle:
    """A choice compared with the best single agent of the same run.

    Attributes:
        single: The single agent that is best in the objective that counts as quality.
        phase: The phase that the values are taken from.
        ratios: The value of the choice ÷ the value of the single agent, by objective; None where the latter is 0.
        difference: The quality of the choice minus that of the single agent; None if the choice is that agent.
    """

    single: TeamResult
    phase: Phase
    ratios: Mapping[str, float | None]
    difference: Difference | None = None


@dataclass(frozen=True, kw_only=True)
class AgainstGuess:
    """A team compared with the best guess that needs no call.

    Attributes:
        name: The guess, for example ``constant answer 'yes'``.
        value: The quality of the guess on the examples that the team has seen.
        difference: The quality of the team minus that of the guess.
    """

    name: str
    value: float
    difference: Difference

    @property
    def is_better(self) -> bool:
        """Whether the team is shown to be better than the guess."""
        return self.difference.low > 0

    def as_json(self) -> dict[str, Any]:
        """For ``orkester best --json``."""
        return {"guess": self.name, "quality": self.value, "difference": self.difference.as_json()}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Which team is best, and which one to take.

    Attributes:
        name: The objective that counts as quality: ``quality``, or the study's first objective if it has none.
        best: The candidate that is best in it.
        recommended: The cheapest candidate whose quality cannot be told from the best one, or lacks at most ``loss``.
        loss: The share of the best quality that may be lacking.
        lacks: The quality of the recommended team minus that of the best team; None if they are the same team.
        told_apart: Whether a paired test at 5 % tells the two apart in quality.
        phase: The phase that the values are from.
        guess: The best team compared with a guess; None where there is no guess to compare with.
    """

    name: str
    best: TeamResult
    recommended: TeamResult
    loss: float
    lacks: Difference | None
    told_apart: bool
    phase: Phase
    guess: AgainstGuess | None = None

    def as_json(self) -> dict[str, Any]:
        """For ``orkester best --json``."""
        return {
            "quality": self.name,
            "best": self.best.team.id,
            "recommended": self.recommended.team.id,
            "loss": self.loss,
            "lacks": None if self.lacks is None else self.lacks.as_json(),
            "told_apart": self.told_apart,
            "values_of": self.phase,
            "against_guess": None if self.guess is None else self.guess.as_json(),
        }


def judge(found: Results, candidates: Sequence[TeamResult], phase: Phase, loss: float = LOSS) -> Verdict:
    """Find the best and the recommended team.

    Args:
        found: The results of the run.
        candidates: The teams to choose from; at least one, each with values of all objectives in the phase.
        phase: The phase whose values count.
        loss: The share of the best quality that the recommended team may lack, from 0 to below 1.

    Returns:
        The verdict. A team that another candidate beats in all values is not recommended.
    """
    name = quality_name(found.objectives)
    direction = found.objectives[name]
    sign = 1.0 if direction == "maximize" else -1.0
    unbeaten = [team for team in candidates if not any(_beats(other, team, found, phase) for other in candidates)]

    names = cost_names(found.objectives, name)

    def cost(team: TeamResult) -> tuple[float, ...]:
        """The logarithm of the geometric mean of the costs; ties go to the better quality, then to the first cost."""
        logs = [math.log(max(_LEAST, value_of(team, each, phase))) for each in names]
        return (round(sum(logs) / max(1, len(logs)), 9), -sign * value_of(team, name, phase), *logs, team.trial)

    best = min(unbeaten, key=lambda team: (-sign * value_of(team, name, phase), cost(team)))
    floor = value_of(best, name, phase) - sign * loss * abs(value_of(best, name, phase))
    eligible = [
        team
        for team in unbeaten
        if team is best
        or sign * (value_of(team, name, phase) - floor) >= 0
        or not _told_apart(found, team, best, name, phase)
    ]
    recommended = min(eligible, key=cost)
    return Verdict(
        name=name,
        best=best,
        recommended=recommended,
        loss=loss,
        lacks=None if recommended is best else difference(found, recommended, best, name, phase),
        told_apart=recommended is not best and _told_apart(found, recommended, best, name, phase),
        phase=phase,
        guess=against_guess(found, best, phase),
    )


def against_guess(found: Results, team: TeamResult, phase: Phase) -> AgainstGuess | None:
    """Compare the quality of a team with the guess that is best in the search.

    Args:
        found: The results of the run.
        team: A team that was measured in the phase.
        phase: The phase whose values count.

    Returns:
        The comparison; None if the study has no objective ``quality``, or guesses were not computed.
    """
    rows, direction = _rows(found, team, phase), found.objectives.get(QUALITY.name)
    if rows is None or direction != QUALITY.direction or not found.baselines:
        return None
    guess = max(found.baselines, key=lambda baseline: baseline.value("search"))
    guessed = guess.rows(phase)
    return AgainstGuess(
        name=guess.name,
        value=guess.value(phase, rows.n),
        difference=_difference(found, rows, guessed, QUALITY.name),
    )


def measured(team: TeamResult, phase: Phase) -> Measurement:
    """The measurement of a team in a phase in which it was measured."""
    measurement = team.confirmed if phase == "confirm" else team.search
    assert measurement is not None
    return measurement


def value_of(team: TeamResult, name: str, phase: Phase) -> float:
    """The value of a quantity of a team in a phase in which it was measured."""
    return measured(team, phase).estimates[name].value


def cost_names(objectives: Mapping[str, Direction], quality: str) -> list[str]:
    """The objectives that are costs: those to be minimised, other than the one that counts as quality."""
    return [name for name, direction in objectives.items() if direction == "minimize" and name != quality]


def _beats(one: TeamResult, other: TeamResult, found: Results, phase: Phase) -> bool:
    gaps = []
    for name, direction in found.objectives.items():
        sign = 1.0 if direction == "maximize" else -1.0
        gaps.append(sign * (value_of(one, name, phase) - value_of(other, name, phase)))
    return min(gaps) >= 0 < max(gaps)


def _told_apart(found: Results, one: TeamResult, other: TeamResult, name: str, phase: Phase) -> bool:
    """Whether the other team is shown to be better, by a paired test; True where there is nothing to test."""
    first, second = _rows(found, one, phase), _rows(found, other, phase)
    if first is None or second is None:
        return True
    p = objective(name).paired_p(first, second, found.objectives[name])
    return p is not None and p < LEVEL / 2


def difference(found: Results, one: TeamResult, other: TeamResult, name: str, phase: Phase) -> Difference | None:
    """The value of one team minus that of another one, on the examples that both have seen.

    Args:
        found: The results of the run.
        one, other: The teams.
        name: An objective of the study.
        phase: The phase whose examples count.

    Returns:
        The difference; None for the same team, or if the run keeps no examples of one of them.
    """
    first, second = _rows(found, one, phase), _rows(found, other, phase)
    if first is None or second is None or one.team.id == other.team.id:
        return None
    return _difference(found, first, second, name)


def _difference(found: Results, first: Rows, second: Rows, name: str) -> Difference:
    draws = _draws(found, first, second, name)
    low, high = np.quantile(draws[:, 0] - draws[:, 1], _ENDS)
    one_value, other_value = (_shared_value(rows, first, second, name) for rows in (first, second))
    return Difference(value=one_value - other_value, low=float(low), high=float(high), n=min(first.n, second.n))


def probability_better(found: Results, one: TeamResult, other: TeamResult, name: str, phase: Phase) -> float | None:
    """The probability that one team is better than another one, on the examples that both have seen.

    It is the share of the draws of the Bayesian bootstrap (Rubin 1981) in which it is better; draws without a
    difference count half.

    Args:
        found: The results of the run.
        one, other: The teams.
        name: An objective of the study.
        phase: The phase whose examples count.

    Returns:
        The probability; None if the run keeps no examples of one of them.
    """
    first, second = _rows(found, one, phase), _rows(found, other, phase)
    if first is None or second is None:
        return None
    draws = _draws(found, first, second, name)
    gaps = (draws[:, 0] - draws[:, 1]) * (1 if found.objectives[name] == "maximize" else -1)
    return float(np.mean(gaps > 0) + np.mean(gaps == 0) / 2)


def cost_ratios(found: Results, one: TeamResult, other: TeamResult, phase: Phase) -> Mapping[str, Ratio]:
    """The costs of one team ÷ those of another one.

    Args:
        found: The results of the run.
        one, other: The teams.
        phase: The phase whose values count.

    Returns:
        The ratios by minimised objective other than the one that counts as quality, in the study's order. A cost that
        is 0 for the other team is left out.
    """
    first, second = _rows(found, one, phase), _rows(found, other, phase)
    ratios: dict[str, Ratio] = {}
    for name in cost_names(found.objectives, quality_name(found.objectives)):
        divisor = value_of(other, name, phase)
        if not divisor:
            continue
        quantity = objective(name)
        if first is None or second is None or not quantity.known(first) or not quantity.known(second):
            ratios[name] = Ratio(value=value_of(one, name, phase) / divisor)
            continue
        draws = _draws(found, first, second, name)
        value = _shared_value(first, first, second, name) / _shared_value(second, first, second, name)
        # Joules of few blocks are drawn from wide distributions, which reach to 0: then the ratio has no upper end.
        with np.errstate(divide="ignore", invalid="ignore"):
            parts = np.where(draws[:, 1] > 0, draws[:, 0] / draws[:, 1], np.inf)
        low, high = (float(np.quantile(parts, end, method="higher")) for end in _ENDS)
        ratios[name] = Ratio(value=value, low=_finite(low), high=_finite(high))
    return ratios


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _draws(found: Results, first: Rows, second: Rows, name: str) -> Floats:
    """An objective of two teams, computed with random weights of the examples: of shape (DRAWS, 2)."""
    pair, goal = {"one": first, "other": second}, {name: found.objectives[name]}
    return objective_draws(pair, goal, seeded(pair, goal), DRAWS)[:, :, 0]


def _shared_value(rows: Rows, first: Rows, second: Rows, name: str) -> float:
    """The value of an objective on the examples that two teams have both seen."""
    n = min(first.n, second.n)
    return objective(name).value({key: column[:n] for key, column in rows.columns.items()})


def _rows(found: Results, team: TeamResult, phase: Phase) -> Rows | None:
    blocks = found.blocks.get(team.team.id, {}).get(phase, ())
    return team_rows(blocks, found.footprint) if blocks else None
