"""Routing policies on a recorded table of single models: how much of the quality-joules curve each of them gets.

``python -m benchmarks.routing`` prints the comparison on ``results/routing-mixed.jsonl``; ``--record RUN …`` writes
that table from runs that measured single agents of several models on the same examples.

Each seed splits the questions: policies learn from ``--learn`` of them, and are judged on the others, whose answers
they never see. A policy with a setting is a curve of (joules, quality); between its points, questions may be drawn. The
area under a curve goes from the cheapest to the dearest single model. 0 % is a random draw between these two, 100 % the
oracle, which knows each model's score and joules for each question.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from orkester import open_run
from orkester.agents.routing import RoutingPolicy, RoutingRecord, RoutingRequest
from orkester.agents.routing._logistic import vectors
from orkester.agents.routing.cost_aware import CostAware
from orkester.agents.routing.learnt import Learnt

TABLE: Final = Path(__file__).parent / "results" / "routing-mixed.jsonl"
FLOORS: Final = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
NEIGHBOURS: Final = 10

#: Joules and quality of a way to route.
Point = tuple[float, float]


@dataclass(frozen=True)
class Row:
    """One question with the score and the joules of each model."""

    question: str
    scores: Mapping[str, float]
    joules: Mapping[str, float]


def record(runs: Sequence[Path], table: Path) -> None:
    """Write the table: questions that every model answered alone, from blocks of the search and of confirmation."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    questions: dict[str, str] = {}
    for path in runs:
        run = open_run(path)
        data = Path(run.manifest["folder"]) / run.manifest["study"]["task"]["data"]
        rows = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines() if line.strip()]
        questions |= {str(row.get("id", number)): row["question"] for number, row in enumerate(rows, 1)}
        for block in run.blocks:
            for result in block.examples if block.topology == "single" else ():
                if result.energy_j is not None:
                    found.setdefault(result.id, {})[str(block.knobs["model"])] = (result.score, result.energy_j)
    models = sorted({model for each in found.values() for model in each})
    lines = [
        {
            "question": questions[id_],
            "scores": {model: each[model][0] for model in models},
            "joules": {model: round(each[model][1], 5) for model in models},
        }
        for id_, each in sorted(found.items())
        if set(each) == set(models)
    ]
    table.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    print(f"{table}: {len(lines)} questions, models {', '.join(models)}")


def read(table: Path) -> list[Row]:
    """The rows of a table."""
    return [Row(**json.loads(line)) for line in table.read_text(encoding="utf-8").splitlines()]


@dataclass(frozen=True)
class Nearest:
    """k nearest neighbours on the words of questions: the cheapest model whose neighbours were right often enough."""

    rows: Sequence[Row]
    floor: float
    order: Sequence[str]

    def choose(self, questions: Sequence[str]) -> list[str]:
        """The model for each question."""
        known = vectors([row.question for row in self.rows])
        scores = {model: np.array([row.scores[model] for row in self.rows]) for model in self.order}
        chosen = []
        for likeness in vectors(questions) @ known.T:
            near = np.argsort(-likeness)[:NEIGHBOURS]
            means = {model: float(scores[model][near].mean()) for model in self.order}
            good = [model for model in self.order if means[model] >= self.floor]
            chosen.append(good[0] if good else max(self.order, key=lambda model, means=means: means[model]))
        return chosen


def hull(points: Sequence[Point]) -> list[Point]:
    """The upper concave hull: what can be had by drawing questions between the points."""
    best: list[Point] = []
    for point in sorted(points):
        if best and point[1] <= best[-1][1]:
            continue
        while len(best) > 1 and _slope(best[-2], point) >= _slope(best[-2], best[-1]):
            best.pop()
        if len(best) == 1 and point[0] == best[0][0]:
            best.pop()
        best.append(point)
    return best


def _slope(one: Point, other: Point) -> float:
    return (other[1] - one[1]) / (other[0] - one[0])


def area(points: Sequence[Point], low: float, high: float) -> float:
    """The mean quality over all budgets from ``low`` to ``high`` joules."""
    curve = hull(points)
    budgets = np.linspace(low, high, 400)
    qualities = np.interp(budgets, [joules for joules, _ in curve], [quality for _, quality in curve], left=0.0)
    return float(qualities.mean())


def oracle(rows: Sequence[Row], models: Sequence[str]) -> list[Point]:
    """The curve of one who knows everything: upgrades by their gain per joule."""
    steps: list[tuple[float, float]] = []  # joules and quality that an upgrade adds
    joules = quality = 0.0
    for row in rows:
        options = hull([(row.joules[model], row.scores[model]) for model in models])
        joules, quality = joules + options[0][0], quality + options[0][1]
        steps += [(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(options)]
    points = [(joules, quality)]
    for extra, gain in sorted(steps, key=lambda step: -step[1] / step[0]):
        joules, quality = joules + extra, quality + gain
        points.append((joules, quality))
    return [(each[0] / len(rows), each[1] / len(rows)) for each in points]


def compare(rows: Sequence[Row], *, learn: int, seeds: int) -> dict[str, list[float]]:
    """The share of the way from a random choice to the oracle, by policy, for each seed."""
    models = sorted(rows[0].scores)
    shares: dict[str, list[float]] = {}
    for seed in range(seeds):
        shuffled = random.Random(seed).sample(list(rows), len(rows))
        known, new = shuffled[:learn], shuffled[learn:]
        records = [
            RoutingRecord(question=row.question, choice=model, score=row.scores[model], energy_j=row.joules[model])
            for model in models
            for row in known
        ]
        order = sorted(models, key=lambda model: sum(row.joules[model] for row in known))

        def point(choices: Sequence[str], new: Sequence[Row] = new) -> Point:
            pairs = list(zip(new, choices, strict=True))
            return (
                float(np.mean([row.joules[model] for row, model in pairs])),
                float(np.mean([row.scores[model] for row, model in pairs])),
            )

        def routed(policy: RoutingPolicy, new: Sequence[Row] = new, order: Sequence[str] = order) -> Point:
            return point([policy.route(RoutingRequest(question=row.question, choices=order)).choice for row in new])

        singles = {model: point([model] * len(new)) for model in models}
        low, high = min(each[0] for each in singles.values()), max(each[0] for each in singles.values())
        cheapest = singles[order[0]]
        drawn = [cheapest, singles[order[-1]]]
        curves: Mapping[str, Sequence[Point]] = {
            "random": drawn,
            "always the best single": [cheapest, max(singles.values(), key=lambda each: each[1])],
            "best mixture of singles": list(singles.values()),
            "learnt (one point)": [cheapest, routed(Learnt().fitted(records))],
            "nearest neighbours": [
                cheapest,
                *(point(Nearest(known, floor, order).choose([row.question for row in new])) for floor in FLOORS),
            ],
            "cost_aware": [cheapest, *(routed(CostAware(floor=floor).fitted(records)) for floor in FLOORS)],
        }
        bottom, top = (drawn[0][1] + drawn[1][1]) / 2, area(oracle(new, models), low, high)
        for name, curve in curves.items():
            got = bottom if name == "random" else area(curve, low, high)
            shares.setdefault(name, []).append((got - bottom) / (top - bottom))
    return shares


def main(say: Callable[[str], None] = print) -> None:
    """Print the comparison, or record a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", nargs="+", type=Path, metavar="RUN", help="run directories; writes the table")
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--learn", type=int, default=96, help="questions that policies learn from")
    parser.add_argument("--seeds", type=int, default=20)
    asked = parser.parse_args()
    if asked.record:
        record(asked.record, asked.table)
        return
    rows = read(asked.table)
    models = sorted(rows[0].scores)
    say(f"{asked.table.name}: {len(rows)} questions; policies learn from {asked.learn}; {asked.seeds} splits")
    for model in models:
        quality = np.mean([row.scores[model] for row in rows])
        say(f"  {model}: quality {quality:.3f}, {np.mean([row.joules[model] for row in rows]):.3g} J")
    say("share of the way from a random choice to the oracle (area under the quality-joules curve), median and range:")
    for name, values in compare(rows, learn=asked.learn, seeds=asked.seeds).items():
        say(f"  {name:<25} {100 * np.median(values):6.1f} %  [{100 * min(values):.1f}, {100 * max(values):.1f}]")


if __name__ == "__main__":
    main()
