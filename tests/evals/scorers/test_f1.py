"""The scorer ``f1``: shares of words that were computed by hand."""

import pytest

from orkester.evals.scorers import scorer


@pytest.mark.parametrize(
    ("answer", "expected", "share"),
    [
        ("the Nile", "Nile", 1),
        ("a river in Egypt", "river in Egypt", 1),
        ("It is the Nile.", "Nile", 2 * (1 / 3) * 1 / (1 / 3 + 1)),
        ("Nile", "the White Nile", 2 * 1 * (1 / 2) / (1 + 1 / 2)),
        ("new new york", "new york", 2 * (2 / 3) * 1 / (2 / 3 + 1)),
        ("1,500 people", "1500 people", 1),
        ("1.5 km", "5 km", 0.5),
        ("Amazon", "Nile", 0),
        ("", "Nile", 0),
        ("the", "the", 1),
        ("東京都", "東京", 2 * (2 / 3) * 1 / (2 / 3 + 1)),
    ],
)
def test_the_share_is_the_harmonic_mean_of_precision_and_recall(answer: str, expected: str, share: float) -> None:
    assert scorer("f1").score(answer, expected) == pytest.approx(share)


def test_the_best_of_several_expected_texts_counts() -> None:
    made = scorer("f1")
    assert made.score("White Nile", ["Amazon", "the White Nile", "Nile"]) == 1
    assert made.score("White Nile", []) == 0
