"""Whose confirmation goes on."""

import numpy as np
from measured_rows import rows

from orkester.optim.confirm.next_block import next_block

SOME = rows((8, 8, 8), score=np.ones(24))


def test_a_team_that_has_nothing_comes_first_the_cheapest_of_them() -> None:
    probability = {"a": 0.5, "b": 1.0, "c": 1.0}
    left = dict.fromkeys(probability, 4)
    assert next_block({"a": SOME}, probability, left, {"a": 1, "b": 5, "c": 3}) == "c"
    begun = {"a": SOME, "b": SOME, "c": rows((8, 8), score=np.ones(16))}
    assert next_block(begun, probability, left, {"a": 1, "b": 5, "c": 3}) == "c"  # too few blocks for a spread


def test_then_the_least_clear_and_of_two_the_cheaper() -> None:
    probability = {"a": 0.93, "b": 0.52, "c": 0.49, "d": 0.02}
    every = dict.fromkeys(probability, SOME)
    left = dict.fromkeys(probability, 4)
    assert next_block(every, probability, left, {"a": 1, "b": 2, "c": 3, "d": 1}) == "b"
    assert next_block(every, probability, left | {"b": 0}, {"a": 1, "b": 2, "c": 3, "d": 1}) == "c"


def test_it_ends_when_the_order_is_clear_or_the_examples_are_used_up() -> None:
    every = dict.fromkeys("abc", SOME)
    cost = dict.fromkeys("abc", 1.0)
    left = dict.fromkeys("abc", 4)
    assert next_block(every, {"a": 0.99, "b": 0.01, "c": 0.97}, left, cost) is None
    assert next_block(every, {"a": 0.5, "b": 0.5, "c": 0.5}, dict.fromkeys("abc", 0), cost) is None
    # The unclear one is used up: the likely member it is compared with goes on, never the one that is off.
    assert next_block(every, {"a": 0.5, "b": 0.01, "c": 0.97}, left | {"a": 0}, cost) == "c"
    assert next_block({}, {}, {}, {}) is None
