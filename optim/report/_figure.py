"""A figure: lines, areas and texts with places in pixels. The page and the exported files draw the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ._palette import on_paper

#: The width of a figure in pixels, and of its files: a column of a paper with two columns.
WIDTH, COLUMN_MM = 420.0, 85.0
FONT = "system-ui, 'Helvetica Neue', Arial, sans-serif"
#: The width of a character in parts of the font's size. Most fonts are narrower, so texts have some room to spare.
_CHARACTER = 0.58

Place = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Lines:
    """Groups of connected points: lines, or areas if they have a fill."""

    points: Sequence[Sequence[Place]]
    stroke: str = ""
    fill: str = ""
    width: float = 1.0
    closed: bool = False
    clipped: bool = False
    dashed: bool = False
    tip: str = ""
    kind: str = ""


@dataclass(frozen=True, kw_only=True)
class Circle:
    """A circle."""

    at: Place
    radius: float
    stroke: str
    fill: str
    width: float = 1.0
    tip: str = ""
    kind: str = ""


@dataclass(frozen=True, kw_only=True)
class Text:
    """A line of text. ``anchor`` is start, middle or end; ``at`` is on the base line; ``halo`` colours its outline."""

    text: str
    at: Place
    size: float = 12.0
    anchor: str = "start"
    colour: str
    bold: bool = False
    turned: bool = False
    halo: str = ""
    tip: str = ""
    kind: str = ""


Shape = Lines | Circle | Text


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A drawing of ``WIDTH`` pixels.

    Attributes:
        id: The id of its element, and the name of its files.
        label: The text for screen readers.
        height: In pixels.
        shapes: From back to front.
        frame: Left, top, right and bottom end of the part to which some shapes are clipped.
    """

    id: str
    label: str
    height: float
    shapes: Sequence[Shape]
    frame: tuple[float, float, float, float]


def text_width(text: str, size: float = 12.0) -> float:
    """The room that a text needs, in pixels."""
    return len(text) * size * _CHARACTER


def svg(figure: Figure) -> str:
    """An ``<svg>`` element whose colours are those of the page."""
    left, top, right, bottom = figure.frame
    clip = f"clip-{escape(figure.id, quote=True)}"
    label = escape(figure.label, quote=True)
    view = f'viewBox="0 0 {WIDTH:g} {figure.height:g}"'
    frame = f'<rect x="{left:g}" y="{top:g}" width="{right - left:g}" height="{bottom - top:g}"/>'
    shapes = "".join(_element(shape, clip) for shape in figure.shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {view} role="img" aria-label="{label}" font-family="{FONT}">'
        f'<clipPath id="{clip}">{frame}</clipPath>{shapes}</svg>'
    )


def standalone_svg(figure: Figure) -> str:
    """The figure as a file of its own: for light paper, as wide as a column."""
    size = f'width="{COLUMN_MM:g}mm" height="{COLUMN_MM * figure.height / WIDTH:.4g}mm"'
    return on_paper(svg(figure)).replace("<svg ", f"<svg {size} ", 1) + "\n"


def _element(shape: Shape, clip: str) -> str:
    kind = f' class="{shape.kind}"' if shape.kind else ""
    match shape:
        case Lines():
            way = "".join(
                "M" + "L".join(f"{_short(x)} {_short(y)}" for x, y in points) + ("Z" if shape.closed else "")
                for points in shape.points
            )
            look = f'fill="{shape.fill or "none"}"'
            look += f' stroke="{shape.stroke}" stroke-width="{shape.width:g}"' if shape.stroke else ""
            look += ' stroke-dasharray="5 3"' if shape.dashed else ""
            look += f' clip-path="url(#{clip})"' if shape.clipped else ""
            return _with_tip("path", f'{kind} d="{way}" {look}', "", shape.tip)
        case Circle():
            look = f'cx="{_short(shape.at[0])}" cy="{_short(shape.at[1])}" r="{shape.radius:g}" fill="{shape.fill}"'
            look += f' stroke="{shape.stroke}" stroke-width="{shape.width:g}"'
            return _with_tip("circle", f"{kind} {look}", "", shape.tip)
        case Text():
            x, y = _short(shape.at[0]), _short(shape.at[1])
            look = f'x="{x}" y="{y}" font-size="{shape.size:g}" fill="{shape.colour}"'
            look += f' text-anchor="{shape.anchor}"' if shape.anchor != "start" else ""
            look += ' font-weight="700"' if shape.bold else ""
            look += f' stroke="{shape.halo}" stroke-width="3" paint-order="stroke"' if shape.halo else ""
            look += f' transform="rotate(-90 {x} {y})"' if shape.turned else ""
            return _with_tip("text", f"{kind} {look}", escape(shape.text), shape.tip)


def _with_tip(tag: str, attributes: str, content: str, tip: str) -> str:
    title = f"<title>{escape(tip)}</title>" if tip else ""
    return f"<{tag}{attributes}>{title}{content}</{tag}>" if title or content else f"<{tag}{attributes}/>"


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
