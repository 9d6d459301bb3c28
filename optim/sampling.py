"""Asks Optuna which team to measure next, and tells it what was found.

An ask depends only on what has been told before: the sampler is seeded anew for each by the number of trials told. So
a run that was killed and resumed asks for the same teams as one that was not.
"""

from __future__ import annotations

import contextlib
import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote

from orkester.evals.measurement import Measurement
from orkester.evals.runner import derive_seed
from orkester.graphs import Team

from .results import DEFAULT_CONSTRAINTS, violation
from .space import Space
from .study_file import Direction

if TYPE_CHECKING:
    import optuna

    Trial: TypeAlias = optuna.trial.Trial

#: Random teams before the sampler's model of the space is used.
STARTUP_TRIALS = 8
#: How often in a row the sampler may ask for teams that were told before it is overruled.
REPEATS = 10


class Sampling:
    """An Optuna study in a SQLite file. Enter it; leaving closes the file.

    The first trials go through the topologies once, in the study file's order, so that each has a result before the
    sampler (TPE over the conditional space, grouped by topology) begins to choose.

    Args:
        space: teams to choose from.
        objectives: direction by name.
        constraints: limits by name; the default one is added.
        seed: of the study.
        path: the database; made if absent. It opens in optuna-dashboard as it is.
        name: the study's name in it.
    """

    def __init__(
        self,
        space: Space,
        *,
        objectives: Mapping[str, Direction],
        constraints: Mapping[str, str],
        seed: int,
        path: Path,
        name: str,
    ) -> None:
        import optuna

        self._space = space
        self._objectives = objectives
        self._constraints = {**DEFAULT_CONSTRAINTS, **constraints}
        self._seed = seed
        with contextlib.ExitStack() as stack:
            storage = stack.enter_context(_database(path))
            with _quiet():
                self._study = optuna.create_study(
                    study_name=name, storage=storage, directions=list(objectives.values()), load_if_exists=True
                )
                self._study.set_metric_names(list(objectives))
            self._close = stack.pop_all().close
        running = optuna.trial.TrialState.RUNNING
        interrupted = self._study.get_trials(deepcopy=False, states=(running,))
        for left in interrupted:
            # The process that asked for it is gone (the run directory is locked); it will be asked for again.
            self._study.tell(left.number, state=optuna.trial.TrialState.FAIL)
        told = [trial for trial in self._study.get_trials(deepcopy=False) if _was_told(trial)]
        self._order = [str(trial.user_attrs["team"]) for trial in told]

    def __enter__(self) -> Sampling:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._close()

    @property
    def told(self) -> int:
        """Trials told so far, over all resumes."""
        return len(self._order)

    @property
    def told_teams(self) -> set[str]:
        """Ids of the teams told so far. One may be missing that was measured just before the process was killed."""
        return set(self._order)

    def ask(self) -> tuple[Trial, Team] | None:
        """The next team; None when every team of the space has been told.

        It may be one that was told before: the caller tells what is known of it and asks again. A sampler that repeats
        itself ``REPEATS`` times in a row is overruled by a random draw among the teams not told yet.
        """

        told = self.told_teams
        if len(told) >= len(self._space) and all(team.id in told for team in self._space.teams()):
            return None
        with _quiet():
            self._study.sampler = self._sampler(told)
        trial = self._study.ask()
        return trial, self._space.suggest(trial)

    def _sampler(self, told: set[str]) -> optuna.samplers.BaseSampler:
        """TPE; with the topology given for the first of each, with everything given for a sampler that is stuck."""
        import optuna

        tpe = optuna.samplers.TPESampler(
            seed=derive_seed(self._seed, "ask", self.told),
            multivariate=True,
            group=True,
            n_startup_trials=STARTUP_TRIALS,
        )
        topologies = list(self._space.grids)
        if self.told < len(topologies):
            return optuna.samplers.PartialFixedSampler({"topology": topologies[self.told]}, tpe)
        if self._repeats() >= REPEATS:
            return optuna.samplers.PartialFixedSampler(self._space.params(self._untold(told)), tpe)
        return tpe

    def _repeats(self) -> int:
        """How many of the last trials asked for a team that had been told before."""
        count = 0
        for i in range(len(self._order) - 1, -1, -1):
            if self._order[i] not in self._order[:i]:
                break
            count += 1
        return count

    def _untold(self, told: set[str]) -> Team:
        rng = random.Random(derive_seed(self._seed, "draw", self.told))
        for _ in range(1000):
            team = self._space.draw(rng)
            if team.id not in told:
                return team
        return next(team for team in self._space.teams() if team.id not in told)

    def tell(self, trial: Trial, team: Team, *, measurement: Measurement | None, infeasible: str) -> None:
        """Say what was found.

        Args:
            trial: from ``ask``.
            team: likewise.
            measurement: of the search; None when the team could not be measured.
            infeasible: why it cannot be on the front; empty when it can.
        """
        import optuna

        trial.set_user_attr("team", team.id)
        trial.set_user_attr("trial", self.told)
        if infeasible:
            trial.set_user_attr("infeasible", infeasible)
        estimates = measurement.estimates if measurement is not None else {}
        if all(name in estimates for name in self._objectives):
            for name, text in self._constraints.items():
                # A quantity that could not be measured does not hold.
                trial.set_constraint(
                    f"{name} {text}", violation(estimates[name].value, text) if name in estimates else 1.0
                )
            self._study.tell(trial, [estimates[name].value for name in self._objectives])
        else:
            trial.set_user_attr("unmeasurable", infeasible)  # tells this failure from an interruption
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        self._order.append(team.id)

    def drop(self, trial: Trial) -> None:
        """Take an ask back."""
        import optuna

        self._study.tell(trial, state=optuna.trial.TrialState.FAIL)


def importances(path: Path, name: str, objectives: Sequence[str]) -> Mapping[str, Mapping[str, float]]:
    """For each objective, each parameter's share of importance (PED-ANOVA, Watanabe et al., arXiv:2304.10255).

    Args:
        path: the database of ``Sampling``.
        name: of the study in it.
        objectives: names, in the study's order.

    Returns:
        Shares by objective and parameter; an objective is absent where there are too few different trials to say.
    """
    import optuna

    if not path.exists():
        return {}
    found: dict[str, Mapping[str, float]] = {}
    with _database(path) as storage:
        try:
            study = optuna.load_study(study_name=name, storage=storage)
        except KeyError:  # killed before the study was there
            return {}
        for i, objective in enumerate(objectives):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    shares = optuna.importance.get_param_importances(study, target=_nth_value(i))
            except (ValueError, RuntimeError):  # Optuna's way to say: too few trials
                continue
            if shares:  # without any trial there are none
                found[objective] = shares
    return found


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
def _quiet() -> Iterator[None]:
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


def _nth_value(i: int) -> Callable[[optuna.trial.FrozenTrial], float]:
    return lambda trial: float(trial.values[i])


def _was_told(trial: optuna.trial.FrozenTrial) -> bool:
    return trial.state.name == "COMPLETE" or (trial.state.name == "FAIL" and "unmeasurable" in trial.user_attrs)
