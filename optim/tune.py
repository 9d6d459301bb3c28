"""The Python face of a study: tune it, look at a run, measure one team."""

from __future__ import annotations

import asyncio
import errno
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from orkester.errors import InputError, OrkesterError
from orkester.evals.block import Block
from orkester.evals.measurement import Measurement, measure
from orkester.evals.objectives import OF_JOULES
from orkester.evals.records import BlockLog, read_records
from orkester.evals.runner import BlockPlan, BlockRunner
from orkester.graphs import Team
from orkester.serving import machine
from orkester.serving.catalogue import Catalogue
from orkester.serving.energy import IdlePower, Sampler
from orkester.serving.energy.calibration import calibrated
from orkester.serving.lease import EngineEvent
from orkester.serving.pool import Pool
from orkester.telemetry import TraceStore

from .back_end import BackEnd, back_end, open_pool, shots_as_messages
from .engine_log import EngineLog, read_events, summary
from .events import EngineChanged, Observer, Preparing, Resumed, silent
from .interrupts import Interrupts
from .ordering import BATCH
from .results import Results, results
from .run_directory import RunDirectory
from .sampling import Sampling, importances, storage_errors
from .source import nearest
from .study import Study, load_study
from .study_file import RESTARTS, Direction, EnergyPart
from .team_file import write_team
from .tuner import Tuner

_DISK_FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})
_GO_ON = "Make room and run the same command again: it goes on from the last block on disk"


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run directory with what is in it.

    Attributes:
        path: the directory.
        name: of the study.
        manifest: what it was made for, versions, machine.
        results: teams and front.
        blocks: every block.
    """

    path: Path
    name: str
    manifest: Mapping[str, Any]
    results: Results
    blocks: Sequence[Block]

    @property
    def report(self) -> Path:
        """Where its report is, once written."""
        return RunDirectory(self.path).report

    def as_json(self) -> dict[str, Any]:
        """For ``orkester front --json``."""
        found = self.results
        return {
            "study": self.name,
            "objectives": dict(found.objectives),
            "constraints": dict(found.constraints),
            "teams_measured": len(found.teams),
            "teams": [result.as_json(found.objectives) for result in found.front],
        }


def tune(
    study: Study | str | Path,
    run: str | Path | None = None,
    *,
    observer: Observer = silent,
    catalogue: Catalogue | None = None,
) -> Run:
    """Search, confirm, and write the report; go on where the run directory stands.

    Args:
        study: a study, or the path of a study file.
        run: the run directory; ``runs/<name of the study>`` if None.
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
    with directory, _on_disk(directory):
        facts = {"name": study.name, "sizes": study.sizes, "machine": machine.facts()}
        directory.begin({**study.identity(), **decided.identity}, facts)
        with (
            BlockLog(directory.blocks) as log,
            EngineLog(directory.engines) as engine_log,
            _sampling(study, directory) as sampling,
        ):
            _refuse_other_meter(study, directory, log, meter)
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
                asyncio.run(_tune(study, directory, log, sampling, observer, pool, meter, decided))
            finally:
                if log.all_blocks():
                    _write_outcome(study, directory, log)
    return open_run(directory.path)


def _refuse_other_meter(study: Study, directory: RunDirectory, log: BlockLog, meter: Sampler) -> None:
    """Before anything is measured that could not be ranked beside what is there."""
    there = sorted({block.energy_method for block in log.all_blocks()} - {meter.method})
    asked = [name for name in (*study.file.objectives, *study.file.constraints) if name in OF_JOULES]
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
    sampling: Sampling,
    observer: Observer,
    pool: Pool,
    meter: Sampler,
    decided: BackEnd,
) -> None:
    measure_part = study.file.measure
    with meter, TraceStore(directory.traces, study=study.name) as traces:
        traces.begin_study(study_id=study.id, objectives=list(study.file.objectives))
        runner = BlockRunner(
            task=study.task,
            meter=meter,
            concurrency=measure_part.concurrency,
            deadline_s=measure_part.deadline_s,
            seed=study.file.seed,
            traces=traces,
            coefficients=partial(calibrated, device=decided.device, method=meter.method, folder=decided.calibrations),
        )
        tuner = Tuner(
            study=study,
            log=log,
            sampling=sampling,
            runner=runner,
            pool=pool,
            idle=IdlePower(meter),
            traces=traces,
            observer=observer,
            batch=directory.settle("batch", lambda: 1 if pool.fits(study.space.configurations()) else BATCH),
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


def _sampling(study: Study, directory: RunDirectory) -> Sampling:
    return Sampling(
        study.space,
        objectives=study.file.objectives,
        constraints=study.file.constraints,
        seed=study.file.seed,
        path=directory.database,
        name=study.name,
    )


def _write_outcome(study: Study, directory: RunDirectory, log: BlockLog) -> None:
    file = study.file
    found = results(log.records(), file.objectives, file.constraints, study.sizes, footprint=file.energy.footprint)
    for old in directory.teams.glob("*.json") if directory.teams.exists() else ():
        old.unlink()
    for result in found.front:
        write_team(directory.teams / f"{result.team.id}.json", study, result, found)
    _write_report(directory, study.name, directory.manifest() or {}, found, log.all_blocks())


def _write_report(
    directory: RunDirectory, name: str, manifest: Mapping[str, Any], found: Results, blocks: Sequence[Block]
) -> None:
    from .report import write_report

    write_report(
        directory.report,
        name=name,
        results=found,
        manifest=manifest,
        importances=importances(directory.database, name, list(found.objectives)),
        blocks=blocks,
        engine_uses=summary(read_events(directory.engines)),
        now=datetime.now(UTC),
    )


def open_run(path: str | Path) -> Run:
    """Read a run directory, finished or not; another process may be working on it.

    Raises:
        InputError: there is no run.
    """
    directory = RunDirectory(Path(path))
    manifest = directory.manifest()
    if manifest is None:
        raise InputError(f"{path}: there is no run here; orkester tune STUDY.yaml makes one")
    records = read_records(directory.blocks)
    asked = manifest["study"]
    objectives: Mapping[str, Direction] = asked["objectives"]
    footprint = EnergyPart.model_validate(asked.get("energy", {})).footprint
    found = results(records, objectives, asked["constraints"], manifest["sizes"], footprint=footprint)
    return Run(path=directory.path, name=str(manifest["name"]), manifest=manifest, results=found, blocks=records.blocks)


def report(path: str | Path) -> Path:
    """Write the report of a run again, from its records alone.

    Raises:
        InputError: there is no run.
    """
    run = open_run(path)
    directory = RunDirectory(run.path)
    _write_report(directory, run.name, run.manifest, run.results, run.blocks)
    return directory.report


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
