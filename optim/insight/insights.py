"""What a run teaches beyond its teams: which knobs matter, and what to try next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orkester.evals.objectives import objectives
from orkester.optim.goals.goal import FAILURES
from orkester.optim.run.results import Results
from orkester.optim.study.space import Space

from .effects import fit
from .importance import Importance, importances
from .suggestions import Suggestion, border_hints, worth_trying


@dataclass(frozen=True, kw_only=True)
class Insights:
    """What a model of the teams measured so far says.

    Attributes:
        importances: The importance of knobs, by objective. An objective is absent when there are too few teams.
        suggestions: Untried teams, the most promising first.
        hints: Sentences about ranges that could be widened.
    """

    importances: Mapping[str, Importance] = field(default_factory=dict)
    suggestions: Sequence[Suggestion] = ()
    hints: Sequence[str] = ()


def insights(results: Results, space: Space | None, *, seed: int = 0) -> Insights:
    """Learn from the teams of a run. The same teams and seed give the same insights.

    Args:
        results: The results of the run.
        space: The teams that the run could try; other teams are left out. None when it is not known; then there are no
            insights.
        seed: The seed of the model's random numbers.
    """
    if space is None:
        return Insights()
    limited = [name for name in results.constraints if name in objectives() and name != FAILURES]
    effects = fit(results, space, list(dict.fromkeys([*results.objectives, *limited])), seed=seed)
    return Insights(
        importances=importances(effects, results.objectives),
        suggestions=worth_trying(results, effects, seed=seed),
        hints=border_hints(results, space),
    )
