"""Hypervolume and its improvement, beside moocore's."""

import moocore
import numpy as np
import pytest
from numpy.typing import NDArray

from orkester.optim.search.models.improvement import Dominated

Floats = NDArray[np.float64]


def volume(points: Floats, reference: Floats) -> float:
    """As moocore has it; it does not take one objective alone."""
    inside = points[(points < reference).all(axis=1)]
    if not len(inside):
        return 0.0
    if points.shape[1] == 1:
        return float(reference[0] - inside.min())
    return float(moocore.hypervolume(inside, ref=reference))


@pytest.mark.parametrize("objectives", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("digits", [1, 12])  # with many ties, and with none
def test_volume_and_improvement_are_those_of_moocore(objectives: int, digits: int) -> None:
    rng = np.random.default_rng([objectives, digits])
    reference = np.linspace(1.0, 1.5, objectives)
    for _ in range(15):
        # Some beyond the reference, some dominated, some the same.
        front = np.round(rng.random((rng.integers(0, 14), objectives)) * 1.6 - 0.2, digits)
        points = np.round(rng.random((6, objectives)) * 1.6 - 0.2, digits)
        found = Dominated(front, reference)
        before = volume(front, reference)
        assert found.volume == pytest.approx(before, abs=1e-9)
        added = [volume(np.vstack([front, point]), reference) - before for point in points]
        assert found.improvement(points) == pytest.approx(added, abs=1e-9)


def test_a_member_of_the_front_adds_nothing_again() -> None:
    front = np.array([[0.2, 0.8, 0.5], [0.5, 0.5, 0.5], [0.8, 0.2, 0.1]])
    found = Dominated(front, [1.0, 1.0, 1.0])
    assert found.improvement(front) == pytest.approx(np.zeros(3))
    assert found.improvement(front + 0.1) == pytest.approx(np.zeros(3))
    assert (found.improvement(front - 0.1) > 0).all()


def test_the_order_of_the_front_does_not_matter() -> None:
    rng = np.random.default_rng(4)
    front, points = rng.random((20, 3)), rng.random((10, 3))
    one, other = Dominated(front, [1.0] * 3), Dominated(front[::-1], [1.0] * 3)
    assert one.volume == pytest.approx(other.volume)
    assert one.improvement(points) == pytest.approx(other.improvement(points))
