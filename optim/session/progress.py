"""What a running study announces of itself: how long it will take, what is spent, how far a block is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from orkester.evals.records.block import Phase
from orkester.graphs import Team
from orkester.optim.run.budget import Account, Budget
from orkester.optim.run.events import BlockProgress, BudgetSpent, Observer
from orkester.optim.run.forecast import LEAST_TEAMS, calls_per_example, forecast, to_come, worth_telling
from orkester.optim.study.study import Study


@dataclass(kw_only=True)
class Progress:
    """Announces events about progress. Nothing here decides anything, so a run is the same without it.

    Attributes:
        study: what is tuned.
        budget: when the search ends.
        observer: receives the events.
        metered: whether there are joules.
        clock: monotonic seconds.
    """

    study: Study
    budget: Budget
    observer: Observer
    metered: bool = True
    clock: Callable[[], float] = time.monotonic
    _calls: tuple[int, int] | None = field(default=None, init=False)
    _new_s: float = field(default=0.0, init=False)
    _new_examples: int = field(default=0, init=False)

    async def begin(self, account: Account) -> None:
        """The forecast with which a session begins, if any team is to come.

        Args:
            account: what the records' teams have cost.
        """
        study = self.study
        if to_come(self.budget, account, space=len(study.space))[1] <= 0:
            return
        if len(account.teams) < LEAST_TEAMS:  # from then on what they have cost says more
            self._calls = await calls_per_example(study.space, study.task, study.search_examples, seed=study.file.seed)
        self._forecast(account)

    def team_ended(self, account: Account) -> None:
        """The forecast again, where the teams so far make it a better one."""
        if worth_telling(len(account.teams)):
            self._forecast(account)

    def spent(self, account: Account) -> None:
        """How much is spent of the limit that comes first."""
        if use := self.budget.tightest(account.total, space=len(self.study.space)):
            self.observer(BudgetSpent(name=use.name, spent=use.spent, limit=use.limit))

    @contextmanager
    def block(
        self, team: Team, phase: Phase, index: int, *, of: int, examples: int, to_come: float
    ) -> Iterator[Callable[[int], None]]:
        """Around a block that is run: gives what is to be called with the number of examples done.

        Args:
            team, phase, index: which block.
            of: blocks of the phase.
            examples: of the block.
            to_come: examples until the end of the run, those of the block included; a guess.
        """

        def progress(done: int) -> None:
            pace = self._new_s / self._new_examples if self._new_examples else None
            self.observer(
                BlockProgress(
                    team=team,
                    phase=phase,
                    block=index + 1,
                    of=of,
                    examples_done=done,
                    examples=examples,
                    remaining_s=None if pace is None else max(0.0, to_come - done) * pace,
                )
            )

        begun = self.clock()
        yield progress
        self._new_s += self.clock() - begun
        self._new_examples += examples

    def _forecast(self, account: Account) -> None:
        self.observer(
            forecast(
                self.budget,
                account,
                space=len(self.study.space),
                examples=len(self.study.search_examples),
                calls=self._calls,
                metered=self.metered,
            )
        )
