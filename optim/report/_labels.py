"""Places for the labels of points, so that no two labels touch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ._figure import Place, text_width

Box = tuple[float, float, float, float]

_SIZE, _GAP = 13.0, 2.0
#: The directions from a point to its label, the best ones first.
_TURNS = tuple(math.radians(degrees) for degrees in (45, -45, 135, -135, *range(0, 360, 15)))
_FARTHEST, _CELL = 200, 5.0  # pixels


def places(
    labels: Sequence[tuple[Place, str]], frame: Box, points: Sequence[Place] = (), size: float = _SIZE
) -> list[Place | None]:
    """Choose the middle of each label: near its point, not on another label, and if possible not on a point.

    Args:
        labels: For each label its point and its text.
        frame: Left, top, right and bottom end of the room for labels.
        points: Where other marks are; labels rather stay away from them.
        size: Of the font, in pixels.

    Returns:
        The middle of each label; None where there is no room for one.
    """
    found: list[Place | None] = []
    taken: list[Box] = []
    crowd = _crowd([at for at, _ in labels], points)
    for at, text in labels:
        half = (text_width(text, size) / 2 + _GAP, size / 2 + _GAP)
        best: tuple[float, Place] | None = None
        for radius in range(0, _FARTHEST, 6):
            if best is not None and best[0] <= radius:
                break  # what is farther away costs more than what is known
            for turn in _TURNS:
                middle = (
                    at[0] + math.cos(turn) * (radius + half[0] + 5),
                    at[1] - math.sin(turn) * (radius + half[1] + 5),
                )
                box = (middle[0] - half[0], middle[1] - half[1], middle[0] + half[0], middle[1] + half[1])
                if not _within(box, frame) or any(_touch(box, other) for other in taken):
                    continue
                cost = radius + _covered(box, crowd)
                if best is None or cost < best[0]:
                    best = (cost, middle)
        found.append(best[1] if best is not None else None)
        if best is not None:
            x, y = best[1]
            taken.append((x - half[0], y - half[1], x + half[0], y + half[1]))
    return found


def _within(box: Box, frame: Box) -> bool:
    return box[0] >= frame[0] and box[1] >= frame[1] and box[2] <= frame[2] and box[3] <= frame[3]


def _touch(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _crowd(labelled: Sequence[Place], others: Sequence[Place]) -> Mapping[tuple[int, int], float]:
    """What it costs to cover a cell: points with labels cost the most."""
    cells: dict[tuple[int, int], float] = {}
    for points, cost in ((labelled, 12.0), (others, 3.0)):
        for x, y in points:
            cell = (int(x // _CELL), int(y // _CELL))
            cells[cell] = cells.get(cell, 0.0) + cost
    return cells


def _covered(box: Box, crowd: Mapping[tuple[int, int], float]) -> float:
    """What it costs to cover the cells that a box touches."""
    left, top, right, bottom = (int(end // _CELL) for end in box)
    return sum(crowd.get((x, y), 0.0) for x in range(left, right + 1) for y in range(top, bottom + 1))
