"""The scorer ``rouge``: how much of the expected text an answer has, in words or in sequences of words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Final

from ._base import accepted
from ._tokens import tokens

_VARIANTS: Final = ("rouge1", "rouge2", "rouge3", "rougeL", "rougeLsum")
_MEASURES: Final = ("f1", "precision", "recall")


@dataclass(frozen=True)
class Rouge:
    """ROUGE (Lin 2004, aclanthology.org/W04-1013), as the package ``rouge-score`` computes it.

    The package knows the letters a to z only. Texts with other letters are divided into words as ``contains`` does it.
    With several expected texts, the best one counts.

    Attributes:
        variant: ``rouge1``, ``rouge2`` and ``rouge3`` compare sequences of so many words; ``rougeL`` the longest common
            subsequence of words; ``rougeLsum`` that of each line.
        measure: ``f1``, ``precision`` or ``recall``.
        stem: Whether English endings of words do not count (Porter's stemmer).
    """

    variant: str = "rougeL"
    measure: str = "f1"
    stem: bool = False

    name: ClassVar[str] = "rouge"
    version: ClassVar[str] = "1"
    takes_objects: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.variant not in _VARIANTS:
            raise ValueError(f"variant is one of {', '.join(_VARIANTS)}, but got {self.variant!r}")
        if self.measure not in _MEASURES:
            raise ValueError(f"measure is one of {', '.join(_MEASURES)}, but got {self.measure!r}")
        try:
            import rouge_score  # noqa: F401
        except ImportError as error:
            raise ValueError(
                "it needs the rouge-score package; install it with: pip install 'orkester[scorers]'"
            ) from error

    def score(self, answer: str, expected: Any) -> float:
        """The share from 0 to 1."""
        return max((self._share(answer, right) for right in accepted(expected)), default=0.0)

    def key(self, answer: str) -> str:
        """The words in order."""
        return " ".join(tokens(answer, plain_letters=False))

    def _share(self, answer: str, right: str) -> float:
        scorer = self._ascii if _is_plain(answer) and _is_plain(right) else self._any
        found = scorer.score(right, answer)[self.variant]
        return float({"f1": found.fmeasure, "precision": found.precision, "recall": found.recall}[self.measure])

    @cached_property
    def _ascii(self) -> Any:
        from rouge_score.rouge_scorer import RougeScorer

        return RougeScorer([self.variant], use_stemmer=self.stem)

    @cached_property
    def _any(self) -> Any:
        from rouge_score.rouge_scorer import RougeScorer

        return RougeScorer([self.variant], tokenizer=_Words())


class _Words:
    """The tokenizer of other alphabets, in the form that the package asks for."""

    def tokenize(self, text: str) -> Sequence[str]:
        return tokens(text, plain_letters=False)


def _is_plain(text: str) -> bool:
    """Whether a text has no letters but a to z. Signs such as typographic quotes do not count."""
    return text.isascii() or not any(letter.isalnum() and not letter.isascii() for letter in text)


scorer = Rouge
