"""The trials of a search: an Optuna study in a SQLite file, whichever sampler chose them.

It opens in optuna-dashboard as it is. What is in it follows from the blocks of the run and the sampler; a trial that
a killed process left under way is failed when the file is opened, and asked for again.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

from orkester.graphs import Team
from orkester.optim.goals.goal import Goal, violation
from orkester.optim.study.space import Space

from .outcome import Outcome

if TYPE_CHECKING:
    import optuna

    Trial: TypeAlias = optuna.trial.Trial


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A trial that is under way.

    Attributes:
        trial: Optuna's.
        team: what Optuna asks for.
    """

    trial: Trial
    team: Team


@dataclass(frozen=True, kw_only=True)
class _Told:
    """What Optuna was told of a team; ``values`` are None where it could not be measured."""

    values: Sequence[float] | None
    constraints: Mapping[str, float]
    attributes: Mapping[str, Any]


class Trials:
    """Enter it; leaving closes the file.

    Each trial that was told has the user attributes ``team`` (its id) and ``trial`` (its number in the records), and
    where they apply ``examples`` (how many it was measured on), ``infeasible``, ``stopped`` and ``unmeasurable`` (why).

    Args:
        space: teams to choose from.
        goal: what is wanted.
        path: the database; made if absent.
        name: the study's name in it.
    """

    def __init__(self, space: Space, goal: Goal, *, path: Path, name: str) -> None:
        import optuna

        self._space = space
        self._goal = goal
        with contextlib.ExitStack() as stack:
            storage = stack.enter_context(_database(path))
            with quiet():
                self._study = optuna.create_study(
                    study_name=name, storage=storage, directions=list(goal.objectives.values()), load_if_exists=True
                )
                self._study.set_metric_names(list(goal.objectives))
            self._close = stack.pop_all().close
        running = optuna.trial.TrialState.RUNNING
        for left in self._study.get_trials(deepcopy=False, states=(running,)):
            # The process that asked for it is gone (the run directory is locked).
            self._study.tell(left.number, state=optuna.trial.TrialState.FAIL)
        self._order: list[str] = []
        self._told: dict[str, _Told] = {}
        for trial in self._study.get_trials(deepcopy=False):
            if _was_told(trial):
                told = _Told(values=trial.values, constraints=trial.constraints, attributes=trial.user_attrs)
                self._remember(str(trial.user_attrs["team"]), told)

    def __enter__(self) -> Trials:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._close()

    @property
    def order(self) -> Sequence[str]:
        """Ids of the teams told, over all resumes; one that was told again stands here again."""
        return self._order

    @property
    def told_teams(self) -> Set[str]:
        """Ids of the teams told so far. One may be missing that was measured just before the process was killed."""
        return self._told.keys()

    @property
    def next_number(self) -> int:
        """Of a trial: one more than any told."""
        return 1 + max((int(told.attributes["trial"]) for told in self._told.values()), default=-1)

    def ask(self, sampler: optuna.samplers.BaseSampler, *, flat: bool = False) -> Asked:
        """Begin a trial.

        Args:
            sampler: Optuna's, which chooses its team.
            flat: see ``Space.suggest``.
        """
        with quiet():
            self._study.sampler = sampler
            trial = self._study.ask()
            return Asked(trial=trial, team=self._space.suggest(trial, flat=flat))

    def tell(self, asked: Asked, outcome: Outcome) -> None:
        """End a trial with what became of its team."""
        self._tell(asked, self._said(outcome))

    def repeat(self, asked: Asked) -> None:
        """End a trial whose team was told before with what was told then."""
        self._tell(asked, self._told[asked.team.id])

    def drop(self, asked: Asked) -> None:
        """Take a trial back."""
        import optuna

        self._study.tell(asked.trial, state=optuna.trial.TrialState.FAIL)

    def record(self, outcome: Outcome) -> None:
        """A trial that Optuna was not asked for, as if it had been."""
        import optuna

        told = self._said(outcome)
        given = optuna.trial.FixedTrial(self._space.params(outcome.team))
        self._space.suggest(given)  # which says how each parameter is distributed
        states = optuna.trial.TrialState
        self._study.add_trial(
            optuna.trial.create_trial(
                state=states.FAIL if told.values is None else states.COMPLETE,
                values=told.values,
                params=given.params,
                distributions=given.distributions,
                user_attrs=dict(told.attributes),
                constraints=dict(told.constraints),
            )
        )
        self._remember(outcome.team.id, told)

    def _said(self, outcome: Outcome) -> _Told:
        """What Optuna is told of a team."""
        measurement = outcome.measurement
        estimates = measurement.estimates if measurement is not None else {}
        number = self.next_number if outcome.trial is None else outcome.trial
        attributes: dict[str, Any] = {"team": outcome.team.id, "trial": number}
        if measurement is not None:
            attributes["examples"] = measurement.examples
        if outcome.infeasible:
            attributes["infeasible"] = outcome.infeasible
        if outcome.stopped:
            attributes["stopped"] = outcome.stopped
        if not all(name in estimates for name in self._goal.objectives):
            attributes["unmeasurable"] = outcome.infeasible  # tells this failure from an interruption
            return _Told(values=None, constraints={}, attributes=attributes)
        # A quantity that could not be measured does not hold.
        constraints = {
            f"{name} {text}": violation(estimates[name].value, text) if name in estimates else 1.0
            for name, text in self._goal.constraints.items()
        }
        values = [estimates[name].value for name in self._goal.objectives]
        return _Told(values=values, constraints=constraints, attributes=attributes)

    def _tell(self, asked: Asked, told: _Told) -> None:
        import optuna

        for key, value in told.attributes.items():
            asked.trial.set_user_attr(key, value)
        for key, value in told.constraints.items():
            asked.trial.set_constraint(key, value)
        if told.values is None:
            self._study.tell(asked.trial, state=optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(asked.trial, told.values)
        self._remember(asked.team.id, told)

    def _remember(self, team: str, told: _Told) -> None:
        self._order.append(team)
        self._told[team] = told


@contextmanager
def _database(path: Path) -> Iterator[optuna.storages.RDBStorage]:
    import optuna

    # Quoted, since '?' and '%' mean something in an address and nothing in the name of a file.
    storage = optuna.storages.RDBStorage(f"sqlite:///{quote(str(path))}")
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


@contextmanager
def quiet() -> Iterator[None]:
    """Without Optuna's notes: that what we use is "experimental" (for years), that a study was created."""
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def storage_errors() -> tuple[type[Exception], ...]:
    """What Optuna's database raises when it cannot be read or written."""
    import optuna
    import sqlalchemy.exc

    return optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError


def _was_told(trial: optuna.trial.FrozenTrial) -> bool:
    return trial.state.name == "COMPLETE" or (trial.state.name == "FAIL" and "unmeasurable" in trial.user_attrs)
