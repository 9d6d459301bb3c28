"""The contracts of scorers: the tests that every scorer must pass. Subclass one of them with the scorer."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orkester.errors import InputError
from orkester.evals.scorers import Answered, DeferredScorer, Score, Scorer, scorer
from orkester.serving.chat import ChatModel

#: Any text that a model may return: all of Unicode, including lone surrogates (half an emoji, cut by max_tokens).
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60) | st.text(max_size=60).map(lambda t: t * 100)
ANY_EXPECTED = ANY_TEXT | st.integers() | st.floats() | st.booleans() | st.lists(ANY_TEXT | st.integers(), max_size=3)

# Hypothesis complains when several classes run the same test method, which is the purpose of a contract.
_SETTINGS = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.differing_executors])


class ScorerContract:
    """The contract of scorers that answer at once. A subclass sets the scorer and some answers."""

    #: The name of the scorer.
    name: str
    #: The scorer as it is written in a study file.
    spec: str | Mapping[str, Any]
    #: Right answers as they are written in data files.
    rights: Sequence[Any]
    #: Pairs of answers that must be the same vote.
    same: Sequence[tuple[str, str]]
    #: An answer that is wrong for all of ``rights``.
    wrong: str
    #: Whether the key of every key is the key itself. Set it to False for a scorer that looks for a part of the text;
    #: for the keys of ``rights``, this must be true in any case.
    idempotent = True

    def make(self) -> Scorer:
        """Make a new scorer."""
        made = scorer(self.spec)
        assert isinstance(made, Scorer)
        return made

    def test_it_has_a_name_and_a_version(self) -> None:
        made = self.make()
        assert isinstance(made, Scorer)
        assert made.name == self.name
        assert isinstance(made.version, str)
        assert made.version

    @_SETTINGS
    @given(answer=ANY_TEXT, expected=ANY_EXPECTED)
    def test_any_text_scores_from_0_to_1(self, answer: str, expected: Any) -> None:
        score = self.make().score(answer, expected)
        assert isinstance(score, float)
        assert 0 <= score <= 1

    @_SETTINGS
    @given(answer=ANY_TEXT, expected=ANY_EXPECTED)
    def test_the_same_answer_scores_the_same(self, answer: str, expected: Any) -> None:
        assert self.make().score(answer, expected) == self.make().score(answer, expected)

    @_SETTINGS
    @given(answer=ANY_TEXT)
    def test_any_text_has_one_key(self, answer: str) -> None:
        key = self.make().key(answer)
        assert isinstance(key, str)
        assert self.make().key(answer) == key
        if self.idempotent:
            assert self.make().key(key) == key

    def test_what_is_expected_is_right(self) -> None:
        for right in self.rights:
            assert self.make().score(str(right), right) == 1, right

    def test_what_is_wrong_scores_less(self) -> None:
        for right in self.rights:
            assert self.make().score(self.wrong, right) < 1, right

    def test_any_entry_of_a_list_is_right(self) -> None:
        made = self.make()
        for right in self.rights:
            assert made.score(str(right), list(self.rights)) == 1, right
        assert made.score(self.wrong, list(self.rights)) < 1
        assert made.score(str(self.rights[0]), []) == 0

    def test_answers_that_are_the_same_are_one_vote(self) -> None:
        made = self.make()
        for one, other in self.same:
            assert made.key(one) == made.key(other), (one, other)
        keys = {made.key(str(right)) for right in self.rights}
        assert len(keys) == len(self.rights)
        assert {made.key(key) for key in keys} == keys

    def test_an_unknown_option_is_refused(self) -> None:
        name, options = (self.spec, {}) if isinstance(self.spec, str) else next(iter(self.spec.items()))
        with pytest.raises(InputError, match="no_such_option"):
            scorer({name: {**options, "no_such_option": 1}})


class DeferredScorerContract:
    """The contract of scorers that take long. A subclass sets the scorer and some answers."""

    #: The name of the scorer.
    name: str
    #: The scorer as it is written in a study file.
    spec: str | Mapping[str, Any]
    #: Pairs of an answer and the expected answer for which it is right.
    rights: Sequence[tuple[str, Any]]
    #: Pairs of an answer and an expected answer for which it is wrong.
    wrongs: Sequence[tuple[str, Any]]
    #: Pairs of answers that must be the same vote.
    same: Sequence[tuple[str, str]]
    #: Expected answers for which no answer could be right.
    unusable: Sequence[Any] = ()

    def make(self) -> DeferredScorer:
        """Make a new scorer."""
        made = scorer(self.spec)
        assert isinstance(made, DeferredScorer)
        return made

    def models(self) -> Mapping[str, ChatModel]:
        """The models that the scorer asks. They must be such that ``rights`` are right and ``wrongs`` are wrong."""
        return {}

    def score(self, answer: str, expected: Any) -> Score:
        """Let a new scorer score an answer."""
        answered = Answered(question="What is it?", answer=answer, expected=expected)
        return asyncio.run(self.make().evaluate(answered, self.models()))

    def test_it_has_a_name_and_a_version(self) -> None:
        made = self.make()
        assert made.name == self.name
        assert isinstance(made.version, str)
        assert made.version

    def test_it_says_what_it_needs(self) -> None:
        made = self.make()
        assert set(made.models) <= set(self.models())
        assert bool(made.calls_per_answer) == bool(made.models)
        assert made.at_once is None or made.at_once >= 1

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
    @given(answer=ANY_TEXT)
    def test_any_text_scores_from_0_to_1(self, answer: str) -> None:
        score = self.score(answer, self.rights[0][1])
        assert isinstance(score.value, float)
        assert 0 <= score.value <= 1
        json.dumps(score.detail, allow_nan=False)

    @_SETTINGS
    @given(answer=ANY_TEXT)
    def test_any_text_has_one_key(self, answer: str) -> None:
        key = self.make().key(answer)
        assert isinstance(key, str)
        assert self.make().key(answer) == key

    def test_what_is_right_scores_1_and_what_is_wrong_scores_less(self) -> None:
        for answer, expected in self.rights:
            assert not self.make().fault(expected)
            score = self.score(answer, expected)
            assert score.value == 1, (answer, score)
            assert len(score.replies) == self.make().calls_per_answer
        for answer, expected in self.wrongs:
            assert self.score(answer, expected).value < 1, answer

    def test_an_expected_answer_that_cannot_be_used_has_a_fault(self) -> None:
        for expected in self.unusable:
            assert self.make().fault(expected), expected

    def test_answers_that_are_the_same_are_one_vote(self) -> None:
        made = self.make()
        for one, other in self.same:
            assert made.key(one) == made.key(other), (one, other)
        assert len({made.key(answer) for answer, _ in (*self.rights, *self.wrongs)}) > 1

    def test_an_unknown_option_is_refused(self) -> None:
        name, options = (self.spec, {}) if isinstance(self.spec, str) else next(iter(self.spec.items()))
        with pytest.raises(InputError, match="no_such_option"):
            scorer({name: {**options, "no_such_option": 1}})
