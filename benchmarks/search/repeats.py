"""How far a second recording of the same calls is from the first: what a table's numbers are worth.

.venv/bin/python -m benchmarks.search.repeats arithmetic
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orkester.optim.study.space import Space

from .compose import NONE, Calls, compose
from .recording import Recording, read
from .table import OBJECTIVES, Table


@dataclass(frozen=True, kw_only=True)
class Repeats:
    """Both repetitions on the examples that they share.

    Attributes:
        examples: how many.
        greedy: share of calls at temperature 0 that gave the same vote again.
        sampled: the same of the other calls: how much sampling noise there is.
        ratios: by quantity and model, the second repetition's mean over the first's.
        teams: by objective, median absolute difference of a team's two values, relative to the first but for quality.
    """

    examples: int
    greedy: float
    sampled: float
    ratios: Mapping[str, Mapping[str, float]]
    teams: Mapping[str, float]


def repeats(recording: Recording) -> Repeats:
    """Compare; teams without later rounds, which were asked once."""
    pair = recording.calls(0), recording.calls(1)
    both = np.flatnonzero((pair[1].base != NONE).any(axis=(0, 1, 2)))
    ids = [calls.base[..., both] for calls in pair]
    there = (ids[0] != NONE) & (ids[1] != NONE)
    votes = [calls.vote[found] for calls, found in zip(pair, ids, strict=True)]
    same = votes[0] == votes[1]
    cold = np.zeros_like(there)
    cold[:, pair[0].temperatures.index(0.0)] = True
    space = Space({name: grids for name, grids in recording.space.grids.items() if name != "debate"})
    truths = [_on(space, calls, both).truth() for calls in pair]
    apart = np.abs(truths[1] - truths[0])
    apart[:, 1:] /= truths[0][:, 1:]
    return Repeats(
        examples=len(both),
        greedy=float(same[there & cold].mean()),
        sampled=float(same[there & ~cold].mean()),
        ratios={
            name: {
                model: float(np.divide(*(getattr(pair[i], name)[ids[i][m][there[m]]].mean() for i in (1, 0))))
                for m, model in enumerate(pair[0].models)
            }
            for name in ("latency_s", "energy_j")
        },
        teams=dict(zip(OBJECTIVES, np.median(apart, axis=0).tolist(), strict=True)),
    )


def _on(space: Space, calls: Calls, examples: NDArray[np.intp]) -> Table:
    """The teams on some of the examples."""
    fewer = {
        name: getattr(calls, name) for name in Calls.__dataclass_fields__ if name not in {"examples", "base", "later"}
    }
    part = Calls(
        examples=tuple(calls.examples[i] for i in examples),
        base=calls.base[..., examples],
        later=calls.later[..., examples],
        **fewer,
    )
    return compose("repeats", space, part, searched=len(examples))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    found = repeats(read(parser.parse_args().name))
    print(f"{found.examples} examples; same vote again: greedy {found.greedy:.1%}, sampled {found.sampled:.1%}")
    for quantity, ratios in found.ratios.items():
        print(f"{quantity}, second ÷ first: " + ", ".join(f"{model} {ratio:.2f}" for model, ratio in ratios.items()))
    print("teams, median difference: " + ", ".join(f"{name} {value:.3f}" for name, value in found.teams.items()))


if __name__ == "__main__":
    main()
