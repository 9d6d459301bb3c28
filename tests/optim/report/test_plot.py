"""Plots: where marks are, what they look like, and what a file says."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from orkester.evals.objectives import Estimate
from orkester.optim.report import write_figures
from orkester.optim.report._axis import Axis
from orkester.optim.report._figure import WIDTH, Circle, Lines, Text, standalone_svg
from orkester.optim.report._palette import DARK, LIGHT, named, on_paper, variables
from orkester.optim.report._plot import HATCHES, SYMBOLS, Bar, Bars, Chart, Point, Points, rows


def chart(*series: Points | Bars, **changes: Any) -> Chart:
    given: dict[str, Any] = {
        "id": "c",
        "label": "a <chart>",
        "height": 330,
        "series": series,
        "x": Axis(title="x", low=0.0, high=10.0),
        "y": Axis(title="y", low=0.0, high=1.0),
    }
    return Chart(**{**given, **changes})


def points(*some: Point, **changes: Any) -> Points:
    return Points(**{"name": "some", "colour": named("front"), "points": some, **changes})


def shapes(made: Chart, kind: str) -> list[Any]:
    return [shape for shape in made.figure.shapes if kind in shape.kind.split()]


def test_a_value_is_where_its_axes_say() -> None:
    made = chart(points(Point(x=0, y=0, tip="a"), Point(x=10, y=1, tip="b"), Point(x=5, y=0.5, tip="c")))
    left, top, right, bottom = made.figure.frame
    assert [mark.at for mark in shapes(made, "point")] == [
        (left, bottom),
        (right, top),
        ((left + right) / 2, (top + bottom) / 2),
    ]


def test_points_beyond_the_view_are_at_its_edge_and_counted() -> None:
    made = chart(points(Point(x=5, y=0.5, tip=""), Point(x=50, y=0.5, tip=""), Point(x=-1, y=3, tip="")))
    left, top, right, bottom = made.figure.frame
    assert [mark.at for mark in shapes(made, "point")][1:] == [(right, (top + bottom) / 2), (left, top)]
    assert [note.text for note in shapes(made, "note")] == ["2 teams beyond the view, at its edge"]
    assert shapes(chart(points(Point(x=5, y=0.5, tip=""))), "note") == []


@pytest.mark.parametrize("symbol", [name for name, _, _ in SYMBOLS])
def test_hollow_points_have_an_outline_only(symbol: str) -> None:
    made = chart(
        points(Point(x=1, y=0.5, tip="", symbol=symbol), Point(x=2, y=0.5, tip="", symbol=symbol, hollow=True))
    )
    full, hollow = shapes(made, "point")
    assert (full.fill, hollow.fill) == (named("front"), named("paper"))
    assert hollow.stroke == full.stroke == named("front")
    assert "hollow" in hollow.kind


def test_an_interval_reaches_to_its_known_ends_and_has_no_bar_beyond_the_view() -> None:
    def lines(low: float | None, high: float | None) -> list[Lines]:
        estimate = Estimate(value=5.0, low=low, high=high, n=9)
        return shapes(chart(points(Point(x=5, y=0.5, tip="", x_interval=estimate))), "interval")

    assert lines(None, None) == []
    assert [len(each.points) for each in lines(4.0, 6.0)] == [2, 2]
    assert [len(each.points) for each in lines(4.0, 60.0)] == [2, 1]
    (only,) = lines(None, 6.0)
    left, _, right, _ = chart().figure.frame
    assert only.points[0][1][0] == pytest.approx(left + 0.6 * (right - left))


def test_text_is_written_only_into_bars_with_room_for_it() -> None:
    bars = Bars(
        name="agent on model",
        colour="#0b6e4f",
        bars=[Bar(y=1, start=0, end=8, tip="wide"), Bar(y=2, start=0, end=0.5, tip="narrow")],
        text="agent",
    )
    made = chart(bars, y=rows([(1, "1 a"), (2, "2 b")]))
    assert [each.text for each in shapes(made, "inside")] == ["agent"]
    assert [each.tip for each in shapes(made, "bar")] == ["wide", "narrow"]
    first, second = ({y for _, y in each.points[0]} for each in shapes(made, "bar"))
    assert max(first) < min(second), "the first row is on top"


@pytest.mark.parametrize("hatch", [hatch for hatch in HATCHES if hatch])
def test_hatches_stay_in_their_bar(hatch: str) -> None:
    bars = Bars(name="b", colour="#ffffff", bars=[Bar(y=1, start=2, end=6, tip="")], hatch=hatch)
    made = chart(bars, y=rows([(1, "1 a")]))
    (bar,), (lines,) = shapes(made, "bar"), shapes(made, "hatch")
    corners = bar.points[0]
    for x, y in (place for line in lines.points for place in line):
        assert corners[0][0] - 0.01 <= x <= corners[1][0] + 0.01
        assert corners[0][1] - 0.01 <= y <= corners[2][1] + 0.01


def test_long_names_of_rows_are_cut_at_their_front_and_whole_in_their_tip() -> None:
    name = "a_topology_with_a_long_name.and_a_knob_with_a_long_name"
    made = chart(Bars(name="b", colour="#ffffff", bars=[]), y=rows([(0, name)]))
    tick = next(tick for tick in shapes(made, "tick") if tick.anchor == "end")
    assert tick.text.startswith("…")
    assert name.endswith(tick.text[1:])
    assert tick.tip == name
    assert made.figure.frame[0] < WIDTH / 2


def test_long_titles_fit_into_the_figure() -> None:
    title = "an_objective_with_a_very_long_name_per_success [J, estimate], less is better"
    made = chart(points(), x=Axis(title=title, low=0, high=1), y=Axis(title=title, low=0, high=1))
    across, up = shapes(made, "title")
    assert len(title) * across.size * 0.58 <= WIDTH
    assert len(title) * up.size * 0.58 <= 330


def test_a_file_has_its_colours_and_a_legend(tmp_path: Path) -> None:
    made = chart(
        points(Point(x=1, y=0.5, tip="t & <t>", hollow=True, label="1"), connected=True),
        Bars(name="bars", colour=named("bar"), bars=[Bar(y=0.5, start=0, end=1, tip="")], hatch="/"),
        points(name="nothing"),
        symbols={"vote": "square"},
    )
    write_figures([made], tmp_path / "a" / "b")
    text = (tmp_path / "a" / "b" / "c.svg").read_text(encoding="utf-8")
    assert text == standalone_svg(made.figure_with_legend)
    assert "var(" not in text
    root = ET.fromstring(text)
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[-4:] == ["some", "bars", "vote", "in part"]
    assert "nothing" not in texts
    assert "t & <t>" in [each.text for each in root.iter("{http://www.w3.org/2000/svg}title")]
    assert root.attrib["aria-label"] == "a <chart>"
    assert (tmp_path / "a" / "b" / "c.pdf").read_bytes().startswith(b"%PDF")
    legend = made.figure_with_legend
    assert all(shape.at[1] <= legend.height for shape in legend.shapes if isinstance(shape, (Text, Circle)))


def test_light_and_dark_have_the_same_names_of_colours() -> None:
    assert set(LIGHT) == set(DARK)
    assert on_paper(named("front")) == LIGHT["front"]
    assert "@media screen and (prefers-color-scheme: dark)" in variables()


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("name", "least"),
    [("ink", 7), ("soft", 4.5), ("link", 4.5), ("front", 4.5), ("search", 4.5), ("near", 4.5), ("infeasible", 4.5),
     ("measured", 3), ("edge", 3)],
)  # fmt: skip
def test_colours_can_be_told_from_the_paper(palette: dict[str, str], name: str, least: float) -> None:
    low, high = sorted((_luminance(palette[name]), _luminance(palette["paper"])))
    assert (high + 0.05) / (low + 0.05) >= least
