"""Which calls make up a recorded table, and the blocks in which they are made."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from orkester.evals.task import Example
from orkester.optim.session.study_loading import load_study
from orkester.optim.study.space import Grid, Space
from orkester.optim.study.study import Study

HERE = Path(__file__).parent
#: Examples of a block.
SLICE = 8


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is recorded.

    Attributes:
        study: the study file.
        steps: of the grids, by knob; a study's own are finer.
        examples: of the search and held out, from the study's split.
        in_flight: requests under way at once.
        again: so many examples are asked a second time, to see what repeats.
    """

    study: Path
    steps: Mapping[str, float]
    examples: tuple[int, int]
    in_flight: int
    again: int


RECIPES: Mapping[str, Recipe] = {
    "arithmetic": Recipe(
        study=HERE / "arithmetic.yaml",
        steps={"temperature": 0.1, "agreement": 0.1},
        examples=(96, 64),
        in_flight=16,
        again=32,
    ),
    "capitals": Recipe(
        study=HERE / "capitals.yaml",
        steps={"temperature": 0.2, "agreement": 0.25},
        examples=(48, 40),
        in_flight=4,
        again=16,
    ),
}


@dataclass(frozen=True)
class Seat:
    """One call on an example.

    Attributes:
        temperature: of the call.
        agents: how many debate; 0 for the question alone.
        number: of the sample, or of the debater.
    """

    temperature: float
    agents: int
    number: int


@dataclass(frozen=True)
class Block:
    """Calls that are made in one window, of one model at all temperatures: whatever drifts, falls on all of them alike.

    Attributes:
        repetition: 0, or 1 for the second time.
        stage: 0 for the question alone, else the round of the debates.
        model: of all its calls.
        part: which ``SLICE`` examples.
        seats: the calls on each of them, a team's together.
    """

    repetition: int
    stage: int
    model: str
    part: int
    seats: tuple[Seat, ...]

    @property
    def id(self) -> str:
        """Unique in a plan."""
        return f"{self.repetition}/{self.stage}/{self.model}/{self.part}"


class Plan:
    """A recipe with its study, and the blocks that it comes to.

    Args:
        name: of the table.
        recipe: what is recorded.
        work: the log of what was recorded so far, a line a block.
    """

    def __init__(self, name: str, recipe: Recipe, work: Path) -> None:
        self.name = name
        self.recipe = recipe
        self.work = work
        self.study: Study = load_study(recipe.study)
        self.space = coarser(self.study.space, self.recipe.steps)
        task, (searched, held_out) = self.study.task, self.recipe.examples
        if searched > len(task.search) or held_out > len(task.confirm):
            raise SystemExit(f"there are {len(task.search)} examples to search on, and {len(task.confirm)} held out")
        self.examples: Sequence[Example] = [*task.search[:searched], *task.confirm[:held_out]]

    @cached_property
    def blocks(self) -> Sequence[Block]:
        """All blocks in the order in which they are run.

        Rounds of debates come after what they need. Within a stage the slices of examples are in random order, and the
        models follow each other on each slice, in random order too, so that they are compared at about the same time.
        """
        rng = random.Random(self.study.file.seed)
        found = []
        for stage, seats in enumerate(self._stages()):
            found += self._turns(rng, 0, stage, seats, len(self.examples))
        return found + self._turns(rng, 1, 0, self._stages()[0], self.recipe.again)

    def _turns(
        self, rng: random.Random, repetition: int, stage: int, seats: Mapping[str, Sequence[Seat]], examples: int
    ) -> list[Block]:
        parts = range(-(-examples // SLICE))
        return [
            Block(repetition, stage, model, part, tuple(seats[model]))
            for part in rng.sample(parts, len(parts))
            for model in rng.sample(sorted(seats), len(seats))
        ]

    def _stages(self) -> list[dict[str, list[Seat]]]:
        """The calls on an example, by stage and model."""
        samples: dict[tuple[str, float], int] = defaultdict(int)
        debates: dict[tuple[str, float], set[tuple[int, int]]] = defaultdict(set)
        for team in self.space.teams():
            knobs: Mapping[str, Any] = team.knobs
            asked = knobs.get("model", knobs.get("first")), float(knobs["temperature"])
            count = knobs.get("agents", knobs.get("votes", 1))
            samples[asked] = max(samples[asked], count)
            if team.topology == "cascade":
                samples[knobs["then"], 0.0] = max(samples[knobs["then"], 0.0], 1)
            if team.topology == "debate":
                debates[asked].update((count, following) for following in range(1, knobs["rounds"] + 1))
        last = max((following for pairs in debates.values() for _, following in pairs), default=0)
        stages: list[dict[str, list[Seat]]] = [defaultdict(list) for _ in range(last + 1)]
        for (model, temperature), count in sorted(samples.items()):
            stages[0][model] += [Seat(temperature, 0, sample) for sample in range(count)]
        for (model, temperature), pairs in sorted(debates.items()):
            for agents, following in sorted(pairs):
                stages[following][model] += [Seat(temperature, agents, number) for number in range(agents)]
        return stages

    def examples_of(self, block: Block) -> Sequence[Example]:
        """A block's examples."""
        return self.examples[block.part * SLICE : (block.part + 1) * SLICE]

    def done(self) -> dict[str, dict[str, Any]]:
        """What was recorded so far, by block; half a line that a crash left counts for nothing."""
        found: dict[str, dict[str, Any]] = {}
        if self.work.exists():
            for line in self.work.read_text().splitlines():
                try:
                    row = json.loads(line)
                except ValueError:
                    continue
                if "block" in row:
                    found[row["block"]] = row
        return found


def coarser(space: Space, steps: Mapping[str, float]) -> Space:
    """The space with only those values of some knobs that are a multiple of a step away from the first.

    Args:
        space: whose grids are finer.
        steps: by knob.
    """

    def thin(knob: str, grid: Grid) -> Grid:
        if knob not in steps:
            return grid
        low = float(grid.values[0])
        turns = [(float(value) - low) / steps[knob] for value in grid.values]
        return Grid(tuple(v for v, turn in zip(grid.values, turns, strict=True) if abs(turn - round(turn)) < 1e-6))

    return Space(
        {name: {knob: thin(knob, grid) for knob, grid in grids.items()} for name, grids in space.grids.items()}
    )
