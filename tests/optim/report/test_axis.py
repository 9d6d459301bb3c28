"""Axes: ranges that outliers do not squeeze, ticks that do not touch."""

import math
from itertools import pairwise

import pytest

from orkester.optim.report._axis import Axis, axis, from_zero
from orkester.optim.report._figure import text_width


def test_an_axis_is_logarithmic_where_values_differ_much() -> None:
    assert not axis("t", [1.0, 15.0]).logarithmic
    assert not axis("t", [0.0, 100.0]).logarithmic
    assert axis("t", [0.1, 9.0]).logarithmic
    assert [text for _, text in axis("t", [0.1, 9.0]).labelled(340)] == ["0.1", "0.2", "0.5", "1", "2", "5", "10"]
    assert [text for _, text in axis("t", [0.001, 9000.0]).labelled(340)] == [
        "0.001", "0.01", "0.1", "1", "10", "100", "1,000", "10,000"
    ]  # fmt: skip


@pytest.mark.parametrize("scale", [1e-6, 0.01, 1.0, 1234.5, 1e9])
@pytest.mark.parametrize("ratio", [1.0, 1.0001, 1.5, 3.0, 19.0, 25.0, 1e3, 1e9])
@pytest.mark.parametrize("length", [60.0, 200.0, 340.0])
def test_ticks_are_on_the_axis_and_do_not_touch(scale: float, ratio: float, length: float) -> None:
    made = axis("t", [scale, scale * ratio])
    ticks = made.labelled(length)
    assert ticks
    ends = []
    for value, text in ticks:
        middle = made.part(value) * length
        assert -1 <= middle <= length + 1
        ends.append((middle - text_width(text, 11) / 2, middle + text_width(text, 11) / 2))
    assert all(one[1] < other[0] for one, other in pairwise(ends))


def test_all_values_are_in_the_view_unless_few_of_them_squeeze_the_others() -> None:
    even = [1 + i / 50 for i in range(50)]
    made = axis("t", even)
    assert all(0 < made.part(value) < 1 for value in even)
    squeezed = axis("t", [*even, 90.0])
    assert squeezed.part(90.0) > 1
    assert (squeezed.low, squeezed.high) == pytest.approx((made.low, made.high), rel=0.1)
    assert axis("t", [*even, 2.2]).part(2.2) < 1, "it is not far enough away"
    assert axis("t", [1.0, 2.0, 90.0]).part(90.0) < 1, "with three values, nobody knows which one is an outlier"


def test_values_that_have_to_be_in_the_view_are_in_it() -> None:
    even = [1 + i / 50 for i in range(50)]
    made = axis("t", [*even, 90.0, 0.0], whole=[90.0])
    assert 0 < made.part(90.0) < 1
    assert made.part(0.0) >= 0


def test_ends_of_intervals_widen_the_view_by_half_at_most() -> None:
    made = axis("t", [1.0, 2.0], ends=[0.9, 2.2])
    assert 0 < made.part(0.9) < made.part(2.2) < 1
    wide = axis("t", [1.0, 2.0], ends=[-50.0, 50.0])
    assert (wide.low, wide.high) == pytest.approx((0.4, 2.6))


def test_an_infinite_value_is_beyond_the_view() -> None:
    made = axis("joules per success", [1.0, 2.0, math.inf], ends=[math.inf], whole=[math.inf])
    assert (made.low, made.high) == pytest.approx((0.95, 2.05))
    assert made.part(math.inf) > 1
    assert axis("t", [math.inf]).labelled(300)


def test_bars_begin_at_zero_and_shares_end_at_one() -> None:
    assert from_zero("t", [0.5, 2.0]).low == 0.0
    assert from_zero("t", [0.5, 2.0]).high > 2.0
    assert from_zero("t", [0.5, 0.99], most=1.0).high == 1.0
    assert from_zero("t", []).high == 1.0
    assert from_zero("t", [0.0]).high == 1.0


def test_an_axis_may_be_turned_around() -> None:
    rows = Axis(title="", low=3.6, high=0.4, ticks=[(1, "one"), (3, "three")])
    assert rows.part(3) < rows.part(1)
    assert rows.labelled(100) == [(1, "one"), (3, "three")]
