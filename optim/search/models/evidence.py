"""What the search has seen: rows of every team, example by example, and what they say of each objective.

Teams have seen different numbers of examples, always the first so many. Comparing their plain means would compare the
examples too, so each example's own effect, as far as the teams that saw it agree on one, is taken out: the two-way
model score = team + example + rest (Snedecor and Cochran, Statistical Methods, chapter on two-way classifications).
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

#: Rounds in which team and example effects are fitted in turn; the third changes the third digit.
_ROUNDS = 3
#: An example that one team saw says little of itself: its effect is shrunk as if this many teams more had found none.
_SHRINK = 2.0
_LEAST_VARIANCE = 1e-4
#: Of a logarithm: 14 %, as little as a call's time or joules have been seen to vary.
_LEAST_LOG_VARIANCE = 0.02
#: Rows of a team of which an objective is not known: its variance is then a thousand times that of a row.
_NOTHING = 1e-3
_TINY = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """One objective over all teams seen, in the order of ``Evidence.teams``.

    Attributes:
        values: on the model's scale: shares as they are, all else as natural logarithms.
        variances: of their errors.
        row_variance: of one row, when team and example are known.
    """

    values: Floats
    variances: Floats
    row_variance: float


class Evidence:
    """Rows by team. Grows; nothing in it is ever changed.

    Args:
        names: of the objectives and constraints it will be asked for.
        examples: how many the search has.
    """

    def __init__(self, names: Sequence[str], examples: int) -> None:
        self.examples = examples
        self.teams: list[Team] = []
        self._rows: dict[str, int] = {}
        self._done = np.zeros(16, dtype=np.int64)
        self._fresh = np.zeros(16)
        columns = dict.fromkeys(column for name in names for column in objective(name).columns)
        self._columns: dict[str, Floats] = {name: np.full((16, examples), np.nan) for name in columns}
        #: Of each block its team's row, and its first and last examples.
        self._bounds = np.zeros((64, 3), dtype=np.int64)
        self._sizes: list[list[int]] = []
        #: Blocks seen, of all teams, and those that had calls sent for them.
        self.blocks = self.sent = 0
        #: The team of the last block if that had no call sent for it.
        self.last_for_nothing: Team | None = None
        self._values: dict[str, _Kept] = {}
        self._modelled: dict[str, _Kept] = {}

    def __contains__(self, team: object) -> bool:
        return isinstance(team, Team) and team.id in self._rows

    @property
    def done(self) -> Ints:
        """Examples seen, by team."""
        return self._done[: len(self.teams)]

    def seen(self, team: Team) -> int:
        """How many examples of the search this team has seen."""
        row = self._rows.get(team.id)
        return 0 if row is None else int(self._done[row])

    @property
    def fresh(self) -> Floats:
        """By team: the share of its calls that were sent for it, and not answered from what others had sent."""
        return self._fresh[: len(self.teams)] / np.maximum(1, self.done)

    def add(self, team: Team, rows: Mapping[str, Floats], *, fresh: float = 1.0) -> None:
        """Append a block's rows to a team's.

        Args:
            team: whose.
            rows: by the column's name, those of all objectives that it is asked for.
            fresh: share of the block's calls that were sent.

        Raises:
            ValueError: there are more rows than the search has examples.
        """
        row = self._rows.setdefault(team.id, len(self.teams))
        if row == len(self.teams):
            self.teams.append(team)
            self._sizes.append([])
            self._make_room()
        first = int(self._done[row])
        last = first + len(next(iter(rows.values())))
        if last > self.examples:
            raise ValueError(f"{team.id} would have {last} rows of {self.examples} examples")
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
        """Its index in ``teams``.

        Raises:
            KeyError: it has not been seen.
        """
        return self._rows[team.id]

    def column(self, team: Team, name: str) -> Floats:
        """A column of a team's rows, in the order of the examples."""
        row = self._rows[team.id]
        return self._columns[name][row, : self._done[row]]

    def block_sizes(self, team: Team) -> tuple[int, ...]:
        """Examples of each of a team's blocks, in order."""
        return tuple(self._sizes[self._rows[team.id]])

    def value(self, team: Team, name: str) -> float:
        """An objective's own value, from this team's rows alone."""
        return float(self.values(name)[self._rows[team.id]])

    def values(self, name: str) -> Floats:
        """An objective's own value of every team, in the order of ``teams``."""
        wanted = objective(name)

        def own(row: int) -> float:
            done = int(self._done[row])
            return wanted.value({column: self._columns[column][row, :done] for column in wanted.columns})

        return self._values.setdefault(name, _Kept()).up_to(self.done, own)

    def objective(self, name: str) -> Seen:
        """An objective over all teams, with the examples' own effects taken out."""
        wanted, n = objective(name), len(self.teams)
        raw = self._columns[wanted.column.name][:n]
        seen = np.isfinite(raw)  # a block may lack its joules
        spread = wanted.statistic.variance_ratio
        data = raw if wanted.share else np.log(np.maximum(raw, _TINY))
        team, example, rest = _two_way(data, seen)
        variance = max(self._row_variance(rest, seen), _LEAST_VARIANCE if wanted.share else _LEAST_LOG_VARIANCE)
        variances = _of_shares(raw, seen, variance) if wanted.share else np.full(n, spread * variance)
        values = team
        if not wanted.statistic.is_mean:
            own = self._modelled.setdefault(name, _Kept()).up_to(self.done, lambda row: self._own(name, row))
            values = own - seen @ example / self.done
        return Seen(
            values=values,
            variances=variances / np.maximum(seen.sum(axis=1), _NOTHING),
            row_variance=variance * spread,
        )

    def _row_variance(self, rest: Floats, seen: NDArray[np.bool_]) -> float:
        """Variance of one row, from rows and from whole blocks: the larger one.

        What is measured by block is the same in all rows of one, so only blocks tell of its spread; their sums do for
        what differs by row too.
        """
        n = len(self.teams)
        of_rows = float((rest**2).sum()) / max(1, int(seen.sum()) - n)
        if self.blocks <= n:
            return of_rows
        team, first, last = self._bounds[: self.blocks].T
        running = np.concatenate([np.zeros((n, 1)), np.cumsum(rest, axis=1)], axis=1)
        sums = running[team, last] - running[team, first]
        size = float((last - first).mean())
        return max(of_rows, float((sums**2).sum()) / (size * (self.blocks - n)))

    def _own(self, name: str, row: int) -> float:
        """The logarithm of an objective's own value."""
        wanted, done = objective(name), int(self._done[row])
        column = self._columns[wanted.column.name][row, :done]
        sound = np.isfinite(column)
        columns = {each: self._columns[each][row, :done][sound] for each in wanted.columns}
        found = wanted.value(columns) if sound.any() else 1.0
        if np.isinf(found):  # as if the next example had succeeded
            found = float(column[sound].sum())
        return float(np.log(max(found, _TINY)))

    def _make_room(self) -> None:
        if len(self.teams) <= len(self._done):
            return
        self._done = np.concatenate([self._done, np.zeros_like(self._done)])
        self._fresh = np.concatenate([self._fresh, np.zeros_like(self._fresh)])
        for name, column in self._columns.items():
            self._columns[name] = np.concatenate([column, np.full_like(column, np.nan)])


class _Kept:
    """A number of every team that only its own rows change."""

    def __init__(self) -> None:
        self._done: Ints = np.zeros(0, dtype=np.int64)
        self._found: Floats = np.zeros(0)

    def up_to(self, done: Ints, number: Callable[[int], float]) -> Floats:
        """By team; asked for again where a team has seen more since.

        Args:
            done: examples seen, by team.
            number: of a team, by its row.
        """
        new = len(done) - len(self._done)
        if new:
            self._done = np.concatenate([self._done, np.zeros(new, dtype=np.int64)])
            self._found = np.concatenate([self._found, np.zeros(new)])
        for row in np.flatnonzero(self._done != done):
            self._found[row], self._done[row] = number(int(row)), done[row]
        return self._found


def _two_way(data: Floats, seen: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Effects of teams (n,) and of examples (e,), and the rest (n, e), zero where nothing was seen."""
    known, mask = np.where(seen, data, 0.0), seen.astype(np.float64)
    per_team, per_example = np.maximum(mask.sum(axis=1), 1), mask.sum(axis=0)
    of_teams, of_examples = known.sum(axis=1), known.sum(axis=0)
    example = np.zeros(data.shape[1])
    team = of_teams / per_team
    for _ in range(_ROUNDS):
        example = (of_examples - team @ mask) / (per_example + _SHRINK)
        team = (of_teams - mask @ example) / per_team
    return team, example, np.where(seen, known - team[:, None] - example, 0.0)


def _of_shares(raw: Floats, seen: NDArray[np.bool_], variance: float) -> Floats:
    """Variance of one row of each team: p (1 - p), less what the examples explain of it in all teams together.

    p is drawn towards a half by two rows (Agresti and Coull, 1998), so that a team without a fault has some too.
    """
    n = seen.sum(axis=1)
    p = (np.where(seen, raw, 0.0).sum(axis=1) + 1) / (n + 2)
    alone = p * (1 - p)
    explained = min(1.0, variance / max(float((alone * n).sum() / max(1, n.sum())), _LEAST_VARIANCE))
    return np.asarray(np.maximum(alone * explained, _LEAST_VARIANCE))
