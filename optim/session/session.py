"""One call of ``orkester tune``: opens the run directory, starts the engines, tunes, and writes the outcome.

A session puts together what tunes a study, and from there everything goes down: ``Session`` runs a ``Tuner``, which
decides which block comes next; the tuner runs a ``BlockDriver``, which sees to the engines; the driver runs a
``BlockRunner``, which makes the calls and reads the meter.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from orkester.errors import InputError, OrkesterError
from orkester.evals.objectives import objective
from orkester.evals.records.block import Phase
from orkester.evals.records.log import BlockLog
from orkester.evals.records.twins import under_one_name
from orkester.evals.running.probe import probe
from orkester.evals.running.runner import BlockRunner
from orkester.evals.summaries.baselines import Baseline, baseline_of, baselines
from orkester.evals.task import Example
from orkester.optim.goals.goal import Goal
from orkester.optim.run.budget import Budget, begun
from orkester.optim.run.directory import RunDirectory
from orkester.optim.run.engine_log import EngineLog
from orkester.optim.run.events import EngineChanged, Observer, Preparing, Resumed, silent
from orkester.optim.run.extension import checked, extended, finish, require_run
from orkester.optim.search.engine_order import BATCH
from orkester.optim.search.models.composition import Composition
from orkester.optim.search.racing import Race
from orkester.optim.search.samplers import AUTO, Sampler, Setting, auto, make
from orkester.optim.search.search import Search
from orkester.optim.search.trials import Trials, storage_errors
from orkester.optim.study.study import Study
from orkester.serving import machine
from orkester.serving.energy.calibration import load_coefficients
from orkester.serving.lease import EngineEvent
from orkester.serving.pool import Pool
from orkester.telemetry import TraceStore

from .block_driver import BlockDriver
from .interrupts import Interrupts
from .measurement_setup import MeasurementSetup
from .outcome import write_outcome
from .progress import Progress
from .tuner import Tuner

_DISK_FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})
_GO_ON = "Make room and run the same command again: it goes on from the last block on disk"


@dataclass(frozen=True, kw_only=True)
class Session:
    """A study that is tuned in a run directory.

    Attributes:
        setup: the study, and what measures its teams.
        directory: where everything is written, and where an earlier session may have left off.
        extend: more budget for a run that is there, by the names of its limits; see ``orkester.tune``.
        observer: receives an event for everything that happens.
    """

    setup: MeasurementSetup
    directory: RunDirectory
    extend: Mapping[str, float] = field(default_factory=dict)
    observer: Observer = silent

    @property
    def study(self) -> Study:
        """What is tuned."""
        return self.setup.study

    def run(self) -> None:
        """Search and confirm from where the run directory stands; then write team files and the report.

        Raises:
            OrkesterError: see ``orkester.tune``.
            KeyboardInterrupt: see ``orkester.tune``.
        """
        self.setup.require()
        more = checked(self.extend)
        require_run(self.directory, more)
        with self.directory, self._remedies():
            self._begin()
            one_name_each = partial(under_one_name, representative=self.study.space.representative)
            with (
                BlockLog(self.directory.blocks, arrange=one_name_each) as log,
                EngineLog(self.directory.engines) as engine_log,
                Trials(self.study.space, self._goal(), path=self.directory.database, name=self.study.name) as trials,
            ):
                self._refuse_other_meter(log)
                spent = begun(log.all_blocks(), log.failed_teams())
                budget = extended(self.directory, Budget.of(self.study.file.budget), spent, more)
                self._announce_resume(log)
                pool = self._pool(engine_log)
                try:
                    asyncio.run(self._tune(log, budget, trials, pool))
                    finish(self.directory)
                finally:
                    if log.all_blocks():
                        write_outcome(self.study, self.directory, log)

    async def _tune(self, log: BlockLog, budget: Budget, trials: Trials, pool: Pool) -> None:
        study, meter = self.study, self.setup.meter
        with meter, TraceStore(self.directory.traces, study=study.name) as traces:
            traces.begin_study(study_id=study.id, objectives=list(study.file.objectives))
            runner = self._runner(traces)
            runner.remember(log.all_blocks())
            sampler = self._sampler(log, trials)
            batch = self.directory.settle("batch", lambda: 1 if pool.fits(study.space.configurations()) else BATCH)
            tuner = Tuner(
                study=study,
                log=log,
                budget=budget,
                search=self._search(taking_turns=batch > 1),
                sampler=sampler,
                batch=batch,
                baselines=self._baselines(),
                driver=BlockDriver(
                    runner=runner,
                    pool=pool,
                    observer=self.observer,
                    cold=study.file.engine_options.prefix_cache != "warm",
                ),
                traces=traces,
                progress=Progress(
                    study=study, budget=budget, observer=self.observer, metered=meter.method != "unavailable"
                ),
            )
            with Interrupts(tuner.stop, self.observer) as interrupts:
                async with pool:
                    await interrupts.run(tuner.run())

    def _baselines(self) -> Sequence[Baseline]:
        """What guesses score. It is in the manifest, so that tables and reports need no data file."""
        study = self.study

        def computed() -> list[dict[str, Any]]:
            examples: Mapping[Phase, Sequence[Example]] = {
                "search": study.search_examples,
                "confirm": study.task.confirm,
            }
            return [baseline.as_json() for baseline in baselines(study.task.scorer, examples)]

        return [baseline_of(each) for each in self.directory.settle("baselines", computed)]

    # -- what tunes -----------------------------------------------------------------------------------------------

    def _goal(self) -> Goal:
        return Goal.of(self.study.file.objectives, self.study.file.constraints)

    def _pool(self, engine_log: EngineLog) -> Pool:
        def record(event: EngineEvent) -> None:
            engine_log.append(event)
            self.observer(EngineChanged(event=event))

        return self.setup.pool(
            self.directory.logs,
            traces=self.directory.traces,
            on_event=record,
            say=lambda line: self.observer(Preparing(line=line)),
        )

    def _runner(self, traces: TraceStore) -> BlockRunner:
        """With a trace per example, and joules by span where the engine is calibrated."""
        chosen, method = self.setup.back_end, self.setup.meter.method
        coefficients = partial(load_coefficients, device=chosen.device, method=method, folder=chosen.calibrations)
        return replace(self.setup.runner(), traces=traces, coefficients=coefficients)

    def _sampler(self, log: BlockLog, trials: Trials) -> Sampler:
        file, space = self.study.file, self.study.space
        name = file.sampler
        if name == AUTO:
            # Runs that were begun before there was a choice go on with what there was.
            name = self.directory.settle("sampler", lambda: "tpe" if log.all_blocks() else auto(space, file.budget))
        return make(name, Setting(space=space, goal=self._goal(), seed=file.seed, start=self.study.start), trials)

    def _search(self, *, taking_turns: bool) -> Search:
        goal, part, examples = self._goal(), self.study.file.measure, len(self.study.search_examples)
        race = Race(
            objectives=goal.objectives,
            constraints=goal.constraints,
            examples=examples,
            block=part.block,
            error=part.stop_error,
        )
        return Search(
            goal=goal,
            examples=examples,
            block=part.block,
            race=race,
            composition=Composition(partial(probe, task=self.study.task)),
            reuse=part.reuse,
            least_examples={team.id: self.study.routing.examples for team in self.study.routing.sources.values()},
            engines_take_turns=taking_turns,
        )

    # -- the run directory ----------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Write the manifest, or check that the directory's one is of this study.

        A study may change as long as nothing was measured.
        """
        study = self.study
        self.directory.forget_plan()
        facts = {
            "name": study.name,
            "folder": str(study.path.parent.resolve()),
            "sizes": study.sizes,
            "machine": machine.facts(),
        }
        self.directory.begin({**study.identity(), **self.setup.back_end.identity}, facts)
        for note in study.notes:
            self.observer(Preparing(line=note))

    def _announce_resume(self, log: BlockLog) -> None:
        if blocks := log.all_blocks():
            teams = {block.team for block in blocks}
            self.observer(Resumed(teams=len(teams), blocks=len(blocks), lost=log.torn))

    def _refuse_other_meter(self, log: BlockLog) -> None:
        """Before anything is measured that could not be ranked beside what is there."""
        file, method = self.study.file, self.setup.meter.method
        there = sorted({block.energy_method for block in log.all_blocks()} - {method})
        ranked = [name for name in (*file.objectives, *file.constraints) if objective(name).of_joules]
        if there and ranked:
            raise InputError(
                f"{self.directory.path}: its joules are of the method {', '.join(there)}, and here they would be of "
                f"{method}; {ranked[0]} cannot be ranked over both. Go on with the meter it began with (energy: "
                f"{{meter: …}}; orkester doctor lists them), or begin another run: --run DIR"
            )

    @contextmanager
    def _remedies(self) -> Iterator[None]:
        """Says what to do about a disk that is full, and about a damaged database."""
        try:
            yield
        except OSError as error:
            if error.errno not in _DISK_FAULTS:
                raise
            where = error.filename or self.directory.path
            raise OrkesterError(f"{where}: cannot be written: {error.strerror}. {_GO_ON}") from error
        except storage_errors() as error:
            message = str(getattr(error.__cause__ or error, "orig", error)).splitlines()[0]
            remedy = (
                "If it is damaged, remove it: it is made again from the blocks" if "disk" not in message else _GO_ON
            )
            raise OrkesterError(f"{self.directory.database}: cannot be used: {message}. {remedy}") from error
