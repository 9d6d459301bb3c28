"""Properties of the forms of texts that ``exact``, ``contains`` and ``choice`` compare."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orkester.errors import InputError
from orkester.evals.scorers import exact_text, scorer

TEXT = st.text(st.characters(exclude_categories=()), max_size=30) | st.text("aAbB1.,!()*\"'-+ /^#²½é", max_size=12)
WORDS = st.lists(st.text("abcxyzåøñ", min_size=1, max_size=6), min_size=1, max_size=5)


@settings(max_examples=200, deadline=None)
@given(TEXT)
def test_the_form_of_a_form_is_the_form(text: str) -> None:
    assert exact_text(exact_text(text)) == exact_text(text)


@settings(max_examples=200, deadline=None)
@given(WORDS)
def test_the_key_of_contains_is_a_key(words: list[str]) -> None:
    text, made = " ".join(words), scorer("contains")
    assert made.key(made.key(text)) == made.key(text)


@settings(max_examples=200, deadline=None)
@given(WORDS, WORDS)
def test_exact_never_takes_different_letters_for_the_same(one: list[str], other: list[str]) -> None:
    equal = exact_text(" ".join(one)) == exact_text(" ".join(other))
    assert equal == (one == other)


@settings(max_examples=100, deadline=None)
@given(WORDS, st.sampled_from(["{}", "**{}**", "“{}”", " {}. ", "{}!", "({})", "- {}", "`{}`"]))
def test_exact_does_not_look_at_the_form(words: list[str], wrap: str) -> None:
    text = " ".join([*words, "word"])  # a single letter before an exclamation mark would be a factorial
    assert exact_text(wrap.format(text.upper())) == text
    assert exact_text(wrap.format(unicodedata.normalize("NFD", text))) == text


@settings(max_examples=100, deadline=None)
@given(WORDS, WORDS, WORDS)
def test_whole_words_are_contained(before: list[str], wanted: list[str], after: list[str]) -> None:
    answer = " ".join([*before, *wanted, *after])
    assert scorer("contains").score(f"It is: {answer}.", " ".join(wanted)) == 1


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 999), st.integers(0, 99_999), st.sampled_from(["{}.{}", "{},{}", "{}/{}", "{}:{}", "{}{}", "{}^{}"])
)
def test_no_number_is_contained_in_another_one(one: int, other: int, form: str) -> None:
    number = form.format(one, other)
    made = scorer("contains")
    assert made.score(f"It is {number}.", number) == 1
    if number not in {str(one), str(other)}:
        assert made.score(f"It is {number}.", str(one)) == 0
        assert made.score(f"It is {number}.", str(other)) == 0


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from("ABCDEFGH"),
    st.sampled_from(
        [
            "{}",
            "({})",
            "**{}**",
            "{}.",
            "{}) Oslo",
            "The answer is {}.",
            "Answer: {}",
            "\\boxed{{{}}}",
            "I choose {}",
            "{} is correct",
        ]
    ),
)
def test_a_stated_letter_is_read(letter: str, form: str) -> None:
    options = "".join(f"{each}) Rome\n" for each in "ABCDEFGH")
    for answer in (form.format(letter), options + "\n" + form.format(letter) + "\n"):
        assert scorer("choice").key(answer) == letter


@pytest.mark.parametrize(
    "part", ["a", "1,", ".", "1 1/", "x.y.", "-", " 000", "é", "^", "1:", "A, ", "(A) ", "answer is ", "not "]
)
@pytest.mark.parametrize("name", ["exact", "contains", "choice"])
def test_a_long_text_is_read(name: str, part: str) -> None:
    """Patterns that go back and forth would take hours here."""
    assert scorer(name).score(part * (50_000 // len(part)), "7") == 0


def test_an_option_that_is_no_option_is_refused() -> None:
    with pytest.raises(InputError, match="takes true or false as plain_letters, but got 'no'"):
        scorer({"contains": {"plain_letters": "no"}})
