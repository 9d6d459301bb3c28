"""The evidence of a search: the rows of every team, example by example, and the values of the objectives.

Teams are measured on different numbers of examples, always the first ones of the data. A comparison of their means
would compare the examples, too. Therefore the effect of each example is estimated from all teams and removed, by the
two-way model score = team + example + rest (Snedecor and Cochran, Statistical Methods, chapter on two-way
classifications).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from orkester.evals.objectives import objective
from orkester.graphs import Team

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

#: The number of rounds in which the effects of teams and examples are fitted in turn. The third round changes only the
#: third digit.
_ROUNDS = 3
#: The effect of an example that few teams were measured on is uncertain. It is shrunk as if this many more teams had
#: measured no effect.
_SHRINK = 2.0
_LEAST_VARIANCE = 1e-4
#: The smallest variance of a logarithm. It means a spread of 14 %, the smallest that was seen in times and joules of
#: calls.
_LEAST_LOG_VARIANCE = 0.02
#: The number of rows for a team without values of an objective: its variance is a thousand times that of one row.
_NOTHING = 1e-3
_TINY = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """The measured values of one objective for all teams, in the order of ``Evidence.teams``.

    Attributes:
        values: The values, of shape (teams,): shares as they are, other objectives as natural logarithms.
        variances: The variances of the errors of the values, of shape (teams,).
        row_variance: The variance of one row around the effects of its team and its example.
    """

    values: Floats
    variances: Floats
    row_variance: float


class Evidence:
    """The rows of all teams. Rows are added, but never changed.

    Args:
        names: The names of the objectives and constraints.
        examples: The number of examples of the search.
    """

    def __init__(self, names: Sequence[str], examples: int) -> None:
        self.examples = examples
        self.teams: list[Team] = []
        self._rows: dict[str, int] = {}
        self._done = np.zeros(16, dtype=np.int64)
        self._fresh = np.zeros(16)
        columns = dict.fromkeys(column for name in names for column in objective(name).columns)
        self._columns: dict[str, Floats] = {name: np.full((16, examples), np.nan) for name in columns}
        #: For each block: the row of its team, its first example, and the example after its last one.
        self._bounds = np.zeros((64, 3), dtype=np.int64)
        self._sizes: list[list[int]] = []
        #: The number of blocks of all teams, and of those blocks for which calls were sent.
        self.blocks = self.sent = 0
        #: The team of the last block, if no call was sent for that block.
        self.last_for_nothing: Team | None = None
        self._values: dict[str, _Cache] = {}
        self._modelled: dict[str, _Cache] = {}

    def __contains__(self, team: object) -> bool:
        return isinstance(team, Team) and team.id in self._rows

    @property
    def done(self) -> Ints:
        """The number of examples that each team was measured on, of shape (teams,)."""
        return self._done[: len(self.teams)]

    def seen(self, team: Team) -> int:
        """The number of examples that a team was measured on.

        Args:
            team: The team. A team without blocks has 0.
        """
        row = self._rows.get(team.id)
        return 0 if row is None else int(self._done[row])

    @property
    def fresh(self) -> Floats:
        """The share of each team's calls that were sent, and not answered from the call store, of shape (teams,)."""
        return self._fresh[: len(self.teams)] / np.maximum(1, self.done)

    def add(self, team: Team, rows: Mapping[str, Floats], *, fresh: float = 1.0) -> None:
        """Add the rows of a block.

        Args:
            team: The team of the block.
            rows: The columns of the block by name, each of shape (examples,).
            fresh: The share of the block's calls that were sent.

        Raises:
            ValueError: The team has more rows than the search has examples.
        """
        row = self._rows.setdefault(team.id, len(self.teams))
        if row == len(self.teams):
            self.teams.append(team)
            self._sizes.append([])
            self._make_room()
        first = int(self._done[row])
        last = first + len(next(iter(rows.values())))
        if last > self.examples:
            raise ValueError(f"{team.id} would have {last} rows, but the search has only {self.examples} examples")
        for name, column in self._columns.items():
            column[row, first:last] = rows[name]
        self._done[row] = last
        self.sent += fresh > 0
        self.last_for_nothing = None if fresh > 0 else team
        self._fresh[row] += fresh * (last - first)
        if self.blocks == len(self._bounds):
            self._bounds = np.concatenate([self._bounds, np.zeros_like(self._bounds)])
        self._bounds[self.blocks] = (row, first, last)
        self.blocks += 1
        self._sizes[row].append(last - first)

    def row(self, team: Team) -> int:
        """The index of a team in ``teams``.

        Args:
            team: The team.

        Raises:
            KeyError: The team has no blocks.
        """
        return self._rows[team.id]

    def column(self, team: Team, name: str) -> Floats:
        """A column of a team.

        Args:
            team: The team.
            name: The name of the column.

        Returns:
            The values, of shape (examples,), in the order of the examples.
        """
        row = self._rows[team.id]
        return self._columns[name][row, : self._done[row]]

    def block_sizes(self, team: Team) -> tuple[int, ...]:
        """The number of examples of each block of a team, in order.

        Args:
            team: The team.
        """
        return tuple(self._sizes[self._rows[team.id]])

    def value(self, team: Team, name: str) -> float:
        """The value of an objective, computed only from the rows of the team.

        Args:
            team: The team.
            name: The name of the objective.
        """
        return float(self.values(name)[self._rows[team.id]])

    def values(self, name: str) -> Floats:
        """The values of an objective, each computed only from the rows of one team.

        Args:
            name: The name of the objective.

        Returns:
            The values, of shape (teams,), in the order of ``teams``.
        """
        quantity = objective(name)

        def value_of(row: int) -> float:
            done = int(self._done[row])
            return quantity.value({column: self._columns[column][row, :done] for column in quantity.columns})

        return self._values.setdefault(name, _Cache()).values(self.done, value_of)

    def objective(self, name: str) -> Seen:
        """The values of an objective for all teams, without the effects of the examples.

        Args:
            name: The name of the objective.
        """
        quantity, n = objective(name), len(self.teams)
        raw = self._columns[quantity.column.name][:n]
        seen = np.isfinite(raw)  # the joules of a block may be missing
        variance_ratio = quantity.statistic.variance_ratio
        data = raw if quantity.share else np.log(np.maximum(raw, _TINY))
        team, example, rest = _two_way(data, seen)
        variance = max(self._row_variance(rest, seen), _LEAST_VARIANCE if quantity.share else _LEAST_LOG_VARIANCE)
        variances = _share_variances(raw, seen, variance) if quantity.share else np.full(n, variance_ratio * variance)
        values = team
        if not quantity.statistic.is_mean:
            logs = self._modelled.setdefault(name, _Cache()).values(self.done, lambda row: self._log_value(name, row))
            values = logs - seen @ example / self.done
        return Seen(
            values=values,
            variances=variances / np.maximum(seen.sum(axis=1), _NOTHING),
            row_variance=variance * variance_ratio,
        )

    def _row_variance(self, rest: Floats, seen: NDArray[np.bool_]) -> float:
        """The variance of one row: the larger of an estimate from rows and an estimate from whole blocks.

        A quantity that is metered by block is equal in all rows of a block, so its spread can be estimated only from
        blocks. The estimate from blocks is valid for other quantities, too.
        """
        n = len(self.teams)
        from_rows = float((rest**2).sum()) / max(1, int(seen.sum()) - n)
        if self.blocks <= n:
            return from_rows
        team, first, last = self._bounds[: self.blocks].T
        running = np.concatenate([np.zeros((n, 1)), np.cumsum(rest, axis=1)], axis=1)
        sums = running[team, last] - running[team, first]
        size = float((last - first).mean())
        return max(from_rows, float((sums**2).sum()) / (size * (self.blocks - n)))

    def _log_value(self, name: str, row: int) -> float:
        """The logarithm of the value of an objective, computed only from the rows of one team."""
        quantity, done = objective(name), int(self._done[row])
        column = self._columns[quantity.column.name][row, :done]
        is_known = np.isfinite(column)
        columns = {each: self._columns[each][row, :done][is_known] for each in quantity.columns}
        value = quantity.value(columns) if is_known.any() else 1.0
        if np.isinf(value):  # no example has succeeded; the value is the one if the next example succeeds
            value = float(column[is_known].sum())
        return float(np.log(max(value, _TINY)))

    def _make_room(self) -> None:
        if len(self.teams) <= len(self._done):
            return
        self._done = np.concatenate([self._done, np.zeros_like(self._done)])
        self._fresh = np.concatenate([self._fresh, np.zeros_like(self._fresh)])
        for name, column in self._columns.items():
            self._columns[name] = np.concatenate([column, np.full_like(column, np.nan)])


class _Cache:
    """A number for every team that depends only on the rows of this team."""

    def __init__(self) -> None:
        self._done: Ints = np.zeros(0, dtype=np.int64)
        self._numbers: Floats = np.zeros(0)

    def values(self, done: Ints, compute: Callable[[int], float]) -> Floats:
        """The numbers of all teams. The number of a team is computed again when the team has new rows.

        Args:
            done: The number of examples that each team was measured on, of shape (teams,).
            compute: Computes the number of the team with an index.

        Returns:
            The numbers, of shape (teams,).
        """
        new = len(done) - len(self._done)
        if new:
            self._done = np.concatenate([self._done, np.zeros(new, dtype=np.int64)])
            self._numbers = np.concatenate([self._numbers, np.zeros(new)])
        for row in np.flatnonzero(self._done != done):
            self._numbers[row], self._done[row] = compute(int(row)), done[row]
        return self._numbers


def _two_way(data: Floats, seen: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """The effects of teams, (n,), the effects of examples, (e,), and the rest, (n, e), which is 0 without data."""
    known, mask = np.where(seen, data, 0.0), seen.astype(np.float64)
    per_team, per_example = np.maximum(mask.sum(axis=1), 1), mask.sum(axis=0)
    of_teams, of_examples = known.sum(axis=1), known.sum(axis=0)
    example = np.zeros(data.shape[1])
    team = of_teams / per_team
    for _ in range(_ROUNDS):
        example = (of_examples - team @ mask) / (per_example + _SHRINK)
        team = (of_teams - mask @ example) / per_team
    return team, example, np.where(seen, known - team[:, None] - example, 0.0)


def _share_variances(raw: Floats, seen: NDArray[np.bool_], variance: float) -> Floats:
    """The variance of one row of each team: p (1 - p), reduced by the part that the effects of examples explain.

    Two rows with a mean of a half are added to p (Agresti and Coull, 1998), so that a team without a wrong answer has a
    variance, too.
    """
    n = seen.sum(axis=1)
    p = (np.where(seen, raw, 0.0).sum(axis=1) + 1) / (n + 2)
    without_effects = p * (1 - p)
    mean_variance = max(float((without_effects * n).sum() / max(1, n.sum())), _LEAST_VARIANCE)
    remaining_share = min(1.0, variance / mean_variance)
    return np.asarray(np.maximum(without_effects * remaining_share, _LEAST_VARIANCE))
