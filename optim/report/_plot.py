"""Plots of points with intervals and of bars, and how they become figures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from orkester.evals.objectives import Estimate

from ._axis import Axis
from ._figure import WIDTH, Circle, Figure, Lines, Place, Shape, Text, svg, text_width
from ._labels import places
from ._palette import named

#: The symbols of points, each with a character that looks like it.
SYMBOLS = (
    ("circle", "●", "○"),
    ("square", "■", "□"),
    ("triangle", "▲", "△"),
    ("diamond", "◆", "◇"),
    ("turned-triangle", "▼", "▽"),
    ("star", "★", "☆"),
)
#: Hatches of bars: whether the lines rise, for each set of lines.
HATCHES: Mapping[str, Sequence[bool]] = {"": (), "/": (True,), "\\": (False,), "x": (True, False)}
_INK, _SOFT, _LINE, _PAPER = (named(colour) for colour in ("ink", "soft", "line", "paper"))
_TOP, _RIGHT, _BOTTOM = 20.0, 12.0, 42.0
_TITLE, _TICK = 12.0, 11.0
_WIDEST_TICKS = 170.0
_BAR_HEIGHT = 0.62
_LEADER_FROM = 26.0  # pixels between a point and its label
_CORNERS = {
    "square": (4, 45, 1.2),
    "triangle": (3, 90, 1.3),
    "turned-triangle": (3, -90, 1.3),
    "diamond": (4, 90, 1.25),
}


@dataclass(frozen=True, kw_only=True)
class Point:
    """A point.

    Attributes:
        x, y: Its values.
        tip: What pointing at it shows.
        x_interval, y_interval: Estimates whose intervals are drawn.
        symbol: One of ``SYMBOLS``, or ``cross``.
        hollow: Whether only its outline is drawn.
        label: A short text beside it.
    """

    x: float
    y: float
    tip: str
    x_interval: Estimate | None = None
    y_interval: Estimate | None = None
    symbol: str = "circle"
    hollow: bool = False
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class Points:
    """Points of a kind. Those beyond the axes are drawn at the edge."""

    name: str
    colour: str
    points: Sequence[Point]
    radius: float = 4.0
    connected: bool = False


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A bar from ``start`` to ``end``, in the row ``y``."""

    y: float
    start: float
    end: float
    tip: str
    interval: Estimate | None = None


@dataclass(frozen=True, kw_only=True)
class Bars:
    """Bars of a kind. ``text`` is written into those with enough room; ``hatch`` is empty, or one of ``HATCHES``."""

    name: str
    colour: str
    bars: Sequence[Bar]
    text: str = ""
    text_colour: str = _INK
    hatch: str = ""
    hatch_colour: str = _PAPER


@dataclass(frozen=True, kw_only=True)
class Guide:
    """A dashed line across a plot, at a value of one of its axes.

    Attributes:
        name: What it is, for the legend of a file, and what pointing at it shows.
        value: Its value on the axis.
        upright: Whether the value is one of ``x``, so that the line goes up.
    """

    name: str
    value: float
    upright: bool = False


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A plot.

    Attributes:
        id: Of its element, and of its files.
        label: The text for screen readers.
        height: In pixels of a figure.
        series: From back to front.
        x, y: The axes. A ``y`` with ticks has a row for each tick and no lines across.
        symbols: What the symbols of points mean, by meaning; for the legend of a file.
        guides: Lines across. Those beyond the axes are left out.
    """

    id: str
    label: str
    height: float
    series: Sequence[Points | Bars]
    x: Axis
    y: Axis
    symbols: Mapping[str, str] = field(default_factory=dict)
    guides: Sequence[Guide] = ()

    @property
    def svg(self) -> str:
        """The ``<svg>`` element."""
        return svg(self.figure)

    @property
    def guides_in_view(self) -> Sequence[Guide]:
        """The guides that are drawn."""
        return [guide for guide in self.guides if _inside((self.x if guide.upright else self.y).part(guide.value))]

    @property
    def beyond(self) -> int:
        """How many points are outside of the axes."""
        return sum(
            not (_inside(self.x.part(point.x)) and _inside(self.y.part(point.y)))
            for series in self.series
            if isinstance(series, Points)
            for point in series.points
        )

    @property
    def figure(self) -> Figure:
        """The plot as lines, areas and texts."""
        return _Drawing(self).figure()

    @property
    def figure_with_legend(self) -> Figure:
        """The plot as it is in a file, where no page says what colours and symbols mean."""
        figure = self.figure
        shapes, height = _legend(self)
        return replace(figure, shapes=[*figure.shapes, *shapes], height=figure.height + height)


def rows(names: Sequence[tuple[float, str]]) -> Axis:
    """An axis with a row for each name, the first one on top."""
    values = [value for value, _ in names]
    return Axis(title="", low=max(values) + 0.6, high=min(values) - 0.6, ticks=names)


def ends(estimate: Estimate) -> list[float]:
    """The ends of an interval that are known."""
    return [end for end in (estimate.low, estimate.high) if end is not None]


class _Drawing:
    """Draws a chart."""

    def __init__(self, chart: Chart) -> None:
        self._chart = chart
        self._is_rows = chart.y.ticks is not None
        height = chart.height - _TOP - _BOTTOM
        self._y_ticks = chart.y.labelled(height, upright=True)
        widest = max((text_width(text, _TICK) for _, text in self._y_ticks), default=0.0)
        left = min(widest, _WIDEST_TICKS) + (12 if self._is_rows else 30)
        self._frame = (left, _TOP, WIDTH - _RIGHT, chart.height - _BOTTOM)
        self._x_ticks = chart.x.labelled(self._frame[2] - left)

    def figure(self) -> Figure:
        chart = self._chart
        shapes = [
            *self._axes(),
            *self._guides(),
            *(shape for series in chart.series for shape in self._series(series)),
            *self._labels(),
            *self._note(),
        ]
        return Figure(id=chart.id, label=chart.label, height=chart.height, shapes=shapes, frame=self._frame)

    def _at(self, x: float, y: float) -> Place:
        """The pixel of a value; of values beyond the axes, the nearest one at the edge."""
        left, top, right, bottom = self._frame
        across, up = (min(max(axis.part(value), 0.0), 1.0) for axis, value in ((self._chart.x, x), (self._chart.y, y)))
        return left + across * (right - left), bottom - up * (bottom - top)

    def _axes(self) -> Iterator[Shape]:
        left, top, right, bottom = self._frame
        chart = self._chart
        for value, text in self._x_ticks:
            x = left + chart.x.part(value) * (right - left)
            yield Lines(points=[[(x, top), (x, bottom)]], stroke=_LINE, kind="grid")
            yield Text(text=text, at=(x, bottom + 15), size=_TICK, anchor="middle", colour=_SOFT, kind="tick")
        for value, text in self._y_ticks:
            y = bottom - chart.y.part(value) * (bottom - top)
            if not self._is_rows:
                yield Lines(points=[[(left, y), (right, y)]], stroke=_LINE, kind="grid")
            shown = _shortened(text)
            yield Text(
                text=shown, at=(left - 6, y + 4), size=_TICK, anchor="end", colour=_INK if self._is_rows else _SOFT,
                tip=text if shown != text else "", kind="tick",
            )  # fmt: skip
        yield Lines(points=[[(left, top), (left, bottom), (right, bottom)]], stroke=named("edge"), kind="axis")
        # A title that would not fit beside its axis is centred in the figure, in a smaller font if it has to be.
        for title, middle, room, turned in (
            (chart.x.title, (left + right) / 2, WIDTH, False),
            (chart.y.title, (top + bottom) / 2, chart.height, True),
        ):
            size = min(_TITLE, _TITLE * (room - 8) / (text_width(title, _TITLE) or 1.0))
            half = text_width(title, size) / 2
            along = min(max(middle, half + 4), room - half - 4)
            at = (11.0, along) if turned else (along, chart.height - 8)
            if title:
                yield Text(text=title, at=at, size=size, anchor="middle", colour=_INK, turned=turned, kind="title")

    def _guides(self) -> Iterator[Shape]:
        left, top, right, bottom = self._frame
        for guide in self._chart.guides_in_view:
            part = (self._chart.x if guide.upright else self._chart.y).part(guide.value)
            x, y = left + part * (right - left), bottom - part * (bottom - top)
            way = [(x, bottom), (x, top)] if guide.upright else [(left, y), (right, y)]
            tip = f"{guide.name}: {guide.value:.3g}"
            yield Lines(points=[way], stroke=_INK, width=1.2, dashed=True, tip=tip, kind="guide")

    def _series(self, series: Points | Bars) -> Iterator[Shape]:
        if isinstance(series, Bars):
            yield from self._bars(series)
            return
        if series.connected:
            way = [self._at(point.x, point.y) for point in series.points]
            yield Lines(points=[way], stroke=series.colour, width=1.5, clipped=True)
        for point in series.points:
            yield from self._interval(point, series.colour)
        for point in series.points:
            yield _mark(point, self._at(point.x, point.y), series)

    def _interval(self, point: Point, colour: str) -> Iterator[Lines]:
        for estimate, sideways in ((point.x_interval, True), (point.y_interval, False)):
            for end in ends(estimate) if estimate is not None else ():
                start = self._at(point.x, point.y)
                stop = self._at(end, point.y) if sideways else self._at(point.x, end)
                axis = self._chart.x if sideways else self._chart.y
                lines = [[start, stop]]
                if _inside(axis.part(end)):  # an interval that goes on beyond the view has no bar at its end
                    dx, dy = (0.0, 3.0) if sideways else (3.0, 0.0)
                    lines.append([(stop[0] - dx, stop[1] - dy), (stop[0] + dx, stop[1] + dy)])
                yield Lines(points=lines, stroke=colour, kind="interval")

    def _bars(self, series: Bars) -> Iterator[Shape]:
        for bar in series.bars:
            (left, top), (right, bottom) = (
                self._at(min(bar.start, bar.end), bar.y - _BAR_HEIGHT / 2),
                self._at(max(bar.start, bar.end), bar.y + _BAR_HEIGHT / 2),
            )
            corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
            edge = series.hatch_colour if series.hatch else _PAPER
            yield Lines(points=[corners], fill=series.colour, stroke=edge, closed=True, tip=bar.tip, kind="mark bar")
            if hatch := list(_hatch((left, top, right, bottom), series.hatch)):
                yield Lines(points=hatch, stroke=series.hatch_colour, kind="hatch")
            if series.text and text_width(series.text, _TICK) + 6 <= right - left:
                yield Text(
                    text=series.text, at=((left + right) / 2, (top + bottom) / 2 + 4), size=_TICK, anchor="middle",
                    colour=series.text_colour, kind="inside",
                )  # fmt: skip
            if bar.interval is not None:
                yield from self._interval(Point(x=bar.end, y=bar.y, tip="", x_interval=bar.interval), _INK)

    def _labels(self) -> Iterator[Shape]:
        every = [point for series in self._chart.series if isinstance(series, Points) for point in series.points]
        labelled = [
            (self._at(point.x, point.y), point.label, series.colour)
            for series in self._chart.series
            if isinstance(series, Points)
            for point in series.points
            if point.label
        ]
        others = [self._at(point.x, point.y) for point in every if not point.label]
        for start, stop in (lines.points[0] for point in every for lines in self._interval(point, "")):
            steps = int(math.dist(start, stop) // 8) + 1
            others += [
                (start[0] + i / steps * (stop[0] - start[0]), start[1] + i / steps * (stop[1] - start[1]))
                for i in range(1, steps + 1)
            ]
        found = places([(at, text) for at, text, _ in labelled], self._frame, others)
        placed = [(*label, middle) for label, middle in zip(labelled, found, strict=True) if middle is not None]
        for at, _, _, middle in placed:
            if math.dist(at, middle) > _LEADER_FROM:
                yield Lines(points=[[at, middle]], stroke=named("edge"), width=0.6, kind="leader")
        for _, text, colour, (x, y) in placed:
            yield Text(
                text=text, at=(x, y + 4.5), size=13, anchor="middle", colour=colour, bold=True, halo=_PAPER,
                kind="label",
            )  # fmt: skip

    def _note(self) -> Iterator[Shape]:
        beyond = self._chart.beyond
        if beyond:
            text = f"{beyond:,} {'team' if beyond == 1 else 'teams'} beyond the view, at its edge"
            yield Text(text=text, at=(self._frame[2], 13), size=_TICK, anchor="end", colour=_SOFT, kind="note")


def _legend(chart: Chart) -> tuple[list[Shape], float]:
    """The legend below a plot, and its height."""
    at = Point(x=0.0, y=0.0, tip="")
    used = {
        (series.text or series.name) if isinstance(series, Bars) else series.name: series
        for series in chart.series
        if (series.bars if isinstance(series, Bars) else series.points)
    }
    entries: list[tuple[str, Points | Bars | Guide, Point]] = [
        (guide.name, guide, at) for guide in chart.guides_in_view
    ]
    for name, series in used.items():
        symbols = {point.symbol for point in series.points} if isinstance(series, Points) else set()
        entries.append((name, series, replace(at, symbol=symbols.pop() if len(symbols) == 1 else "circle")))
    ink = Points(name="", colour=_INK, points=[])
    entries += [(meaning, ink, replace(at, symbol=symbol)) for meaning, symbol in chart.symbols.items()]
    if any(point.hollow for series in used.values() if isinstance(series, Points) for point in series.points):
        entries.append(("in part", ink, replace(at, hollow=True)))
    shapes: list[Shape] = []
    x, y = 10.0, chart.height + 10.0
    for text, kind, point in entries:
        needed = text_width(text, _TICK) + 26
        if x > 10 and x + needed > WIDTH:
            x, y = 10.0, y + 16
        if isinstance(kind, Guide):
            shapes.append(Lines(points=[[(x, y - 4), (x + 11, y - 4)]], stroke=_INK, width=1.2, dashed=True))
        elif isinstance(kind, Points):
            shapes.append(_mark(point, (x + 5, y - 4), kind))
        else:
            box = (x, y - 9, x + 10, y + 1)
            corners = [(box[0], box[1]), (box[2], box[1]), (box[2], box[3]), (box[0], box[3])]
            edge = kind.hatch_colour if kind.hatch else kind.colour
            shapes.append(Lines(points=[corners], fill=kind.colour, stroke=edge, closed=True))
            if kind.hatch:
                shapes.append(Lines(points=list(_hatch(box, kind.hatch)), stroke=kind.hatch_colour))
        shapes.append(Text(text=text, at=(x + 14, y), size=_TICK, colour=_INK))
        x += needed
    return shapes, y + 8 - chart.height


def _mark(point: Point, at: Place, series: Points) -> Shape:
    x, y = at
    radius, colour = series.radius, series.colour
    fill = _PAPER if point.hollow else colour
    width = 1.6 if point.hollow else 0.6
    kind = "mark point hollow" if point.hollow else "mark point"
    if point.symbol == "cross":
        ways = [[(x - 3, y - 3), (x + 3, y + 3)], [(x - 3, y + 3), (x + 3, y - 3)]]
        return Lines(points=ways, stroke=colour, width=1.5, tip=point.tip, kind=kind)
    if point.symbol == "circle":
        return Circle(at=at, radius=radius, stroke=colour, fill=fill, width=width, tip=point.tip, kind=kind)
    if point.symbol == "star":
        spots = [(math.radians(90 + 36 * i), radius * (1.45 if i % 2 == 0 else 0.65)) for i in range(10)]
    else:
        count, first, factor = _CORNERS[point.symbol]
        spots = [(math.radians(first + 360 * i / count), radius * factor) for i in range(count)]
    way = [(x + far * math.cos(turn), y - far * math.sin(turn)) for turn, far in spots]
    return Lines(points=[way], stroke=colour, fill=fill, width=width, closed=True, tip=point.tip, kind=kind)


def _hatch(box: tuple[float, float, float, float], hatch: str) -> Iterator[list[Place]]:
    """Lines across a box, every 6 pixels."""
    left, top, right, bottom = box
    height = bottom - top
    for rising in HATCHES[hatch]:
        start = left - height
        while start < right:
            begin, end = max(start, left), min(start + height, right)
            if end > begin:
                low, high = begin - start, end - start
                yield (
                    [(begin, bottom - low), (end, bottom - high)] if rising else [(begin, top + low), (end, top + high)]
                )
            start += 6


def _shortened(text: str) -> str:
    """Shorten a text at its beginning, because names differ at their end."""
    most = int(_WIDEST_TICKS / text_width("x", _TICK))
    return text if len(text) <= most else "…" + text[-most + 1 :]


def _inside(part: float) -> bool:
    return -1e-9 <= part <= 1 + 1e-9
