"""The front, by its properties."""

import math
from collections.abc import Sequence
from random import Random

import hypothesis.strategies as st
import pytest
from chosen import dominates
from hypothesis import given, settings

from orkester.optim.goals.front import front_indices, hypervolume
from orkester.optim.goals.goal import Direction

_VALUES = st.integers(-4, 4).map(float) | st.floats(-10, 10) | st.sampled_from([math.inf, -math.inf, math.nan])
_WHOLE = st.integers(0, 9).map(float)
_FINITE = _WHOLE | st.floats(0, 9.9)


@st.composite
def clouds(draw: st.DrawFn, values: st.SearchStrategy[float] = _VALUES) -> tuple[list[list[float]], list[Direction]]:
    """Points with a direction for each coordinate."""
    size = draw(st.integers(1, 4))
    directions: list[Direction] = draw(
        st.lists(st.sampled_from(["maximize", "minimize"]), min_size=size, max_size=size)
    )
    points = draw(st.lists(st.lists(values, min_size=size, max_size=size), max_size=12))
    return points, directions


def reference(directions: Sequence[Direction]) -> list[float]:
    """Worse than every point of ``_FINITE``."""
    return [-1.0 if direction == "maximize" else 10.0 for direction in directions]


def sound(point: Sequence[float]) -> bool:
    return not any(map(math.isnan, point))


@settings(max_examples=150, deadline=None)
@given(clouds())
def test_the_front_of_a_front_is_the_front(cloud: tuple[list[list[float]], list[Direction]]) -> None:
    points, directions = cloud
    front = [points[i] for i in front_indices(points, directions)]
    assert front_indices(front, directions) == list(range(len(front)))


@settings(max_examples=150, deadline=None)
@given(clouds())
def test_nothing_beats_a_member_and_a_member_beats_everything_else(
    cloud: tuple[list[list[float]], list[Direction]],
) -> None:
    points, directions = cloud
    members = front_indices(points, directions)
    assert members == sorted(set(members))
    for i, point in enumerate(points):
        if i in members:
            assert not any(dominates(other, point, directions) for other in points if sound(other))
        else:
            assert not sound(point) or any(dominates(points[j], point, directions) for j in members)


@settings(max_examples=150, deadline=None)
@given(clouds(), st.randoms(use_true_random=False))
def test_the_order_of_the_points_does_not_matter(
    cloud: tuple[list[list[float]], list[Direction]], random: Random
) -> None:
    points, directions = cloud
    order = list(range(len(points)))
    random.shuffle(order)
    shuffled = [points[i] for i in order]
    assert sorted(order[i] for i in front_indices(shuffled, directions)) == front_indices(points, directions)


@settings(max_examples=100, deadline=None)
@given(clouds(), st.data())
def test_a_nan_is_never_on_the_front_and_keeps_nothing_off(
    cloud: tuple[list[list[float]], list[Direction]], data: st.DataObject
) -> None:
    points, directions = cloud
    bad = data.draw(
        st.lists(_VALUES, min_size=len(directions), max_size=len(directions)).filter(lambda p: not sound(p))
    )
    assert front_indices([*points, bad], directions) == front_indices(points, directions)


def test_equal_points_are_all_kept() -> None:
    assert front_indices([[1.0, 2.0], [1.0, 2.0], [0.0, 3.0]], ["maximize", "minimize"]) == [0, 1]


def test_directions_are_heeded() -> None:
    points = [[0.9, 3.0], [0.5, 1.0], [0.4, 2.0]]
    assert front_indices(points, ["maximize", "minimize"]) == [0, 1]
    assert front_indices(points, ["minimize", "maximize"]) == [0, 2]


@settings(max_examples=60, deadline=None)
@given(clouds(_FINITE), st.data())
def test_the_hypervolume_never_shrinks_when_a_point_is_added(
    cloud: tuple[list[list[float]], list[Direction]], data: st.DataObject
) -> None:
    points, directions = cloud
    added = data.draw(st.lists(_FINITE, min_size=len(directions), max_size=len(directions)))
    before = hypervolume(points, reference(directions), directions)
    assert hypervolume([*points, added], reference(directions), directions) >= before * (1 - 1e-12)


@settings(max_examples=60, deadline=None)
@given(clouds(_WHOLE), st.data())
def test_the_hypervolume_grows_when_a_point_that_nothing_beats_is_added(
    cloud: tuple[list[list[float]], list[Direction]], data: st.DataObject
) -> None:
    points, directions = cloud
    added = data.draw(st.lists(_WHOLE, min_size=len(directions), max_size=len(directions)))
    new = not any(dominates(point, added, directions) or point == added for point in points)
    before = hypervolume(points, reference(directions), directions)
    after = hypervolume([*points, added], reference(directions), directions)
    assert (after > before) == new  # whole numbers: exact


@settings(max_examples=60, deadline=None)
@given(clouds(_FINITE))
def test_the_hypervolume_is_that_of_the_front_alone(cloud: tuple[list[list[float]], list[Direction]]) -> None:
    points, directions = cloud
    front = [points[i] for i in front_indices(points, directions)]
    assert hypervolume(front, reference(directions), directions) == pytest.approx(
        hypervolume(points, reference(directions), directions)
    )


def test_the_hypervolume_of_two_rectangles_is_their_union() -> None:
    # Quality up from 0, joules down from 4: 0.5 × 3 + 0.3 × 1 over it.
    assert hypervolume([[0.5, 1.0], [0.8, 3.0]], [0.0, 4.0], ["maximize", "minimize"]) == pytest.approx(1.8)
    assert hypervolume([], [0.0, 4.0], ["maximize", "minimize"]) == 0.0
    assert hypervolume([[0.5, 5.0]], [0.0, 4.0], ["maximize", "minimize"]) == 0.0
