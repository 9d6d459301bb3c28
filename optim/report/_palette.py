"""The colours of the report, for light and for dark screens. Figures name a colour, such as ``var(--front)``."""

from __future__ import annotations

import re
from collections.abc import Mapping

LIGHT: Mapping[str, str] = {
    "paper": "#ffffff",
    "ink": "#1c2429",
    "soft": "#55626b",
    "line": "#dfe5e8",
    "link": "#0b4f8a",
    "edge": "#6c7a83",
    "tint": "#eef5f2",
    "shade": "#00000033",
    "front": "#0b6e4f",
    "search": "#1f63b0",
    "near": "#b35c00",
    "measured": "#8494a0",
    "infeasible": "#c0392b",
    "bar": "#7fbf9f",
    "idle": "#c3ccd1",
    "queue": "#d08a1d",
    "prefill": "#6db597",
}
DARK: Mapping[str, str] = {
    "paper": "#14191c",
    "ink": "#e4e9ec",
    "soft": "#a3b0b8",
    "line": "#343e44",
    "link": "#7db8ee",
    "edge": "#8b989f",
    "tint": "#1d2a27",
    "shade": "#ffffff2e",
    "front": "#45c498",
    "search": "#74aef0",
    "near": "#f0a04b",
    "measured": "#7d8b95",
    "infeasible": "#f07a6c",
    "bar": "#3d8465",
    "idle": "#4c585f",
    "queue": "#c98a2b",
    "prefill": "#2f7f60",
}
_NAMED = re.compile(r"var\(--(\w+)\)")


def named(colour: str) -> str:
    """How a figure writes a colour of the palette."""
    return f"var(--{colour})"


def on_paper(text: str) -> str:
    """Replace the names of colours by the colours for light paper, as in a file that has no style sheet."""
    return _NAMED.sub(lambda found: LIGHT[found[1]], text)


def variables() -> str:
    """The palette as CSS. Prints are light."""

    def root(colours: Mapping[str, str]) -> str:
        return f":root {{ {' '.join(f'--{name}: {colour};' for name, colour in colours.items())} }}"

    return (
        f"{root(LIGHT)}\n:root {{ color-scheme: light dark; }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ {root(DARK)} }}\n"
    )
