"""The figures of a benchmark: for each model, engine and batch, the median, lowest and highest value of the windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from orkester.optim.report._numbers import number

from ._records import Benchmark, Pairing, WindowRecord


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A number over several windows.

    Attributes:
        median, low, high: The median, the lowest and the highest value.
        n: The number of windows.
    """

    median: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        middle = number(self.median)
        return middle if self.n == 1 else f"{middle} [{number(self.low)}, {number(self.high)}]"


def _per(amount: float | None, count: float | None) -> float | None:
    """The quotient; None when the amount or the count is not known, or the count is 0."""
    return amount / count if amount is not None and count else None


#: The functions that compute each figure from a window, by name. They return None when the figure is not known.
FIGURES: Mapping[str, Callable[[WindowRecord], float | None]] = {
    "energy_j_per_request": lambda window: _per(window.total_j, window.answered),
    "energy_j_per_output_token": lambda window: _per(window.total_j, window.output_tokens),
    "energy_j_per_success": lambda window: _per(window.total_j, window.successes),
    "output_tokens_per_s": lambda window: _per(window.output_tokens, window.seconds),
    "requests_per_s": lambda window: _per(window.answered, window.seconds),
    "mean_w": lambda window: _per(window.total_j, window.energy_s),
}
#: The column heads of the figures, by name.
UNITS: Mapping[str, str] = {
    "energy_j_per_request": "J per request",
    "energy_j_per_output_token": "J per output token",
    "energy_j_per_success": "J per success",
    "output_tokens_per_s": "output tokens/s",
    "requests_per_s": "requests/s",
    "mean_w": "W mean",
}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The results of a model on an engine at one batch size.

    Attributes:
        pairing: The model on the engine.
        batch: The number of requests at the same time.
        windows: The number of windows.
        answered, failed: The numbers of requests in all windows.
        successes: The number of right answers in all windows; None when the right answers are not known.
        figures: The figures by name. A figure that is not known in every window is left out, because its median would
            come from other windows than the other medians.
        marks: The reasons to doubt the numbers, each with the number of windows that have it.
    """

    pairing: Pairing
    batch: int
    windows: int
    answered: int
    failed: int
    successes: int | None
    figures: Mapping[str, Figure]
    marks: Mapping[str, int]


def cells(benchmark: Benchmark) -> list[Cell]:
    """The cells that have at least one window.

    Args:
        benchmark: The results.

    Returns:
        The cells, in the order of the plan's models and engines, sorted by batch.
    """
    result = []
    for pairing in benchmark.pairings:
        windows = [each for each in benchmark.windows if (each.model, each.engine) == (pairing.model, pairing.engine)]
        result += [
            _cell(pairing, batch, [each for each in windows if each.batch == batch])
            for batch in sorted({each.batch for each in windows})
        ]
    return result


def _cell(pairing: Pairing, batch: int, windows: Sequence[WindowRecord]) -> Cell:
    figures = {}
    for name, figure_of in FIGURES.items():
        values = [value for window in windows if (value := figure_of(window)) is not None]
        if len(values) == len(windows):
            figures[name] = Figure(median=median(values), low=min(values), high=max(values), n=len(values))
    marks: dict[str, int] = {}
    for window in windows:
        for mark in window.marks:
            marks[mark] = marks.get(mark, 0) + 1
    successes = [window.successes for window in windows if window.successes is not None]
    return Cell(
        pairing=pairing,
        batch=batch,
        windows=len(windows),
        answered=sum(window.answered for window in windows),
        failed=sum(window.failed for window in windows),
        successes=sum(successes) if len(successes) == len(windows) else None,
        figures=figures,
        marks=marks,
    )


def short_name(model: str) -> str:
    """Shorten the name of a model for a narrow column. Of a path, only the last part is shown, which is also private.

    Args:
        model: The name or path of the model.
    """
    return Path(model).name if "/" in model and not model.startswith(("hf:", "http")) else model
