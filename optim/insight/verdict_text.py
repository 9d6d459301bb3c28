"""The verdict on a run in words."""

from __future__ import annotations

from collections.abc import Mapping

from orkester.evals.objectives import Estimate
from orkester.evals.objectives.quality import QUALITY
from orkester.optim.run.results import Results, is_single

from .verdict import AgainstGuess, AgainstSingle, Difference, Ratio, Verdict, cost_ratios, measured


def sentences(found: Results, verdict: Verdict, against: AgainstSingle | None) -> tuple[str, str]:
    """The verdict in two sentences: the team to take and its quality, then what it costs or saves.

    If no team is shown to be better than a guess, the first sentence says that.

    Args:
        found: The results of the run.
        verdict: The verdict.
        against: The recommended team compared with the best single agent; None if no single agent was measured.
    """
    if verdict.guess is not None and not verdict.guess.is_better:
        return _no_better_than_guessing(verdict, verdict.guess), _costs(found, verdict, against)
    return _quality(found, verdict, against), _costs(found, verdict, against)


def _no_better_than_guessing(verdict: Verdict, guess: AgainstGuess) -> str:
    best = measured(verdict.best, verdict.phase).estimates[QUALITY.name]
    return (
        f"No team is shown to be better than guessing: the best one, {verdict.best.team}, has quality "
        f"{_interval(best)} on {best.n} {_where(verdict)}, {_signed(guess.difference)} compared with the {guess.name}."
    )


def _where(verdict: Verdict) -> str:
    return "held-out examples" if verdict.phase == "confirm" else "examples of the search"


def _quality(found: Results, verdict: Verdict, against: AgainstSingle | None) -> str:
    team = verdict.recommended
    quality = measured(team, verdict.phase).estimates[verdict.name]
    has = f"{team.team} has {verdict.name} {_interval(quality)} on {quality.n} {_where(verdict)}"
    if is_single(team.team):
        return f"One agent is enough: {has}."
    if against is None:
        return f"{has}; no single agent was measured to compare it with."
    single, gain = against.single.team, against.difference
    if gain is None:
        return f"{has}; the best single agent, {single}, was not measured on the same examples."
    shown = gain.low > 0 if found.objectives[verdict.name] == "maximize" else gain.high < 0
    in_search = " (in the search)" if against.phase != verdict.phase else ""
    compared = f"{has}, {_signed(gain)} compared with the best single agent{in_search}, {single}"
    return f"{compared}." if shown else f"{compared}: that the team is better is not shown."


def _costs(found: Results, verdict: Verdict, against: AgainstSingle | None) -> str:
    team, best = verdict.recommended, verdict.best
    if best is not team:
        lacks = "" if verdict.lacks is None else f", {_signed(verdict.lacks)}"
        apart = f"is within {100 * verdict.loss:g} % of" if verdict.told_apart else "cannot be told from"
        costs = _times(cost_ratios(found, best, team, verdict.phase))
        more = f", which takes {costs}" if costs else ""
        return f"Its {verdict.name} {apart} the best one{lacks}: {best.team}{more}."
    costs = "" if against is None else _times(cost_ratios(found, team, against.single, against.phase))
    if is_single(team.team) or not costs:
        return f"No cheaper team keeps its {verdict.name}."
    return f"It takes {costs} of that agent, and no cheaper team keeps its {verdict.name}."


def _times(ratios: Mapping[str, Ratio]) -> str:
    return " and ".join(f"{_ratio(ratio)} × the {name}" for name, ratio in ratios.items())


def _ratio(ratio: Ratio) -> str:
    low, high = ("?" if end is None else f"{end:.2g}" for end in (ratio.low, ratio.high))
    return f"{ratio.value:.2g} [{low}, {high}]"


def _interval(estimate: Estimate) -> str:
    low, high = ("?" if end is None else f"{end:.3g}" for end in (estimate.low, estimate.high))
    return f"{estimate.value:.3g} [{low}, {high}]"


def _signed(gain: Difference) -> str:
    return f"{gain.value:+.2g} [{gain.low:+.2g}, {gain.high:+.2g}]"
