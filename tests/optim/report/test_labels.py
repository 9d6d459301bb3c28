"""Labels of points never touch each other."""

import random

from orkester.optim.report._figure import text_width
from orkester.optim.report._labels import places

FRAME = (40.0, 20.0, 408.0, 288.0)


def boxes(labels: list[tuple[tuple[float, float], str]]) -> list[tuple[float, float, float, float] | None]:
    found = []
    for (_, text), middle in zip(labels, places(labels, FRAME), strict=True):
        if middle is None:
            found.append(None)
            continue
        half = text_width(text, 13) / 2
        found.append((middle[0] - half, middle[1] - 6.5, middle[0] + half, middle[1] + 6.5))
    return found


def overlapping(some: list[tuple[float, float, float, float] | None]) -> int:
    known = [box for box in some if box is not None]
    return sum(
        a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3] for i, a in enumerate(known) for b in known[i + 1 :]
    )


def test_labels_of_points_in_one_place_do_not_touch_and_stay_in_the_frame() -> None:
    for at in ((200.0, 150.0), (40.0, 20.0), (408.0, 288.0)):
        found = boxes([(at, str(i)) for i in range(1, 21)])
        assert None not in found
        assert overlapping(found) == 0
        for box in found:
            assert box is not None
            assert box[0] >= FRAME[0]
            assert box[1] >= FRAME[1]
            assert box[2] <= FRAME[2]
            assert box[3] <= FRAME[3]


def test_labels_of_random_fronts_do_not_touch() -> None:
    source = random.Random(1)
    for count in (5, 40, 300):
        found = boxes([((source.uniform(40, 408), source.uniform(20, 288)), str(i)) for i in range(count)])
        assert overlapping(found) == 0
        assert None not in found[:40]


def test_a_label_without_room_is_left_out() -> None:
    frame = (0.0, 0.0, 30.0, 20.0)
    found = places([((5.0, 10.0), "1"), ((6.0, 10.0), "2"), ((7.0, 10.0), "333")], frame)
    assert found.count(None) >= 1
    assert found[0] is not None


def test_a_label_that_is_alone_is_beside_its_point_and_not_on_others() -> None:
    alone = places([((200.0, 150.0), "1")], FRAME)[0]
    assert alone is not None
    assert alone[0] > 200
    assert alone[1] < 150
    crowd = [(alone[0] + dx, alone[1] + dy) for dx in (-4, 0, 4) for dy in (-4, 0, 4)]
    moved = places([((200.0, 150.0), "1")], FRAME, crowd)[0]
    assert moved is not None
    assert max(abs(a - b) for a, b in zip(alone, moved, strict=True)) > 8


def test_places_do_not_depend_on_chance() -> None:
    labels = [((100.0 + i, 100.0), str(i)) for i in range(12)]
    assert places(labels, FRAME) == places(labels, FRAME)
