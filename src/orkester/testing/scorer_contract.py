"""The contract of scorers: the tests that every scorer must pass. Subclass it with the scorer."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orkester.errors import InputError
from orkester.evals.scorers import Scorer, scorer

#: Any text that a model may return: all of Unicode, including lone surrogates (half an emoji, cut by max_tokens).
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60) | st.text(max_size=60).map(lambda t: t * 100)
ANY_EXPECTED = ANY_TEXT | st.integers() | st.floats() | st.booleans() | st.lists(ANY_TEXT | st.integers(), max_size=3)

# Hypothesis complains when several classes run the same test method, which is the purpose of a contract.
_SETTINGS = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.differing_executors])


class ScorerContract:
    """The contract of all scorers. A subclass sets the scorer and some answers."""

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
        return scorer(self.spec)

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
