"""The trials of a search: an Optuna study in a SQLite file, for every sampler.

The file opens in optuna-dashboard as it is. Its content follows from the blocks of the run and from the sampler. When
the file is opened, a trial that a killed process has left unfinished is marked as failed, and its team is chosen again.
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
class PendingTrial:
    """A trial whose team is being measured.

    Attributes:
        trial: The trial in Optuna's study.
        team: The team that Optuna asks for.
    """

    trial: Trial
    team: Team


@dataclass(frozen=True, kw_only=True)
class _Report:
    """What is reported to Optuna for a team.

    Attributes:
        values: A value for each objective; None where the team could not be measured.
        constraints: Violations by constraint; above 0 is a violation.
        attributes: User attributes of the trial.
    """

    values: Sequence[float] | None
    constraints: Mapping[str, float]
    attributes: Mapping[str, Any]


class Trials:
    """The trials of a run. A context manager: leaving it closes the file.

    Each finished trial has the user attributes ``team`` (the team's id) and ``trial`` (its number in the records).
    Where they apply, it also has ``examples`` (how many the team was measured on), and ``infeasible``, ``stopped`` and
    ``unmeasurable`` with the reason.

    Args:
        space: The teams to choose from.
        goal: The objectives and constraints.
        path: The database file. It is created when it is missing.
        name: The name of the study in the database.
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
        for unfinished in self._study.get_trials(deepcopy=False, states=(running,)):
            # The process that started the trial is gone: this process has locked the run directory.
            self._study.tell(unfinished.number, state=optuna.trial.TrialState.FAIL)
        self._order: list[str] = []
        self._reports: dict[str, _Report] = {}
        for trial in self._study.get_trials(deepcopy=False):
            if _is_reported(trial):
                report = _Report(values=trial.values, constraints=trial.constraints, attributes=trial.user_attrs)
                self._remember(str(trial.user_attrs["team"]), report)

    def __enter__(self) -> Trials:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._close()

    @property
    def order(self) -> Sequence[str]:
        """The ids of the teams in the order in which they were reported, over all processes of the run.

        A team that was reported twice occurs twice.
        """
        return self._order

    @property
    def reported_teams(self) -> Set[str]:
        """Ids of the teams that were reported so far.

        A team that was measured just before the process was killed may be missing.
        """
        return self._reports.keys()

    @property
    def next_number(self) -> int:
        """The number for a new trial: one more than the largest so far."""
        return 1 + max((int(report.attributes["trial"]) for report in self._reports.values()), default=-1)

    def ask(self, sampler: optuna.samplers.BaseSampler, *, flat: bool = False) -> PendingTrial:
        """Start a trial.

        Args:
            sampler: The sampler of Optuna that chooses the team.
            flat: See ``Space.suggest``.

        Returns:
            The trial with its team.
        """
        with quiet():
            self._study.sampler = sampler
            trial = self._study.ask()
            return PendingTrial(trial=trial, team=self._space.suggest(trial, flat=flat))

    def tell(self, pending: PendingTrial, outcome: Outcome) -> None:
        """Finish a trial with the outcome of its team.

        Args:
            pending: The trial.
            outcome: The outcome.
        """
        self._tell(pending, self._report_of(outcome))

    def repeat(self, pending: PendingTrial) -> None:
        """Finish a trial whose team was reported before, with the same report.

        Args:
            pending: The trial.
        """
        self._tell(pending, self._reports[pending.team.id])

    def drop(self, pending: PendingTrial) -> None:
        """Mark a trial as failed, because its team is not measured.

        Args:
            pending: The trial.
        """
        import optuna

        self._study.tell(pending.trial, state=optuna.trial.TrialState.FAIL)

    def record(self, outcome: Outcome) -> None:
        """Add a finished trial whose team was not chosen by one of Optuna's samplers.

        Args:
            outcome: The outcome of the team.
        """
        import optuna

        report = self._report_of(outcome)
        fixed = optuna.trial.FixedTrial(self._space.params(outcome.team))
        self._space.suggest(fixed)  # so that the trial knows the distribution of each parameter
        states = optuna.trial.TrialState
        self._study.add_trial(
            optuna.trial.create_trial(
                state=states.FAIL if report.values is None else states.COMPLETE,
                values=report.values,
                params=fixed.params,
                distributions=fixed.distributions,
                user_attrs=dict(report.attributes),
                constraints=dict(report.constraints),
            )
        )
        self._remember(outcome.team.id, report)

    def _report_of(self, outcome: Outcome) -> _Report:
        """The report of an outcome to Optuna."""
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
            # Without this attribute, the trial would look like one that was interrupted.
            attributes["unmeasurable"] = outcome.infeasible
            return _Report(values=None, constraints={}, attributes=attributes)
        # A constraint whose quantity could not be measured is violated.
        constraints = {
            f"{name} {text}": violation(estimates[name].value, text) if name in estimates else 1.0
            for name, text in self._goal.constraints.items()
        }
        values = [estimates[name].value for name in self._goal.objectives]
        return _Report(values=values, constraints=constraints, attributes=attributes)

    def _tell(self, pending: PendingTrial, report: _Report) -> None:
        import optuna

        for key, value in report.attributes.items():
            pending.trial.set_user_attr(key, value)
        for key, value in report.constraints.items():
            pending.trial.set_constraint(key, value)
        if report.values is None:
            self._study.tell(pending.trial, state=optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(pending.trial, report.values)
        self._remember(pending.team.id, report)

    def _remember(self, team: str, report: _Report) -> None:
        self._order.append(team)
        self._reports[team] = report


@contextmanager
def _database(path: Path) -> Iterator[optuna.storages.RDBStorage]:
    import optuna

    # The path is quoted because '?' and '%' have a special meaning in a URL.
    storage = optuna.storages.RDBStorage(f"sqlite:///{quote(str(path))}")
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress Optuna's messages: that features are experimental, and that a study was created."""
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
    """The errors of Optuna's database when it cannot be read or written."""
    import optuna
    import sqlalchemy.exc

    return optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError


def _is_reported(trial: optuna.trial.FrozenTrial) -> bool:
    return trial.state.name == "COMPLETE" or (trial.state.name == "FAIL" and "unmeasurable" in trial.user_attrs)
