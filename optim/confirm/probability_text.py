"""A probability in words for people."""

from __future__ import annotations


def probability_text(probability: float | None) -> str:
    """In per cent, never a certainty: ``">99 %"``; a dash where there is none."""
    if probability is None:
        return "–"
    if probability < 0.005:
        return "<1 %"
    return ">99 %" if probability >= 0.995 else f"{100 * probability:.0f} %"
