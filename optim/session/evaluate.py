"""One team, measured in memory."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path

from orkester.agents.routing import LearningPolicy, routing_policy
from orkester.errors import InputError, nearest
from orkester.evals.records.block import Block
from orkester.evals.running.runner import BlockPlan
from orkester.evals.summaries.measurement import Measurement, measure
from orkester.graphs import Team
from orkester.optim.study.engine_parts import RESTARTS
from orkester.optim.study.study import Study
from orkester.serving.catalogue import Catalogue
from orkester.serving.chat import ChatModel
from orkester.serving.energy import IdlePower
from orkester.serving.pool import Pool

from .measurement_setup import MeasurementSetup
from .study_loading import load_study


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
    _require_fit(team, study)
    setup = MeasurementSetup.of(study, catalogue)
    with tempfile.TemporaryDirectory(prefix="orkester-") as logs, setup.meter:
        return asyncio.run(_measured(setup, team, setup.pool(Path(logs)), confirm=confirm))


def _require_fit(team: Team, study: Study) -> None:
    """Refuse a team that cannot run in this study."""
    team.check()
    if foreign := [name for name in team.models if name not in study.models]:
        raise InputError(f"the team wants {foreign[0]!r}, but the study's models are {', '.join(study.models)}")
    folder = study.path.parent
    if learnt := [name for name in team.policies if isinstance(routing_policy(name, folder=folder), LearningPolicy)]:
        raise InputError(
            f"the routing policy {learnt[0]!r} learns from the records of a run, so the team can be measured only by "
            "tune. load_team(FILE) reads a team that a run has measured"
        )
    if unknown := [name for name in team.engine if name not in RESTARTS]:
        raise InputError(f"the team wants the engine option {nearest(unknown[0], RESTARTS)}")


async def _measured(setup: MeasurementSetup, team: Team, pool: Pool, *, confirm: bool) -> Measurement:
    study = setup.study
    examples = study.task.confirm if confirm else study.search_examples
    size = study.file.measure.block
    runner = setup.runner()

    async def judges(block: Block) -> Mapping[str, ChatModel]:
        del block
        return (await pool.lease(study.task.scorer_models)).models_without_preamble

    blocks = []
    async with pool:
        idle = IdlePower(setup.meter)
        for index, start in enumerate(range(0, len(examples), size)):
            lease = await pool.lease(team.models, team.engine)
            plan = BlockPlan(
                team=team,
                examples=examples[start : start + size],
                phase="confirm" if confirm else "search",
                index=index,
                policies=study.routing.policies,
            )
            block = await runner.run(
                plan,
                lease.models,
                engines=lease.facts,
                metrics=lease.metrics,
                idle_w=await idle.measure(pool.resident_engines()),
                judges=judges,
            )
            blocks.append(block)
    return measure(blocks, study.file.energy.footprint)
