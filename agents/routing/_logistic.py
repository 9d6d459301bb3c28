"""Logistic regression on the words of questions."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: The number of places that word n-grams are hashed to. Each text has a few dozen n-grams.
PLACES = 4096
#: The strength of the penalty on the squares of the weights. Texts have length 1, so weights of a few units are enough.
PENALTY = 0.1
_STEPS = 50
_TOKEN = re.compile(r"\d+|[^\W\d_]+|[^\w\s]")


def features(text: str) -> Floats:
    """The words of a text and its pairs of neighbouring words, hashed ("feature hashing", Weinberger et al. 2009,
    arXiv:0902.2206). All numbers count as the same word, since a number that was never seen says as much as another.

    Args:
        text: The text.

    Returns:
        A vector of length 1, of shape (PLACES,); zeros for a text without words.
    """
    words = ["0" if word.isdecimal() else word for word in _TOKEN.findall(text.casefold())]
    grams = Counter([*words, *(f"{one} {next_}" for one, next_ in pairwise(words))])
    vector = np.zeros(PLACES)
    for gram, count in grams.items():
        digest = zlib.crc32(gram.encode("utf-8", "surrogatepass"))
        vector[digest % PLACES] += (1 if digest & 0x80000000 else -1) * np.log1p(count)
    length = float(np.linalg.norm(vector))
    return vector / length if length else vector


def fit(texts: Floats, targets: Floats) -> tuple[Floats, float]:
    """Fit a logistic regression with a penalty on the squares of its weights, by Newton's method.

    The weights are sums of the texts' vectors, so that the systems to be solved are as large as the number of texts
    (the "dual" form: Hastie et al., The Elements of Statistical Learning, 2nd edition, section 12.3).

    Args:
        texts: The vectors of the texts, of shape (n, PLACES), n >= 1.
        targets: What is to be predicted, from 0 to 1, of shape (n,).

    Returns:
        The weights, of shape (PLACES,), and the bias. The bias is the log odds of the mean of the targets, with half
        an observation of each kind added, so it is finite where all targets are equal.
    """
    count = len(targets)
    mean = (float(targets.sum()) + 0.5) / (count + 1)
    bias = float(np.log(mean / (1 - mean)))
    kernel = texts @ texts.T
    alpha = np.zeros(count)
    for _ in range(_STEPS):
        probabilities = sigmoid(kernel @ alpha + bias)
        # The loss is strictly convex in the weights; this is its Newton step, in terms of ``alpha``.
        slope = np.maximum(probabilities * (1 - probabilities), 1e-9)
        step = np.linalg.solve(
            slope[:, None] * kernel + PENALTY * np.eye(count), targets - probabilities - PENALTY * alpha
        )
        alpha = alpha + step
        if float(np.abs(step).max()) < 1e-9:
            break
    return texts.T @ alpha, bias


def fit_scale(scores: Floats, targets: Floats) -> tuple[float, float]:
    """Fit what scores are multiplied by, and what is added, so that probabilities are calibrated.

    Platt scaling ("Probabilistic Outputs for Support Vector Machines", 1999). The factor is drawn to 1, and is never
    negative; where it would be, scores say nothing, and the probability is the mean of the targets.

    Args:
        scores: Log odds of texts that were not fitted on, without a constant, of shape (n,).
        targets: What is to be predicted, from 0 to 1, of shape (n,).

    Returns:
        The factor and the shift; 1 and 0 without targets.
    """
    count = len(targets)
    if not count:
        return 1.0, 0.0
    mean = (float(targets.sum()) + 0.5) / (count + 1)
    base = float(np.log(mean / (1 - mean)))
    parameters, prior = np.array([1.0, base]), np.array([1.0, base])
    design, penalty = np.stack([scores, np.ones_like(scores)], axis=1), np.diag([PENALTY * 10, PENALTY])
    for _ in range(_STEPS):
        probabilities = sigmoid(design @ parameters)
        slope = np.maximum(probabilities * (1 - probabilities), 1e-9)
        gradient = design.T @ (targets - probabilities) - penalty @ (parameters - prior)
        step = np.linalg.solve(design.T @ (slope[:, None] * design) + penalty, gradient)
        parameters = parameters + np.clip(step, -1, 1)
        if float(np.abs(step).max()) < 1e-9:
            break
    return (float(parameters[0]), float(parameters[1])) if parameters[0] > 0 else (0.0, base)


def sigmoid(scores: Floats) -> Floats:
    """The logistic function, without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * scores)), dtype=np.float64)


def vectors(texts: Sequence[str]) -> Floats:
    """The vectors of texts, of shape (n, PLACES); see ``features``."""
    return np.array([features(text) for text in texts]).reshape(-1, PLACES)
