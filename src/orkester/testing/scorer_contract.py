"""What every scorer keeps to. Subclass the contract in a test module and give it the scorer."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orkester.errors import InputError
from orkester.evals.scorers import Scorer, scorer

#: Any text a model may say: all of Unicode, lone surrogates (half an emoji, where max_tokens cut) among it.
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60) | st.text(max_size=60).map(lambda t: t * 100)
ANY_EXPECTED = ANY_TEXT | st.integers() | st.floats() | st.booleans() | st.lists(ANY_TEXT | st.integers(), max_size=3)

# One test method serves several scorers: that is what a contract is for.
_SETTINGS = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.differing_executors])


class ScorerContract:
    """Subclasses say how the scorer is asked for, and what is right."""

    #: The name in study files.
    name: str
    #: As in a study file.
    spec: str | Mapping[str, Any]
    #: Expected answers as data has them, each readable by the scorer.
    rights: Sequence[Any]
    #: A right answer and another way to say it that must be the same vote.
    same: Sequence[tuple[str, str]]
    #: An answer that is wrong for every one of ``rights``.
    wrong: str
    #: Whether the key of any text is its own key. Not for scorers that look for something within the text; the keys
    #: of ``rights`` are their own keys with those too.
    idempotent = True

    def make(self) -> Scorer:
        """The scorer, made anew."""
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
