"""The front: points that no other point beats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .goal import Direction

if TYPE_CHECKING:
    from orkester.evals.summaries.rows import Floats


def front_indices(points: Sequence[Sequence[float]] | Floats, directions: Sequence[Direction]) -> list[int]:
    """Find the points that no other point dominates. Equal points are all kept; a point with a NaN never is.

    Args:
        points: The points; shape (n, objectives).
        directions: The direction of each objective.

    Returns:
        The indices of the points, ascending.
    """
    if len(points) < 2:
        return [i for i, point in enumerate(points) if not any(math.isnan(value) for value in point)]
    import numpy as np

    values = np.array(points, dtype=float)
    sound = np.flatnonzero(~np.isnan(values).any(axis=1))
    values = values[sound]
    values[:, [direction == "maximize" for direction in directions]] *= -1
    if len(sound) < 2:
        kept = np.ones(len(sound), dtype=bool)
    elif values.shape[1] == 1:
        kept = values[:, 0] == values[:, 0].min()
    else:
        import moocore

        if not np.isfinite(values).all():  # moocore fails on them; ranks give the same comparisons
            values = np.column_stack([np.unique(column, return_inverse=True)[1] for column in values.T]).astype(float)
        kept = moocore.is_nondominated(values, keep_weakly=True)
    return [int(i) for i in sound[kept]]


def hypervolume(
    points: Sequence[Sequence[float]], reference: Sequence[float], directions: Sequence[Direction]
) -> float:
    """Compute the volume that the points dominate, bounded by ``reference`` (Zitzler and Thiele, 1998), with moocore.

    Args:
        points: The points; shape (n, objectives).
        reference: The reference point; shape (objectives). A point counts only if it is better in each objective.
        directions: The direction of each objective.
    """
    if not points:
        return 0.0
    import moocore
    import numpy as np

    maximise = [direction == "maximize" for direction in directions]
    return float(moocore.hypervolume(np.asarray(points, dtype=float), ref=np.asarray(reference), maximise=maximise))
