"""The improvement of a front's hypervolume by a new point, computed for many points at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]


class Dominated:
    """The region that a front dominates, as boxes that do not overlap.

    The source is Lacour, Klamroth and Fonseca, "A box decomposition algorithm to compute the hypervolume indicator",
    Computers & Operations Research 79, 2017. All objectives are minimised.

    Args:
        front: Points of shape (n, objectives). Points that are not better than the reference are ignored.
        reference: The upper corner of the region, of shape (objectives,).
    """

    def __init__(self, front: Floats, reference: Sequence[float] | Floats) -> None:
        self._reference = np.asarray(reference, dtype=np.float64)
        inside = front[(front < self._reference).all(axis=1)]
        self._low, self._high = _boxes(inside[np.lexsort(inside.T[::-1])], self._reference)

    def improvement(self, points: Floats) -> Floats:
        """The hypervolume that each point would add to the front if it were the only new point.

        Args:
            points: The points, of shape (n, objectives).

        Returns:
            The improvements, of shape (n,).
        """
        total = np.maximum(0.0, self._reference - points).prod(axis=1)
        dominated = np.ones((len(points), len(self._low)))
        for j in range(points.shape[1]):
            part = np.maximum(points[:, j, None], self._low[:, j])
            np.subtract(self._high[:, j], part, out=part)
            np.maximum(part, 0.0, out=part)
            dominated *= part
        return np.asarray(np.maximum(0.0, total - dominated.sum(axis=1)))

    @property
    def volume(self) -> float:
        """The hypervolume of the front."""
        return float((self._high - self._low).prod(axis=1).sum())


def _boxes(front: Floats, reference: Floats) -> tuple[Floats, Floats]:
    m = len(reference)
    # Local upper bounds, each with the points that define it, one point per objective. At the start, the reference is
    # the only bound.
    upper = reference[None, :].copy()
    # Row j of the defining points bounds objective j. A dummy point has the reference there and -infinity elsewhere.
    dummy = np.full((m, m), -np.inf)
    dummy[np.diag_indices(m)] = reference
    defining = dummy[None, :, :].copy()
    for point in front:
        beaten = (point < upper).all(axis=1)
        if not beaten.any():
            continue
        bounds, points = [upper[~beaten]], [defining[~beaten]]
        corners, theirs = upper[beaten], defining[beaten]
        for j in range(m):
            keep = point[j] >= theirs[:, [other for other in range(m) if other != j], j].max(axis=1, initial=-np.inf)
            fresh, made = corners[keep], theirs[keep]  # copies
            fresh[:, j] = point[j]
            made[:, j, :] = point
            bounds.append(fresh)
            points.append(made)
        upper, defining = np.concatenate(bounds), np.concatenate(points)
    low, high = np.empty_like(upper), np.empty_like(upper)
    low[:, 0], high[:, 0] = defining[:, 0, 0], reference[0]
    for j in range(1, m):
        low[:, j] = defining[:, :j, j].max(axis=1)
        high[:, j] = upper[:, j]
    real = (high > low).all(axis=1)
    return low[real], high[real]
