import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from orkester.agents.routing import _logistic


def loss(weights: np.ndarray, texts: np.ndarray, targets: np.ndarray, bias: float) -> float:
    scores = texts @ weights + bias
    return float(np.logaddexp(0, scores).sum() - targets @ scores + _logistic.PENALTY / 2 * weights @ weights)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.text("ab 12", max_size=12), st.floats(0, 1)), min_size=1, max_size=12))
def test_the_weights_are_those_of_the_least_loss(data: list[tuple[str, float]]) -> None:
    texts, targets = _logistic.vectors([text for text, _ in data]), np.array([target for _, target in data])
    weights, bias = _logistic.fit(texts, targets)
    used = np.flatnonzero(np.abs(texts).sum(axis=0))
    assert not np.delete(weights, used).any()
    start = np.zeros(len(used))
    best = minimize(loss, start, args=(texts[:, used], targets, bias), tol=1e-12) if len(used) else None
    least = loss(start, texts[:, used], targets, bias) if best is None else float(best.fun)
    assert loss(weights[used], texts[:, used], targets, bias) <= least + 1e-6


def test_without_words_the_probability_is_that_of_the_mean() -> None:
    texts, targets = _logistic.vectors([""] * 9), np.array([1.0] * 6 + [0.0] * 3)
    weights, bias = _logistic.fit(texts, targets)
    assert not weights.any()
    assert _logistic.sigmoid(np.array(bias)) == pytest.approx(6.5 / 10)


def test_numbers_count_as_one_word_and_case_does_not_count() -> None:
    assert np.array_equal(_logistic.features("What is 12 + 7?"), _logistic.features("WHAT is 3 + 999?"))
    assert not np.array_equal(_logistic.features("What is 12 + 7?"), _logistic.features("What is 12 - 7?"))
    assert np.linalg.norm(_logistic.features("Ett, två")) == pytest.approx(1)
    assert not _logistic.features(" \n").any()


def test_large_scores_do_not_overflow() -> None:
    with np.errstate(all="raise"):
        assert _logistic.sigmoid(np.array([-1e6, 0.0, 1e6])).tolist() == [0.0, 0.5, 1.0]
