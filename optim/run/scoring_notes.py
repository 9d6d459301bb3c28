"""What scorers that take long have cost in a run, and how far the verdicts of a judge can be trusted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from orkester.evals.records.block import Block, ScoringCost
from orkester.evals.stats.intervals import wilson

#: How a score came about; see ``ExampleResult.score_detail``.
Detail: TypeAlias = Mapping[str, Any]
#: The share of verdicts that cannot be read from which on it is said while a study runs.
MANY_UNREAD: Final = 0.2
#: The pairs of verdicts in which both orders have the same winner.
_CONSISTENT: Final = frozenset({("A", "B"), ("B", "A"), ("tie", "tie")})
_VERDICTS: Final = ("verdict", "first", "second")
_NUMBER: Final = re.compile(r"^test \d+: ")
_MOST_ERRORS: Final = 3
_MOST_CHARACTERS: Final = 80


def scoring_notes(blocks: Sequence[Block]) -> Sequence[str]:
    """Notes on the scoring of a run, in whole sentences.

    Args:
        blocks: All blocks of the run.

    Returns:
        A line each; none when every answer was scored at once.
    """
    costs = [block.scoring for block in blocks if block.scoring is not None]
    if not costs:
        return ()
    details = _details(blocks)
    return (_cost(costs), *_about_verdicts(details), *_about_pairs(details), *_about_unread(details), *_errors(details))


def unread_verdicts(blocks: Sequence[Block]) -> str:
    """Say that many verdicts of a judge could not be read; empty when it is not so.

    Args:
        blocks: Blocks of a run.
    """
    details = _details(blocks)
    verdicts, unread = sum(map(_is_verdict, details)), sum(map(_is_unread, details))
    return next(_about_unread(details), "") if unread and unread >= MANY_UNREAD * verdicts else ""


def _details(blocks: Sequence[Block]) -> Sequence[Detail]:
    """How each score came about, once for each example and answer."""
    found = {
        (result.id, result.answer): result.score_detail
        for block in blocks
        for result in block.examples
        if result.answer and result.score_detail is not None
    }
    return list(found.values())


def _cost(costs: Sequence[ScoringCost]) -> str:
    scored, known = sum(cost.scored for cost in costs), sum(cost.known for cost in costs)
    text = f"{scored:,} answers were scored in {sum(cost.wall_s for cost in costs):.3g} s"
    if calls := sum(cost.calls for cost in costs):
        text += f" with {calls:,} calls"
        tokens = [count for cost in costs for count in (cost.input_tokens, cost.output_tokens)]
        if None not in tokens:
            text += f" of {sum(count or 0 for count in tokens):,} tokens"
    joules = [cost.energy_j for cost in costs]
    if None not in joules:
        text += f" and {sum(count or 0 for count in joules):.3g} J"
    text += ", after the measurement windows. No team pays for it; the budget does."
    if not known:
        return text
    return f"{text} {known:,} more {'was' if known == 1 else 'were'} known from the same answers before."


def _about_verdicts(details: Sequence[Detail]) -> Iterator[str]:
    """How the verdicts agree with the text of the expected answers."""
    judged = [each for each in details if each.get("verdict") is not None and "has_expected" in each]
    if not judged:
        return
    parts: list[str] = []
    intervals = []
    for has, words in ((True, "contain the expected answer word for word"), (False, "do not")):
        verdicts = [each["verdict"] == "correct" for each in judged if each["has_expected"] is has]
        if verdicts:
            of = f"the {len(verdicts):,}" if parts else f"{len(verdicts):,} answers"
            parts.append(f"of {of} that {words}, {sum(verdicts):,} ({_share(sum(verdicts), len(verdicts))})")
            intervals.append(wilson(sum(verdicts), len(verdicts)))
    if len(intervals) == 2 and intervals[0][0] <= intervals[1][1]:
        remedy = "It is not shown to tell them apart, so its scores say little: use a larger model as the judge."
    else:
        remedy = (
            "Verdicts against the text are other wordings, or errors of the judge: read some before you trust small "
            "differences between teams."
        )
    yield f"The judge {judged[0]['judge']} calls correct: {'; '.join(parts)}. {remedy}"


def _about_pairs(details: Sequence[Detail]) -> Iterator[str]:
    pairs = [(each["first"], each["second"]) for each in details if "first" in each and not _is_unread(each)]
    if pairs:
        same = sum(pair in _CONSISTENT for pair in pairs)
        yield (
            f"In {same:,} of {len(pairs):,} pairs ({_share(same, len(pairs))}) the judge prefers the same answer in "
            "both orders; in the others its verdict depends on the position."
        )


def _about_unread(details: Sequence[Detail]) -> Iterator[str]:
    judged = list(filter(_is_verdict, details))
    if unread := list(filter(_is_unread, judged)):
        words = str(unread[0].get("reply") or unread[0].get("error") or "")
        yield (
            f"{len(unread):,} of {len(judged):,} verdicts could not be read and count as wrong, for example "
            f"{_short(words)!r}. A larger model follows the instruction better; a thought may need more max_tokens."
        )


def _is_verdict(detail: Detail) -> bool:
    return any(name in detail for name in _VERDICTS)


def _is_unread(detail: Detail) -> bool:
    return any(name in detail and detail[name] is None for name in _VERDICTS)


def _errors(details: Sequence[Detail]) -> Iterator[str]:
    """The most frequent reasons for which programs fail."""
    failed = [each for each in details if "tests" in each and each["passed"] < each["tests"]]
    if failed:
        kinds = Counter(_NUMBER.sub("", str(each.get("error", ""))).split(" in ")[0] for each in failed)
        listed = ", ".join(f"{_short(kind)} ({count:,})" for kind, count in kinds.most_common(_MOST_ERRORS))
        programs = sum("tests" in each for each in details)
        yield f"{len(failed):,} of {programs:,} programs did not pass all tests: {listed}."


def _share(part: int, of: int) -> str:
    low, high = wilson(part, of)
    return f"{100 * part / of:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"
