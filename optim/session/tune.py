"""The Python face of a study: tune it, measure one team."""

from __future__ import annotations

import asyncio
import errno
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from orkester.errors import InputError, OrkesterError, nearest
from orkester.evals.measurement import Measurement, measure
from orkester.evals.objectives import objective
from orkester.evals.probe import probe
from orkester.evals.records import BlockLog
from orkester.evals.runner import BlockPlan, BlockRunner
from orkester.evals.store import CallStore
from orkester.graphs import Team
from orkester.optim.goals.goal import Goal
from orkester.optim.run.budget import Budget, begun
from orkester.optim.run.directory import RunDirectory
from orkester.optim.run.engine_log import EngineLog
from orkester.optim.run.events import EngineChanged, Observer, Preparing, Resumed, silent
from orkester.optim.run.extension import checked, extended, finish, require_run
from orkester.optim.search.engine_order import BATCH
from orkester.optim.search.models.composition import Composition
from orkester.optim.search.racing import Race
from orkester.optim.search.samplers import AUTO, Setting, auto, make
from orkester.optim.search.search import Search
from orkester.optim.search.trials import Trials, storage_errors
from orkester.optim.session.study_loading import load_study
from orkester.optim.study.engine_parts import RESTARTS
from orkester.optim.study.study import Study
from orkester.serving import machine
from orkester.serving.catalogue import Catalogue
from orkester.serving.energy import IdlePower, Sampler
from orkester.serving.energy.calibration import calibrated
from orkester.serving.lease import EngineEvent
from orkester.serving.pool import Pool
from orkester.telemetry import TraceStore

from .back_end import BackEnd, back_end, open_pool, shots_as_messages
from .block_driver import BlockDriver
from .interrupts import Interrupts
from .opened_run import Run, open_run, write_outcome
from .tuner import Tuner

_DISK_FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})
_GO_ON = "Make room and run the same command again: it goes on from the last block on disk"


def tune(
    study: Study | str | Path,
    run: str | Path | None = None,
    *,
    extend: Mapping[str, float] | None = None,
    observer: Observer = silent,
    catalogue: Catalogue | None = None,
) -> Run:
    """Search, confirm, and write the report; go on where the run directory stands.

    Args:
        study: a study, or the path of a study file.
        run: the run directory; ``runs/<name of the study>`` if None.
        extend: more budget for a run that is there, by the names of its limits: ``{"trials": 20}``. It counts from
            where the run last finished; while it is under way, the same call goes on with it.
        observer: told what happens.
        catalogue: where model names and weights come from.

    Returns:
        The run, with its front.

    Raises:
        InputError: the study or the run directory cannot be used.
        ModelError: weights are absent; ``orkester models pull`` fetches them.
        EngineError: a model does not fit into memory, or its engine cannot be started.
        OrkesterError: the run directory can no longer be written (disk full, say); the same call goes on from there.
        KeyboardInterrupt: after Ctrl-C, once the block under way is on disk; a second Ctrl-C loses that block. Engines
            are stopped first, whatever comes.
    """
    if not isinstance(study, Study):
        study = load_study(study, catalogue=catalogue)
    catalogue = catalogue or Catalogue.default()
    decided = back_end(study.file.engine, study.path.parent)
    meter = _meter(study, decided)
    decided.require_energy(study.file, study.path, meter)
    decided.require_weights(study.models, catalogue)
    directory = RunDirectory(Path(run) if run is not None else Path("runs") / study.name)
    asked = checked(extend or {})
    require_run(directory, asked)
    with directory, _on_disk(directory):
        facts = {
            "name": study.name,
            "folder": str(study.path.parent.resolve()),
            "sizes": study.sizes,
            "machine": machine.facts(),
        }
        directory.begin({**study.identity(), **decided.identity}, facts)
        for note in study.notes:
            observer(Preparing(line=note))
        with (
            BlockLog(directory.blocks) as log,
            EngineLog(directory.engines) as engine_log,
            Trials(study.space, _goal(study), path=directory.database, name=study.name) as trials,
        ):
            _refuse_other_meter(study, directory, log, meter)
            spent = begun(log.all_blocks(), log.failed_teams())
            budget = extended(directory, Budget.of(study.file.budget), spent, asked)
            if log.all_blocks():
                teams = {block.team for block in log.all_blocks()}
                observer(Resumed(teams=len(teams), blocks=len(log.all_blocks()), lost=log.torn))

            def befell(event: EngineEvent) -> None:
                engine_log.append(event)
                observer(EngineChanged(event=event))

            pool = _pool(
                study,
                decided,
                catalogue,
                meter,
                directory.logs,
                traces=directory.traces,
                on_event=befell,
                say=lambda line: observer(Preparing(line=line)),
            )
            try:
                asyncio.run(_tune(study, directory, log, budget, trials, observer, pool, meter, decided))
                finish(directory)
            finally:
                if log.all_blocks():
                    write_outcome(study, directory, log)
    return open_run(directory.path)


def _refuse_other_meter(study: Study, directory: RunDirectory, log: BlockLog, meter: Sampler) -> None:
    """Before anything is measured that could not be ranked beside what is there."""
    there = sorted({block.energy_method for block in log.all_blocks()} - {meter.method})
    asked = [name for name in (*study.file.objectives, *study.file.constraints) if objective(name).of_joules]
    if there and asked:
        raise InputError(
            f"{directory.path}: its joules are of the method {', '.join(there)}, and here they would be of "
            f"{meter.method}; {asked[0]} cannot be ranked over both. Go on with the meter it began with (energy: "
            f"{{meter: …}}; orkester doctor lists them), or begin another run: --run DIR"
        )


@contextmanager
def _on_disk(directory: RunDirectory) -> Iterator[None]:
    """Says what to do about a disk that is full, and about a damaged database."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_FAULTS:
            raise
        where = error.filename or directory.path
        raise OrkesterError(f"{where}: cannot be written: {error.strerror}. {_GO_ON}") from error
    except storage_errors() as error:
        said = str(getattr(error.__cause__ or error, "orig", error)).splitlines()[0]
        remedy = "If it is damaged, remove it: it is made again from the blocks" if "disk" not in said else _GO_ON
        raise OrkesterError(f"{directory.database}: cannot be used: {said}. {remedy}") from error


async def _tune(
    study: Study,
    directory: RunDirectory,
    log: BlockLog,
    budget: Budget,
    trials: Trials,
    observer: Observer,
    pool: Pool,
    meter: Sampler,
    decided: BackEnd,
) -> None:
    file = study.file
    with meter, TraceStore(directory.traces, study=study.name) as traces:
        traces.begin_study(study_id=study.id, objectives=list(file.objectives))
        runner = BlockRunner(
            task=study.task,
            meter=meter,
            concurrency=file.measure.concurrency,
            deadline_s=file.measure.deadline_s,
            seed=file.seed,
            traces=traces,
            coefficients=partial(calibrated, device=decided.device, method=meter.method, folder=decided.calibrations),
        )
        chosen = file.sampler
        if chosen == AUTO:
            # Runs that were begun before there was a choice go on with what there was.
            chosen = directory.settle("sampler", lambda: "tpe" if log.all_blocks() else auto(study.space, file.budget))
        batch = directory.settle("batch", lambda: 1 if pool.fits(study.space.configurations()) else BATCH)
        setting = Setting(space=study.space, goal=_goal(study), seed=file.seed, start=study.start)
        tuner = Tuner(
            study=study,
            log=log,
            budget=budget,
            search=_search(study, taking_turns=batch > 1),
            sampler=make(chosen, setting, trials),
            driver=BlockDriver(
                runner=runner,
                pool=pool,
                idle=IdlePower(meter),
                observer=observer,
                cold=file.engine_options.prefix_cache != "warm",
            ),
            store=CallStore() if file.measure.reuse else None,
            traces=traces,
            observer=observer,
            metered=meter.method != "unavailable",
            batch=batch,
        )
        with Interrupts(tuner.stop, observer) as interrupts:
            async with pool:
                await interrupts.heed(tuner.run())


def _meter(study: Study, decided: BackEnd) -> Sampler:
    asked = study.file.engine_options.tensor_parallel
    try:
        return Sampler(decided.meter(study.file.energy, gpu_count=max(asked) if isinstance(asked, list) else asked))
    except InputError as error:
        raise InputError(f"{study.path}: energy.meter: {error}") from error


def _pool(
    study: Study,
    decided: BackEnd,
    catalogue: Catalogue,
    meter: Sampler,
    logs: Path,
    *,
    traces: Path | None = None,
    **told: Callable[[Any], None],
) -> Pool:
    return open_pool(
        back_end=decided,
        models=study.models,
        options=study.file.engine_options,
        concurrency=study.file.measure.concurrency,
        deadline_s=study.file.measure.deadline_s,
        shots=shots_as_messages(study.task.shots),
        catalogue=catalogue,
        meter=meter,
        logs=logs,
        traces=traces,
        **told,
    )


def _goal(study: Study) -> Goal:
    file = study.file
    return Goal.of(file.objectives, file.constraints)


def _search(study: Study, *, taking_turns: bool) -> Search:
    goal, part, examples = _goal(study), study.file.measure, len(study.search_examples)
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
        composition=Composition(partial(probe, task=study.task)),
        reuse=part.reuse,
        engines_take_turns=taking_turns,
    )


def evaluate(
    study: Study | str | Path, team: Team, *, confirm: bool = False, catalogue: Catalogue | None = None
) -> Measurement:
    """Measure one team on a study's examples, in memory: nothing is written to a run directory.

    Args:
        study: the task, engines and settings.
        team: it need not be in the study's space, but its models must be the study's.
        confirm: on the held-out examples instead of the search's.
        catalogue: where model names and weights come from.

    Raises:
        InputError: the study or the team cannot be used.
        EngineError: an engine did not start.
    """
    catalogue = catalogue or Catalogue.default()
    if not isinstance(study, Study):
        study = load_study(study, catalogue=catalogue)
    team.check()
    if foreign := [name for name in team.models if name not in study.models]:
        raise InputError(f"the team wants {foreign[0]!r}, but the study's models are {', '.join(study.models)}")
    if unknown := [name for name in team.engine if name not in RESTARTS]:
        raise InputError(f"the team wants the engine option {nearest(unknown[0], RESTARTS)}")
    decided = back_end(study.file.engine, study.path.parent)
    meter = _meter(study, decided)
    with tempfile.TemporaryDirectory(prefix="orkester-") as logs, meter:
        pool = _pool(study, decided, catalogue, meter, Path(logs))
        return asyncio.run(_evaluate(study, team, confirm, pool, meter))


async def _evaluate(study: Study, team: Team, confirm: bool, pool: Pool, meter: Sampler) -> Measurement:
    part = study.file.measure
    examples = study.task.confirm if confirm else study.search_examples
    async with pool:
        runner = BlockRunner(
            task=study.task,
            meter=meter,
            concurrency=part.concurrency,
            deadline_s=part.deadline_s,
            seed=study.file.seed,
        )
        lease = await pool.lease(team.models, team.engine)
        idle_w = await IdlePower(meter).measured(pool.resident())
        blocks = [
            await runner.run(
                BlockPlan(
                    team=team,
                    examples=examples[start : start + part.block],
                    phase="confirm" if confirm else "search",
                    index=index,
                ),
                lease.models,
                engines=lease.facts,
                metrics=lease.metrics,
                idle_w=idle_w,
            )
            for index, start in enumerate(range(0, len(examples), part.block))
        ]
    return measure(blocks, study.file.energy.footprint)
