"""The curves of a result as an SVG: median over seeds and the middle half, against model calls."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT = 900, 520
LEFT, RIGHT, TOP, BOTTOM = 70, 210, 46, 60
#: Okabe and Ito's colours, which the colour-blind can tell apart; the first is ours.
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#7f7f7f", "#8c6d31", "#5e4fa2")


def svg(result: Mapping[str, Any]) -> str:
    """A plot of what ``run.py`` writes; ``ours`` is drawn last, on top."""
    grid: Sequence[float] = result["grid_of_calls"]
    names = sorted(result["methods"], key=lambda name: (name != "ours", name))
    low, high = math.log10(grid[0]), math.log10(grid[-1])

    def x(calls: float) -> float:
        return LEFT + (math.log10(calls) - low) / max(high - low, 1e-9) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - value * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"',
        ' font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="26" font-size="16">{escape(_title(result))}</text>',
    ]
    for step in range(6):
        value = step / 5
        parts.append(_line(LEFT, y(value), WIDTH - RIGHT, y(value), "#e5e5e5"))
        parts.append(f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.1f}</text>')
    for power in range(math.ceil(low), math.floor(high) + 1):
        at = x(10**power)
        parts.append(_line(at, TOP, at, HEIGHT - BOTTOM, "#e5e5e5"))
        parts.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{10**power:,}</text>')
    target = y(result["target"])
    parts.append(_line(LEFT, target, WIDTH - RIGHT, target, "#888888", dash="5 4"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 16}" text-anchor="middle">model calls</text>')
    parts.append(
        f'<text transform="translate(20 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">'
        "hypervolume of the reported front, relative to the grid's</text>"
    )
    for place, name in reversed(list(enumerate(names))):
        colour, bands = COLOURS[place % len(COLOURS)], result["methods"][name]["bands"]
        edges = [(g, a, b) for g, a, b in zip(grid, bands["p25"], bands["p75"], strict=True) if None not in (a, b)]
        if edges:
            around = [(x(g), y(a)) for g, a, _ in edges] + [(x(g), y(b)) for g, _, b in reversed(edges)]
            parts.append(f'<polygon points="{_points(around)}" fill="{colour}" opacity="0.15"/>')
        line = [(x(g), y(v)) for g, v in zip(grid, bands["p50"], strict=True) if v is not None]
        width, dash = (3, "") if name == "ours" else (1.8, ' stroke-dasharray="6 3"' if place >= len(COLOURS) else "")
        parts.append(f'<polyline points="{_points(line)}" fill="none" stroke="{colour}" stroke-width="{width}"{dash}/>')
        row = TOP + 10 + 20 * place
        parts.append(f'<line x1="{WIDTH - RIGHT + 14}" y1="{row}" x2="{WIDTH - RIGHT + 38}" y2="{row}"')
        parts.append(f' stroke="{colour}" stroke-width="{width}"{dash}/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 46}" y="{row + 4}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _title(result: Mapping[str, Any]) -> str:
    return f"{result['table']}: {result['teams']:,} teams, median and middle half of {len(result['seeds'])} seeds"


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, *, dash: str = "") -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dashed}/>'


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
