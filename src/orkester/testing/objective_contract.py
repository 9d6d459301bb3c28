"""The contract of objectives: the tests that every objective must pass. Subclass it with the objective's name."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from orkester.evals.footprint import Footprint, footprint
from orkester.evals.objectives import Objective, objective
from orkester.evals.records.block import Block
from orkester.evals.summaries.rows import team_rows

from .blocks import block, call, result


def made_blocks(count: int = 6, examples: int = 8) -> Sequence[Block]:
    """Make blocks whose examples differ in score, latency, calls, tokens and joules. The result is always the same.

    Args:
        count: The number of blocks.
        examples: The number of examples of each block.
    """
    rng = np.random.default_rng(7)
    blocks: list[Block] = []
    for index in range(count):
        results = tuple(
            result(
                index * examples + i,
                score=float(rng.random() < 0.7),
                latency_s=float(rng.uniform(0.1, 0.5)),
                calls=tuple(
                    call(
                        sample=sample,
                        input_tokens=int(rng.integers(10, 30)),
                        output_tokens=int(rng.integers(1, 9)),
                    )
                    for sample in range(int(rng.integers(1, 4)))
                ),
            )
            for i in range(examples)
        )
        energy_j = {"orkester": float(rng.uniform(1, 2)), "engine:small": float(rng.uniform(3, 5))}
        blocks.append(block(index=index, examples=results, energy_j=energy_j, energy_idle_j=0.5))
    return blocks


class ObjectiveContract:
    """The contract of all objectives. A subclass sets the name of the objective."""

    #: The name of the objective in study files.
    name: str

    @property
    def objective(self) -> Objective:
        return objective(self.name)

    @pytest.fixture
    def blocks(self) -> Sequence[Block]:
        """Blocks of one team in which the objective can be measured."""
        return made_blocks()

    @pytest.fixture
    def footprint(self) -> Footprint:
        """The emissions and costs of a joule."""
        return footprint(region="SE", price_eur_per_kwh=0.2, gpu_hour_eur=1.0)

    def test_it_says_what_it_is(self) -> None:
        assert self.objective.name == self.name
        assert self.objective.meaning.strip().endswith(".")
        assert self.objective.direction in {"minimize", "maximize"}

    def test_it_has_a_number_for_each_example(self, blocks: Sequence[Block], footprint: Footprint) -> None:
        for each in blocks:
            assert self.objective.column.of_block(each, footprint).shape == (len(each.examples),)

    def test_its_estimate_lies_in_its_interval(self, blocks: Sequence[Block], footprint: Footprint) -> None:
        estimate = self.objective.estimate(blocks, footprint)
        assert estimate is not None, "the objective cannot be measured in these blocks; override the fixture blocks"
        assert math.isfinite(estimate.value)
        assert estimate.n == sum(len(each.examples) for each in blocks)
        assert estimate.low is None or estimate.low <= estimate.value
        assert estimate.high is None or estimate.value <= estimate.high
        if self.objective.share:
            assert 0 <= estimate.value <= 1
        else:
            assert estimate.value >= 0

    def test_the_search_computes_the_same_value_as_the_report(
        self, blocks: Sequence[Block], footprint: Footprint
    ) -> None:
        estimate = self.objective.estimate(blocks, footprint)
        rows = team_rows(blocks, footprint)
        assert estimate is not None
        assert self.objective.known(rows)
        assert self.objective.value(rows.columns) == pytest.approx(estimate.value)

    def test_a_team_is_not_shown_to_be_better_than_itself(self, blocks: Sequence[Block], footprint: Footprint) -> None:
        rows = team_rows(blocks, footprint)
        p = self.objective.paired_p(rows, rows, self.objective.direction)
        assert p is None or p > 0.05
