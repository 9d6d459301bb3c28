"""From windows to figures: the median over the repeats, with the least and the most."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from orkester.optim.report._numbers import number

from ._records import Benchmark, Pairing, Shot


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A number over the repeats.

    Attributes:
        median, low, high: the middle, the least and the most.
        n: windows it is from.
    """

    median: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        middle = number(self.median)
        return middle if self.n == 1 else f"{middle} [{number(self.low)}, {number(self.high)}]"


def _per(amount: float | None, count: float | None) -> float | None:
    """None where there is no amount, or nothing to share it among: J per success without a success is no number."""
    return amount / count if amount is not None and count else None


#: By name: how a window gives it; None where it does not.
FIGURES: Mapping[str, Callable[[Shot], float | None]] = {
    "energy_j_per_request": lambda shot: _per(shot.total_j, shot.answered),
    "energy_j_per_output_token": lambda shot: _per(shot.total_j, shot.output_tokens),
    "energy_j_per_success": lambda shot: _per(shot.total_j, shot.successes),
    "output_tokens_per_s": lambda shot: _per(shot.output_tokens, shot.seconds),
    "requests_per_s": lambda shot: _per(shot.answered, shot.seconds),
    "mean_w": lambda shot: _per(shot.total_j, shot.energy_s),
}
#: What people read at the head of a column.
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
    """A model on an engine at one batch size.

    Attributes:
        pairing: the model on the engine.
        batch: requests in flight.
        windows: how many.
        answered, failed: requests in all of them.
        successes: right answers in all of them; None where nobody says what is right.
        figures: by name; those that cannot be had in every window are absent: a median over some of them would be of
            other windows than the others.
        marks: what makes the numbers doubtful, each with the number of windows.
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
    """Those of which there is a window, in the order asked for."""
    found = []
    for pairing in benchmark.pairings:
        mine = [s for s in benchmark.shots if (s.model, s.engine) == (pairing.model, pairing.engine)]
        found += [
            _cell(pairing, batch, [s for s in mine if s.batch == batch]) for batch in sorted({s.batch for s in mine})
        ]
    return found


def _cell(pairing: Pairing, batch: int, shots: Sequence[Shot]) -> Cell:
    figures = {}
    for name, of in FIGURES.items():
        values = [value for shot in shots if (value := of(shot)) is not None]
        if len(values) == len(shots):
            figures[name] = Figure(median=median(values), low=min(values), high=max(values), n=len(values))
    marks: dict[str, int] = {}
    for shot in shots:
        for mark in shot.marks:
            marks[mark] = marks.get(mark, 0) + 1
    right = [shot.successes for shot in shots if shot.successes is not None]
    return Cell(
        pairing=pairing,
        batch=batch,
        windows=len(shots),
        answered=sum(shot.answered for shot in shots),
        failed=sum(shot.failed for shot in shots),
        successes=sum(right) if len(right) == len(shots) else None,
        figures=figures,
        marks=marks,
    )


def short(model: str) -> str:
    """Of a path, its last part: it is for a narrow column, and places on somebody's disk are nobody's business."""
    return Path(model).name if "/" in model and not model.startswith(("hf:", "http")) else model
