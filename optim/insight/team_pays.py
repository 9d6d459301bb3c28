"""Whether a team pays: the best team beside the best single agent of the same run.

Both are chosen by their values in the search. Where both were confirmed, they are compared on held-out examples, which
did not choose them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from orkester.errors import OrkesterError
from orkester.evals.objectives import Estimate
from orkester.evals.objectives.quality import QUALITY
from orkester.evals.records.block import Phase
from orkester.optim.goals.goal import quality_name
from orkester.optim.run.results import Results, TeamResult, is_single

from .verdict import Difference, Ratio, cost_ratios, difference, measured, probability_better

#: The quality of a single agent above which Kim et al. (arXiv:2512.08296) found that teams seldom gain.
SATURATION: Final = 0.45
#: From this probability on, a team counts as better, and at its complement as not better.
SURE: Final = 0.95


@dataclass(frozen=True, kw_only=True)
class TeamPays:
    """The best team compared with the best single agent.

    Attributes:
        name: The objective that counts as quality.
        single, team: Both, chosen by the search.
        phase: The phase that the values are from.
        difference: The quality of the team minus that of the single agent, on the examples that both have seen.
        probability: The probability that the team is better, from the same draws as the interval.
        ratios: The costs of the team ÷ those of the single agent, by objective.
    """

    name: str
    single: TeamResult
    team: TeamResult
    phase: Phase
    difference: Difference
    probability: float
    ratios: Mapping[str, Ratio]

    def estimate(self, of: TeamResult) -> Estimate:
        """The quality of one of the two."""
        return measured(of, self.phase).estimates[self.name]

    @property
    def verdict(self) -> str:
        """The verdict in a sentence."""
        if self.probability >= SURE:
            return f"A team pays in {self.name}: the probability that it is better is {_percent(self.probability)}."
        if self.probability <= 1 - SURE:
            return f"No team pays: the probability that the best one is better is {_percent(self.probability)}."
        return (
            f"It is open whether a team pays: the probability that the best one is better is "
            f"{_percent(self.probability)}, and on {self.difference.n} examples a difference of "
            f"{self.difference.detectable:.2g} would probably be shown (80 % power)."
        )

    @property
    def saturation(self) -> str:
        """What the rule of 45 % predicts, and whether it holds here; empty where quality is not a share."""
        if self.name != QUALITY.name:
            return ""
        value = self.estimate(self.single).value
        above = value > SATURATION
        predicted = f"above {SATURATION}: a team seldom gains" if above else f"not above {SATURATION}: a team may gain"
        gains = self.probability >= SURE
        found = "it gains nevertheless" if above and gains else "it gains" if gains else "no gain is shown"
        return (
            f"The best single agent has {self.name} {value:.2f}. This is {predicted} (Kim et al., arXiv:2512.08296). "
            f"Here, {found}."
        )

    def as_json(self) -> dict[str, Any]:
        """For ``orkester verdict --json``."""
        return {
            "objective": self.name,
            "values_of": self.phase,
            "single": self.single.team.id,
            "team": self.team.team.id,
            "difference": self.difference.as_json(),
            "probability_better": self.probability,
            "cost_ratios": {
                name: {"value": ratio.value, "low": ratio.low, "high": ratio.high}
                for name, ratio in self.ratios.items()
            },
            "verdict": self.verdict,
            "saturation": self.saturation,
        }


def team_pays(found: Results) -> TeamPays:
    """Compare the best team of a run with its best single agent.

    Args:
        found: The results of the run.

    Raises:
        OrkesterError: The run has no single agent, or no team of several, that was measured whole and is feasible.
    """
    name = quality_name(found.objectives)
    sign = 1.0 if found.objectives[name] == "maximize" else -1.0

    def confirmed(single: bool) -> TeamResult | None:
        """The best in the search of those that were confirmed."""
        fitting = [
            each
            for each in found.teams
            if each.whole and not each.infeasible and is_single(each.team) is single
            if each.search is not None and each.confirmed is not None and name in each.confirmed.estimates
        ]
        return max(fitting, key=lambda each: sign * measured(each, "search").estimates[name].value, default=None)

    pair = [confirmed(True), confirmed(False)]
    phase: Phase = "search" if None in pair else "confirm"
    if None in pair:
        pair = [found.best_single, found.best_of_several]
    if None in pair:
        lacking = "single agent" if pair[0] is None else "team of several agents"
        raise OrkesterError(
            f"the run has no {lacking} that was measured whole and keeps to the constraints, so there is nothing to "
            f"compare; search both, such as search: {{single: {{}}, vote: {{}}}}"
        )
    single, team = (each for each in pair if each is not None)
    gap = difference(found, team, single, name, phase)
    chance = probability_better(found, team, single, name, phase)
    if gap is None or chance is None:
        raise OrkesterError(
            "the run keeps no examples of its best team, or of its best single agent, so they cannot be compared: "
            "continue the run with orkester tune, or search again"
        )
    return TeamPays(
        name=name,
        single=single,
        team=team,
        phase=phase,
        difference=gap,
        probability=chance,
        ratios=cost_ratios(found, team, single, phase),
    )


def _percent(share: float) -> str:
    if share > 0.99:
        return "above 99 %"
    return "below 1 %" if share < 0.01 else f"{100 * share:.0f} %"
