"""The front: points that no other point beats."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .study_file import Direction


def dominates(a: Sequence[float], b: Sequence[float], directions: Sequence[Direction]) -> bool:
    """Whether ``a`` is at least as good as ``b`` in every objective and better in one."""
    better = False
    for x, y, direction in zip(a, b, directions, strict=True):
        ahead = x - y if direction == "maximize" else y - x
        if ahead < 0:
            return False
        better = better or ahead > 0
    return better


def front_indices(points: Sequence[Sequence[float]], directions: Sequence[Direction]) -> list[int]:
    """Indices of the points that no other dominates, ascending. Equal points are all kept; a NaN never gets on.

    Args:
        points: (n, objectives).
        directions: one for each objective.
    """
    sound = [i for i, point in enumerate(points) if not any(math.isnan(value) for value in point)]
    if len(sound) < 2:
        return sound
    import numpy as np

    values = np.asarray([points[i] for i in sound], dtype=float)
    values[:, [direction == "maximize" for direction in directions]] *= -1
    if values.shape[1] == 1:
        return [i for i, value in zip(sound, values[:, 0], strict=True) if value == values[:, 0].min()]
    if not np.isfinite(values).all():  # of which moocore makes something else, or crashes
        return [i for i in sound if not any(dominates(points[j], points[i], directions) for j in sound)]
    import moocore

    kept = moocore.is_nondominated(values, keep_weakly=True)
    return [i for i, keep in zip(sound, kept, strict=True) if keep]


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
