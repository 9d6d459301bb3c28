"""The results on disk: written anew after every window, whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path

from orkester.errors import InputError

from ._figures import FIGURES, Cell, cells
from ._records import Benchmark

SCHEMA = 1


def begin(folder: Path) -> None:
    """Make the folder.

    Raises:
        InputError: there is something in it: the results of another benchmark are not written over.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise InputError(f"{folder}: is a file; name a folder with --out") from error
    if any(folder.iterdir()):
        raise InputError(f"{folder}: is not empty; name a new folder with --out")


def write_results(benchmark: Benchmark) -> None:
    """Write ``results.json`` with everything, and ``results.csv`` with a line for each cell."""
    write(benchmark.folder / "results.json", json.dumps(as_json(benchmark), indent=1, allow_nan=False) + "\n")
    write(benchmark.folder / "results.csv", as_csv(cells(benchmark)))


def as_json(benchmark: Benchmark) -> dict[str, object]:
    """Everything, for programs; what is not known is ``null``."""
    return {
        "schema": SCHEMA,
        "made_at": benchmark.made_at,
        "whole": benchmark.whole,
        "asked": dict(benchmark.asked),
        "machine": dict(benchmark.machine),
        "versions": dict(benchmark.versions),
        "engines": [asdict(pairing) for pairing in benchmark.pairings],
        "cells": [
            {
                "model": cell.pairing.model,
                "engine": cell.pairing.engine,
                "energy_method": cell.pairing.energy_method,
                "batch": cell.batch,
                "windows": cell.windows,
                "answered": cell.answered,
                "failed": cell.failed,
                "successes": cell.successes,
                "idle_w": cell.pairing.total_idle_w,
                "figures": {name: asdict(cell.figures[name]) if name in cell.figures else None for name in FIGURES},
                "marks": dict(cell.marks),
            }
            for cell in cells(benchmark)
        ],
        "windows": [asdict(shot) for shot in benchmark.shots],
    }


def as_csv(found: list[Cell]) -> str:
    """A line for each cell: medians, and ``_low`` and ``_high`` over the windows; empty for what is not known."""
    text = io.StringIO()
    line = csv.writer(text, lineterminator="\n")
    known = ("model", "engine", "energy_method", "batch", "windows", "answered", "failed", "successes", "idle_w")
    line.writerow([*known, *(f"{name}{end}" for name in FIGURES for end in ("", "_low", "_high")), "marks"])
    for cell in found:
        figures = [cell.figures.get(name) for name in FIGURES]
        values = [value for each in figures for value in ((each.median, each.low, each.high) if each else [None] * 3)]
        line.writerow(
            [
                cell.pairing.model,
                cell.pairing.engine,
                cell.pairing.energy_method,
                cell.batch,
                cell.windows,
                cell.answered,
                cell.failed,
                _plain(cell.successes),
                _plain(cell.pairing.total_idle_w),
                *map(_plain, values),
                "; ".join(f"{mark} ({count} of {cell.windows})" for mark, count in cell.marks.items()),
            ]
        )
    return text.getvalue()


def write(path: Path, text: str) -> None:
    """In one step, so that no reader finds half of it."""
    draft = path.with_name(f"{path.name}.tmp")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
