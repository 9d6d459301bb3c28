"""A task: a scorer, and examples, which are split for search and confirmation."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from orkester.agents import Role
from orkester.errors import InputError

from .scorers import AnyScorer, DeferredScorer

#: The order of the examples: by hashes of the seed and their ids, or that of the data.
Order: TypeAlias = Literal["shuffled", "as_given"]
#: The fields of an example. A data file may use other names for them.
FieldName: TypeAlias = Literal["id", "question", "answer"]


@dataclass(frozen=True, kw_only=True)
class Example:
    """One question with its right answer.

    Attributes:
        id: The id, unique in the data; the line number when the data has no ids.
        question: Text, or a list of OpenAI content parts.
        expected: The right answer as it is in the data. When it is a list, each entry is a right answer. None when the
            data have none, which only some scorers allow.
    """

    id: str
    question: Any
    expected: Any


@dataclass(frozen=True, kw_only=True)
class Task:
    """The task on which teams are measured.

    Attributes:
        name: The name of the study.
        shots: Solved examples that base models get in the prompt. They are never scored.
        search: The examples that the search uses, in order.
        confirm: The examples that are held out for confirmation, in order.
        scorer: Scores the answers.
        instruction: The instruction for every agent whose role answers; empty for none.
        max_tokens: The maximum number of tokens of one answer, for roles without a maximum of their own.
        extract: A regular expression with one group that finds the answer in a text; None for the whole text.
        data_sha256: The SHA-256 of the data file.
        roles: Roles that replace those of the role packs, by name.
    """

    name: str
    shots: Sequence[Example]
    search: Sequence[Example]
    confirm: Sequence[Example]
    scorer: AnyScorer
    instruction: str
    max_tokens: int
    extract: str | None
    data_sha256: str
    roles: Mapping[str, Role] = field(default_factory=dict)

    @property
    def scorer_models(self) -> Sequence[str]:
        """The names of the models that the scorer asks."""
        return self.scorer.models if isinstance(self.scorer, DeferredScorer) else ()

    @property
    def read(self) -> Callable[[str], str]:
        """A function that extracts the answer from the text of a model."""
        return reader(self.extract)


def reader(extract: str | None) -> Callable[[str], str]:
    """Make a function that extracts the answer from a text.

    Args:
        extract: A regular expression with one group; None for the whole text.

    Returns:
        The function. It returns the group of the last match, or the whole text when nothing matches, without space at
        either end.
    """
    if extract is None:
        return str.strip
    pattern = re.compile(extract)

    def read(text: str) -> str:
        matches = pattern.findall(text)
        return str(matches[-1] if matches else text).strip()

    return read


def split(
    examples: Sequence[Example], *, confirm: float, shots: int, seed: int, order: Order = "shuffled"
) -> tuple[list[Example], list[Example], list[Example]]:
    """Split examples into shots, examples for the search and examples for confirmation.

    The first examples are shots. Of the others, those with the smallest hashes of seed and id are held out for
    confirmation. An example so stays in the same part when the order of the data changes.

    Both parts are shuffled, since a search that looks at the first examples is misled by data that are sorted, for
    example by difficulty.

    Args:
        examples: All examples.
        confirm: The share of the examples after the shots that is held out, from 0 to 1.
        shots: The number of shots.
        seed: The study's seed.
        order: Whether both parts are shuffled by the seed, or have the data's order.

    Returns:
        Shots, examples for the search, examples for confirmation.

    Raises:
        InputError: There are too few examples for all three parts.
    """
    rest = list(examples[shots:])
    confirm_count = max(1, round(len(rest) * confirm))
    if len(rest) - confirm_count < 1:
        raise InputError(
            f"{len(examples)} examples are too few: {shots} are shots, and the search and the confirmation need at "
            "least one example each"
        )
    ranked = sorted(rest, key=lambda example: hashlib.sha256(f"{seed}:{example.id}".encode()).digest())
    confirm_ids = {example.id for example in ranked[:confirm_count]}
    if order == "shuffled":
        rest.sort(key=lambda example: hashlib.sha256(f"order:{seed}:{example.id}".encode()).digest())
    return (
        list(examples[:shots]),
        [example for example in rest if example.id not in confirm_ids],
        [example for example in rest if example.id in confirm_ids],
    )
