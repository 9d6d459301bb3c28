"""The result files, which are replaced after every window, each in one step."""

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


def create_folder(folder: Path) -> None:
    """Create the folder for the results.

    Args:
        folder: The folder, new or empty.

    Raises:
        InputError: The folder is a file or is not empty. The results of another benchmark are never overwritten.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise InputError(f"{folder}: this is a file; give a new folder with --out") from error
    if any(folder.iterdir()):
        raise InputError(f"{folder}: this folder is not empty; give a new folder with --out")


def write_results(benchmark: Benchmark) -> None:
    """Write ``results.json`` with all results, and ``results.csv`` with one line per cell.

    Args:
        benchmark: The results.
    """
    write(benchmark.folder / "results.json", json.dumps(as_json(benchmark), indent=1, allow_nan=False) + "\n")
    write(benchmark.folder / "results.csv", as_csv(cells(benchmark)))


def as_json(benchmark: Benchmark) -> dict[str, object]:
    """All results as plain data. Values that are not known are None.

    Args:
        benchmark: The results.
    """
    return {
        "schema": SCHEMA,
        "made_at": benchmark.made_at,
        "whole": benchmark.is_complete,
        "asked": dict(benchmark.plan),
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
        "windows": [asdict(window) for window in benchmark.windows],
    }


def as_csv(table: list[Cell]) -> str:
    """The cells as CSV: medians, and the columns ``_low`` and ``_high``. A value that is not known is empty.

    Args:
        table: The cells.

    Returns:
        The text of the file: a header and one line per cell.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = ("model", "engine", "energy_method", "batch", "windows", "answered", "failed", "successes", "idle_w")
    writer.writerow([*columns, *(f"{name}{end}" for name in FIGURES for end in ("", "_low", "_high")), "marks"])
    for cell in table:
        figures = [cell.figures.get(name) for name in FIGURES]
        values = [value for each in figures for value in ((each.median, each.low, each.high) if each else [None] * 3)]
        writer.writerow(
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
    """Write a file in one step, so that nobody reads an incomplete file.

    Args:
        path: The file.
        text: Its new content.
    """
    draft = path.with_name(f"{path.name}.tmp")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
