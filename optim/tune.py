"""The Python face of a study: tune it, look at a run, measure one team."""

from __future__ import annotations

import asyncio
import errno
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orkester.errors import InputError, ModelError, OrkesterError
from orkester.evals.block import Block
from orkester.evals.measurement import Measurement, measure
from orkester.evals.records import BlockLog, read_records
from orkester.evals.runner import BlockPlan, BlockRunner
from orkester.graphs import Team
from orkester.serving import machine
from orkester.serving.catalogue import Catalogue
from orkester.serving.pool import Pool
from orkester.telemetry import TraceStore

from .back_end import meter_for, missing_weights, open_pool, shots_as_messages
from .events import Observer, Resumed, silent
from .results import Results, results
from .run_directory import RunDirectory
from .sampling import Sampling, importances, storage_errors
from .study import Study, load_study
from .study_file import Direction
from .team_file import write_team
from .tuner import Interrupted, Tuner

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
        OrkesterError: the run directory can no longer be written (disk full, say); the same call goes on from there.
        KeyboardInterrupt: after Ctrl-C, once the block under way is on disk; a second Ctrl-C loses that block.
    """
    if not isinstance(study, Study):
        study = load_study(study, catalogue=catalogue)
    catalogue = catalogue or Catalogue.default()
    if absent := missing_weights(study.models, catalogue):
        names = " ".join(model.name for model in absent)
        raise ModelError(f"the weights of {names} are not here; fetch them: orkester models pull {names}")
    directory = RunDirectory(Path(run) if run is not None else Path("runs") / study.name)
    with directory, _on_disk(directory):
        facts = {"name": study.name, "sizes": study.sizes, "machine": machine.facts()}
        directory.begin(study.identity(), facts)
        with BlockLog(directory.blocks) as log, _sampling(study, directory) as sampling:
            if log.all_blocks():
                teams = {block.team for block in log.all_blocks()}
                observer(Resumed(teams=len(teams), blocks=len(log.all_blocks()), lost=log.torn))
            try:
                asyncio.run(_tune(study, directory, log, sampling, observer, catalogue))
            finally:
                if log.all_blocks():
                    _write_outcome(study, directory, log)
    return open_run(directory.path)


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
    catalogue: Catalogue,
) -> None:
    measure_part = study.file.measure
    with TraceStore(directory.traces, study=study.name) as traces:
        traces.begin_study(study_id=study.id, objectives=list(study.file.objectives))
        pool = _pool(study, catalogue, directory.logs)
        runner = BlockRunner(
            task=study.task,
            meter=pool.meter,
            concurrency=measure_part.concurrency,
            deadline_s=measure_part.deadline_s,
            seed=study.file.seed,
            traces=traces,
        )
        async with pool:
            tuner = Tuner(
                study=study, log=log, sampling=sampling, runner=runner, pool=pool, traces=traces, observer=observer
            )
            with _interrupts(tuner.stop):
                await tuner.run()


def _pool(study: Study, catalogue: Catalogue, logs: Path) -> Pool:
    return open_pool(
        models=study.models,
        engine=study.file.engine,
        options=study.file.engine_options,
        concurrency=study.file.measure.concurrency,
        deadline_s=study.file.measure.deadline_s,
        shots=shots_as_messages(study.task.shots),
        catalogue=catalogue,
        meter=meter_for(study.file.engine),
        logs=logs,
        folder=study.path.parent,
    )


@contextmanager
def _interrupts(stop: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM) asks for the end, the second cancels at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    asked = False

    def interrupt() -> None:
        nonlocal asked
        if asked and task is not None:
            task.cancel()
        elif not asked:
            asked = True
            stop()

    signals = (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        loop.add_signal_handler(number, interrupt)
    try:
        yield
    except asyncio.CancelledError as error:
        if not asked:
            raise
        raise Interrupted("stopped at once; the block under way is lost, everything before it is on disk") from error
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


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
    from .report import write_report

    found = results(log.records(), study.file.objectives, study.file.constraints, study.sizes)
    for old in directory.teams.glob("*.json") if directory.teams.exists() else ():
        old.unlink()
    for result in found.front:
        write_team(directory.teams / f"{result.team.id}.json", study, result, found)
    write_report(
        directory.report,
        name=study.name,
        results=found,
        manifest=directory.manifest() or {},
        importances=importances(directory.database, study.name, list(study.file.objectives)),
        blocks=log.all_blocks(),
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
    found = results(records, objectives, asked["constraints"], manifest["sizes"])
    return Run(path=directory.path, name=str(manifest["name"]), manifest=manifest, results=found, blocks=records.blocks)


def report(path: str | Path) -> Path:
    """Write the report of a run again, from its records alone.

    Raises:
        InputError: there is no run.
    """
    from .report import write_report

    run = open_run(path)
    directory = RunDirectory(run.path)
    write_report(
        directory.report,
        name=run.name,
        results=run.results,
        manifest=run.manifest,
        importances=importances(directory.database, run.name, list(run.results.objectives)),
        blocks=run.blocks,
        now=datetime.now(UTC),
    )
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
    with tempfile.TemporaryDirectory(prefix="orkester-") as logs:
        return asyncio.run(_evaluate(study, team, confirm, _pool(study, catalogue, Path(logs))))


async def _evaluate(study: Study, team: Team, confirm: bool, pool: Pool) -> Measurement:
    part = study.file.measure
    examples = study.task.confirm if confirm else study.search_examples
    async with pool:
        runner = BlockRunner(
            task=study.task,
            meter=pool.meter,
            concurrency=part.concurrency,
            deadline_s=part.deadline_s,
            seed=study.file.seed,
        )
        models = await pool.lease(team.models)
        blocks = [
            await runner.run(
                BlockPlan(
                    team=team,
                    examples=examples[start : start + part.block],
                    phase="confirm" if confirm else "search",
                    index=index,
                ),
                models,
                engines=pool.facts(team.models),
            )
            for index, start in enumerate(range(0, len(examples), part.block))
        ]
    return measure(blocks)
