"""A table: what every team of a space scored, took and used on every example, for searches to be replayed against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from orkester.graphs import Team
from orkester.optim.study.space import Space

Floats: TypeAlias = NDArray[np.float32]
Ids: TypeAlias = NDArray[np.int32]

#: Columns of ``Table.truth``.
OBJECTIVES = ("quality", "latency_p50_s", "energy_j")


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Arrays over (team, example), and the model calls behind each cell.

    Attributes:
        name: of the table.
        space: whose teams these are; without engine options.
        teams: in the order of ``space.teams()``.
        examples: ids. The first ``searched`` are for the search, the others are held out.
        searched: how many.
        score: 0 to 1.
        latency_s, energy_j: of the example, seconds and joules.
        calls: model calls that were made for it.
        models: names; ``call_model`` are indices into them.
        call_model, call_latency_s, call_energy_j, call_input_tokens, call_output_tokens: by call id.
        starts: the calls of the cell (team, example) are ``ids[starts[c]:starts[c + 1]]`` with
            c = team × examples + example.
        ids: of calls, no call twice in a cell.
    """

    name: str
    space: Space
    teams: tuple[Team, ...]
    examples: tuple[str, ...]
    searched: int
    score: Floats
    latency_s: Floats
    energy_j: Floats
    calls: NDArray[np.uint16]
    models: tuple[str, ...]
    call_model: NDArray[np.int16]
    call_latency_s: Floats
    call_energy_j: Floats
    call_input_tokens: Ids
    call_output_tokens: Ids
    starts: NDArray[np.int64]
    ids: Ids

    def __post_init__(self) -> None:
        shape = (len(self.teams), len(self.examples))
        if not 0 < self.searched <= len(self.examples):
            raise ValueError(f"1 to {len(self.examples)} examples can be searched on, but got {self.searched}")
        for name in ("score", "latency_s", "energy_j", "calls"):
            found = getattr(self, name).shape
            if found != shape:
                raise ValueError(f"{name} must be teams × examples, {shape}, but is {found}")
        if len(self.starts) != shape[0] * shape[1] + 1:
            raise ValueError(f"{shape[0] * shape[1] + 1} starts are needed, but there are {len(self.starts)}")

    @cached_property
    def index(self) -> dict[str, int]:
        """The number of a team, by its id."""
        return {team.id: number for number, team in enumerate(self.teams)}

    def number(self, team: Team) -> int:
        """The row of a team.

        Raises:
            KeyError: the space does not have it.
        """
        return self.index[team.id]

    def keys(self, team: int, example: int) -> Ids:
        """Ids of the distinct model calls behind a cell.

        A call is one answer to (engine, messages, temperature, sample): teams that ask exactly that share its id.
        """
        cell = team * len(self.examples) + example
        return self.ids[self.starts[cell] : self.starts[cell + 1]]

    def keys_of(self, team: int, examples: slice) -> Ids:
        """The same over neighbouring examples, one after the other."""
        low, high, _ = examples.indices(len(self.examples))
        first = team * len(self.examples)
        return self.ids[self.starts[first + low] : self.starts[first + max(low, high)]]

    def truth(self, examples: slice | Sequence[int] | None = None) -> NDArray[np.float64]:
        """Teams × ``OBJECTIVES``: mean score, median seconds, mean joules.

        Args:
            examples: over which; all that were recorded if None.
        """
        which = slice(None) if examples is None else examples
        return np.column_stack(
            [
                self.score[:, which].mean(axis=1, dtype=np.float64),
                np.median(self.latency_s[:, which].astype(np.float64), axis=1),
                self.energy_j[:, which].mean(axis=1, dtype=np.float64),
            ]
        )


def load(name: str) -> Table:
    """A recorded table, composed from its calls.

    Args:
        name: of the files in ``tables/``, ``arithmetic`` for one.

    Raises:
        FileNotFoundError: there is no such table.
    """
    from .recording import read

    return read(name).table()
