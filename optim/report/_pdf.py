"""Figures as PDF, for papers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ._figure import COLUMN_MM, WIDTH, Circle, Figure, Lines, Text
from ._palette import on_paper

if TYPE_CHECKING:
    from reportlab.pdfgen.canvas import Canvas

#: The font is embedded, as publishers want it. It is wider than those of screens, so its texts are smaller.
_FONTS = {"Vera": "Vera.ttf", "Vera-Bold": "VeraBd.ttf"}
_TEXT = 0.9


def write_pdf(figure: Figure, path: Path) -> None:
    """Write a figure as PDF, as wide as a column of a paper.

    Args:
        figure: The figure.
        path: The file.
    """
    from reportlab.lib.units import mm
    from reportlab.pdfbase.pdfmetrics import registerFont
    from reportlab.pdfbase.ttfonts import TTFont
    from reportlab.pdfgen.canvas import Canvas

    for name, file in _FONTS.items():
        registerFont(TTFont(name, file))
    scale = COLUMN_MM * mm / WIDTH
    canvas = Canvas(str(path), pagesize=(WIDTH * scale, figure.height * scale), invariant=True)
    canvas.setTitle(figure.label)
    # Figures are measured from the top, PDF from the bottom.
    canvas.transform(scale, 0, 0, -scale, 0, figure.height * scale)
    for shape in figure.shapes:
        canvas.saveState()
        if isinstance(shape, Text):
            _text(canvas, shape)
        else:
            _area(canvas, shape, figure.frame)
        canvas.restoreState()
    canvas.save()


def _text(canvas: Canvas, shape: Text) -> None:
    canvas.translate(*shape.at)
    canvas.scale(1, -1)
    canvas.rotate(90 if shape.turned else 0)
    canvas.setFont("Vera-Bold" if shape.bold else "Vera", shape.size * _TEXT)
    draw = {"start": canvas.drawString, "middle": canvas.drawCentredString, "end": canvas.drawRightString}
    if shape.halo:
        canvas.setStrokeColor(on_paper(shape.halo))
        canvas.setLineWidth(3)
        draw[shape.anchor](0, 0, shape.text, mode=1)
    canvas.setFillColor(on_paper(shape.colour))
    draw[shape.anchor](0, 0, shape.text, mode=0)


def _area(canvas: Canvas, shape: Lines | Circle, frame: tuple[float, float, float, float]) -> None:
    if shape.stroke:
        canvas.setStrokeColor(on_paper(shape.stroke))
        canvas.setLineWidth(shape.width)
    if shape.fill:
        canvas.setFillColor(on_paper(shape.fill))
    stroke, fill = int(bool(shape.stroke)), int(bool(shape.fill))
    if isinstance(shape, Circle):
        canvas.circle(*shape.at, shape.radius, stroke=stroke, fill=fill)
        return
    if shape.dashed:
        canvas.setDash(5, 3)
    if shape.clipped:
        left, top, right, bottom = frame
        clip = canvas.beginPath()
        clip.rect(left, top, right - left, bottom - top)
        canvas.clipPath(clip, stroke=0, fill=0)
    way = canvas.beginPath()
    for points in shape.points:
        for i, point in enumerate(points):
            (way.lineTo if i else way.moveTo)(*point)
        if shape.closed:
            way.close()
    canvas.drawPath(way, stroke=stroke, fill=fill)
