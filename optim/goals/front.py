"""The front: points that no other point beats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .goal import Direction

if TYPE_CHECKING:
    from orkester.evals.rows import Floats


def front_indices(points: Sequence[Sequence[float]] | Floats, directions: Sequence[Direction]) -> list[int]:
    """Indices of the points that no other dominates, ascending. Equal points are all kept; a NaN never gets on.

    Args:
        points: (n, objectives).
        directions: one for each objective.
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

        if not np.isfinite(values).all():  # of which moocore makes something else, or crashes; ranks compare alike
            values = np.column_stack([np.unique(column, return_inverse=True)[1] for column in values.T]).astype(float)
        kept = moocore.is_nondominated(values, keep_weakly=True)
    return [int(i) for i in sound[kept]]


def hypervolume(
    points: Sequence[Sequence[float]], reference: Sequence[float], directions: Sequence[Direction]
) -> float:
    """Volume dominated by the points and bounded by ``reference`` (Zitzler and Thiele, 1998), computed by moocore.

    Args:
        points: (n, objectives).
        reference: worse than every point that is to count.
        directions: one for each objective.
    """
    if not points:
        return 0.0
    import moocore
    import numpy as np

    maximise = [direction == "maximize" for direction in directions]
    return float(moocore.hypervolume(np.asarray(points, dtype=float), ref=np.asarray(reference), maximise=maximise))
