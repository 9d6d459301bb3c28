"""Suggestions: what to try next."""

from __future__ import annotations

from typing import Any

from orkester.optim.insight.insights import Insights
from orkester.optim.run.results import Results

from .._material import Material
from .._numbers import interval
from .._section import Section


def suggestions(insights: Insights, results: Results) -> dict[str, Any] | None:
    """Untried teams and ranges that end too early; None if there are neither."""
    if not insights.suggestions and not insights.hints:
        return None
    return {
        "teams": [
            {
                "team": str(each.team),
                "cells": [interval(each.predicted.get(name)) for name in results.objectives],
                "chance": f"{each.chance:.0%}",
                "claim": each.claim,
                "n": next((estimate.n for estimate in each.predicted.values()), 0),
            }
            for each in insights.suggestions
        ],
        "hints": insights.hints,
    }


def _content(material: Material) -> dict[str, Any] | None:
    return suggestions(material.insights, material.results)


SECTION = Section(key="next", label="Next", content=_content)
