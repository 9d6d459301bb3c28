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
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Asked:
    """What Optuna asks for.

    Attributes:
        trial: Optuna's.
        team: to be measured.
        number: of the trial, from 0; the next one when it was asked for.
    """

    trial: Trial
    team: Team
    number: int


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
        self._next_number = 1 + max((int(trial.user_attrs["trial"]) for trial in told), default=-1)

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

    def ask(self, most: int = 1) -> Sequence[Asked]:
        """The next teams, each chosen as if those before it were disappointing (Optuna's constant liar).

        A team may be one that was told before, or stand twice among these: the caller tells what is known of it and
        asks again. A sampler that repeats itself ``REPEATS`` times in a row is overruled by a random draw among the
        teams not asked for yet.

        Args:
            most: so many. The first ones do not depend on how many.

        Returns:
            Fewer than ``most`` when no team of the space is left; none when every one has been told.
        """
        asked: list[Asked] = []
        while len(asked) < most:
            order = [*self._order, *(each.team.id for each in asked)]
            seen = set(order)
            if len(seen) >= len(self._space) and all(team.id in seen for team in self._space.teams()):
                break
            with _quiet():
                self._study.sampler = self._sampler(order)
            trial = self._study.ask()
            asked.append(Asked(trial, self._space.suggest(trial), self._next_number + len(asked)))
        return asked

    def _sampler(self, order: Sequence[str]) -> optuna.samplers.BaseSampler:
        """TPE; with the topology given for the first of each, with everything given for a sampler that is stuck.

        Args:
            order: ids of the teams asked for so far.
        """
        import optuna

        tpe = optuna.samplers.TPESampler(
            seed=derive_seed(self._seed, "ask", len(order)),
            multivariate=True,
            group=True,
            constant_liar=True,
            n_startup_trials=STARTUP_TRIALS,
        )
        topologies = list(self._space.grids)
        if len(order) < len(topologies):
            return optuna.samplers.PartialFixedSampler({"topology": topologies[len(order)]}, tpe)
        if _repeats(order) >= REPEATS:
            return optuna.samplers.PartialFixedSampler(self._space.params(self._unseen(order)), tpe)
        return tpe

    def _unseen(self, order: Sequence[str]) -> Team:
        rng, seen = random.Random(derive_seed(self._seed, "draw", len(order))), set(order)
        for _ in range(1000):
            team = self._space.draw(rng)
            if team.id not in seen:
                return team
        return next(team for team in self._space.teams() if team.id not in seen)

    def tell(self, asked: Asked, *, measurement: Measurement | None, infeasible: str) -> None:
        """Say what was found.

        Args:
            asked: from ``ask``; of several, in their order.
            measurement: of the search; None when the team could not be measured.
            infeasible: why it cannot be on the front; empty when it can.
        """
        import optuna

        trial = asked.trial
        trial.set_user_attr("team", asked.team.id)
        trial.set_user_attr("trial", asked.number)
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
        self._order.append(asked.team.id)
        self._next_number = max(self._next_number, asked.number + 1)

    def drop(self, asked: Asked) -> None:
        """Take an ask back."""
        import optuna

        self._study.tell(asked.trial, state=optuna.trial.TrialState.FAIL)


def _repeats(order: Sequence[str]) -> int:
    """How many of the last teams asked for had been asked for before."""
    count = 0
    for i in range(len(order) - 1, -1, -1):
        if order[i] not in order[:i]:
            break
        count += 1
    return count


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
