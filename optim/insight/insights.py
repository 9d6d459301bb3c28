"""What a run says beyond its teams: which knobs matter, and what would be worth trying next."""

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
    """All of it is of one model of the teams measured so far.

    Attributes:
        importances: by objective; those are absent of which there is too little to say.
        suggestions: untried teams, the most promising first.
        hints: ranges that end too early, in sentences.
    """

    importances: Mapping[str, Importance] = field(default_factory=dict)
    suggestions: Sequence[Suggestion] = ()
    hints: Sequence[str] = ()


def insights(results: Results, space: Space | None, *, seed: int = 0) -> Insights:
    """Learn from a run's teams; the same teams and seed give the same.

    Args:
        results: of the run.
        space: its teams. Those of the run that are not among them are left out. None where it is not known: there is
            nothing to say then.
        seed: of the model's random numbers.
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
