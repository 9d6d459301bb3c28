"""Says which answers were cut off at the limit of tokens, and which setting of the study file is the remedy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orkester.evals.summaries.cut_answers import CutAnswers
from orkester.optim.study.answer_limits import AnswerLimit, AnswerLimits, limits_of_run

from .results import TeamResult


@dataclass(frozen=True, kw_only=True)
class CutWarning:
    """A warning of answers that were cut off, or are only a thought.

    Attributes:
        model: The name of the model.
        limit: The limit of the replies.
        text: The warning with the remedy, in a sentence or two.
    """

    model: str
    limit: AnswerLimit
    text: str


def team_warnings(topology: str, counts: Iterable[CutAnswers], limits: AnswerLimits) -> Sequence[CutWarning]:
    """Warn of the agents of one team.

    Args:
        topology: The name of the team's topology.
        counts: The counts of the team's agents.
        limits: The limits of the study.

    Returns:
        A warning for each model and setting with a notable share of cut replies.
    """
    grouped: dict[tuple[str, AnswerLimit], CutAnswers] = {}
    for each in counts:
        if each.is_notable:
            key = (each.model, limits.of(topology, each.agent))
            grouped[key] = grouped[key] + each if key in grouped else each
    return tuple(
        CutWarning(model=model, limit=limit, text=_text(each, limit)) for (model, limit), each in grouped.items()
    )


def run_warnings(teams: Sequence[TeamResult], manifest: Mapping[str, Any]) -> Sequence[str]:
    """Warn of several teams of a run, with one line for each model and limit.

    Args:
        teams: The teams.
        manifest: The manifest of the run, which has the limits; its plug-ins are loaded.

    Returns:
        The lines, those with the most cut replies first.
    """
    if not any(notable(result) for result in teams):
        return ()
    limits = limits_of_run(manifest)
    sums: dict[tuple[str, AnswerLimit], CutAnswers] = {}
    names: dict[tuple[str, AnswerLimit], set[str]] = {}
    for result in teams:
        for each in notable(result):
            key = (each.model, limits.of(result.team.topology, each.agent))
            sums[key] = sums[key] + each if key in sums else each
            names.setdefault(key, set()).add(result.team.id)
    lines = []
    for (model, limit), each in sorted(sums.items(), key=lambda item: -(item[1].cut + item[1].only_thoughts)):
        count = len(names[model, limit])
        where = f" in {count} of {len(teams)} teams" if len(teams) > 1 else ""
        lines.append(_text(each, limit, where=where))
    return lines


def notable(result: TeamResult) -> Sequence[CutAnswers]:
    """The counts of a team's agents that have a notable share of cut replies, of the search and of confirmation.

    Args:
        result: The team.
    """
    phases = [phase.cut for phase in (result.search, result.confirmed) if phase is not None]
    return [each for counts in phases for each in counts if each.is_notable]


def notable_share(result: TeamResult) -> str:
    """The largest share of cut replies of an agent of a team, such as ``38 %``; empty if it is not notable.

    Args:
        result: The team.
    """
    shares = [each.share for each in notable(result)]
    return f"{100 * max(shares):.0f} %" if shares else ""


def _text(counts: CutAnswers, limit: AnswerLimit, *, where: str = "") -> str:
    parts = []
    if counts.cut:
        part = f"{counts.cut:,} of {counts.replies:,} answers of {counts.model}{where} were cut off at the token limit"
        if counts.cut_thoughts:
            which = "all" if counts.cut_thoughts == counts.cut else f"{counts.cut_thoughts:,}"
            part += f", {which} of them inside the thought, so that there is no answer and the score is 0"
        part += f". Remedy: raise {limit}"
        if counts.cut_thoughts:
            part += ", so that the thought and the answer fit, or turn the model's thinking off"
        parts.append(part + ".")
        if limit.tokens is not None and counts.longest is not None and counts.longest < limit.tokens:
            parts.append(
                f"The longest of them has only {counts.longest:,} tokens, so the model's context may be the limit: "
                "raise it (engine_options.context_tokens), or shorten the prompt."
            )
    if counts.only_thoughts:
        parts.append(
            f"{counts.only_thoughts:,} of {counts.replies:,} replies of {counts.model}{where} are a thought without an "
            "answer, and score 0. Remedy: check the settings of the server for reasoning models (its reasoning parser)."
        )
    return " ".join(parts)
