"""Team files: a team on disk, with everything that is needed to run it without its study."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from orkester.agents import Role, RoleFault
from orkester.agents.packs import RoleEntry
from orkester.agents.routing import LearningPolicy, RoutingPolicy, RoutingRecord, routing_policy
from orkester.errors import InputError, nearest
from orkester.evals.scorers import scorer
from orkester.evals.task import reader
from orkester.graphs import EngineValue, KnobValue, Team, TeamSettings, topology
from orkester.optim.run.results import Results, TeamResult
from orkester.optim.study.engine_parts import RESTARTS, EngineOptionsPart, EngineSpec, PluginPart
from orkester.optim.study.study import Study
from orkester.serving.catalogue import Catalogue, Model
from orkester.serving.chat import ChatModel
from orkester.serving.energy import UnavailableMeter
from orkester.serving.request_changes import RequestChanges

from .back_end import back_end, open_pool, require_engine, shots_as_messages

SCHEMA = 5


class RoutingEntry(BaseModel):
    """A routing policy of a team: its options, and the records that it was fitted to, if it learns."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    options: dict[str, Any] = {}
    records: list[RoutingRecord] = []


class TeamFile(BaseModel):
    """The content of ``teams/<id>.json``.

    ``engine_options`` are the options that the team was measured with. ``engine_searched`` names the options that its
    study searched; these are part of the team. ``roles`` has all roles of the topology, as they were in the study.
    ``routing`` has the routing policies that the team uses.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = SCHEMA
    id: str
    study: str
    topology: str
    knobs: dict[str, KnobValue]
    models: dict[str, dict[str, Any]]
    engine: EngineSpec
    engine_options: EngineOptionsPart
    engine_searched: list[str] = []
    concurrency: int
    deadline_s: float
    instruction: str
    max_tokens: int
    roles: dict[str, RoleEntry] = {}
    routing: dict[str, RoutingEntry] = {}
    extract: str | None
    scorer: str | dict[str, Any]
    folder: str
    shots: list[dict[str, Any]]
    measured: dict[str, Any]


def write_team(
    path: Path, study: Study, result: TeamResult, results: Results, *, routing_records: Sequence[RoutingRecord] = ()
) -> None:
    """Write a team of a study to a file, in one step: the file is complete or does not change.

    Args:
        path: The file.
        study: The study.
        result: The team with its results.
        results: The results of all teams, for the names of the objectives.
        routing_records: The records that the study's learning policies were fitted to.
    """
    part = study.file.task
    content = TeamFile(
        id=result.team.id,
        study=study.name,
        topology=result.team.topology,
        knobs=dict(result.team.knobs),
        models={name: _plain(study.models[name]) for name in result.team.models},
        engine=study.file.engine,
        engine_options=study.file.engine_options.settled(result.team.engine),
        engine_searched=list(result.team.engine),
        concurrency=study.file.measure.concurrency,
        deadline_s=study.file.measure.deadline_s,
        instruction=part.instruction,
        max_tokens=part.max_tokens,
        roles={
            name: RoleEntry.of(study.task.roles.get(name) or role)
            for name, role in topology(result.team.topology).default_roles.items()
        },
        routing={
            name: RoutingEntry(
                options=study.file.routing.get(name, {}),
                records=study.routing.records_for(name, routing_records),
            )
            for name in result.team.policies
        },
        extract=part.extract,
        scorer=part.scorer,
        folder=str(study.path.parent.resolve()),
        shots=[dict(message) for message in shots_as_messages(study.task.shots)],
        measured=result.as_json(results.objectives),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(content.model_dump_json(indent=2) + "\n", encoding="utf-8")
    draft.replace(path)


@dataclass(frozen=True, kw_only=True)
class SavedTeam:
    """A team with the settings that it was measured with. ``load_team`` makes it.

    Attributes:
        team: The team; ``orkester.graphs.topology(team.topology).graph`` is its compiled LangGraph graph.
        file: The content of the team file.
    """

    team: Team
    file: TeamFile

    @property
    def settings(self) -> TeamSettings:
        """The settings of the task, and the roles of this team."""
        folder = Path(self.file.folder)
        chosen = scorer(self.file.scorer, folder=folder)
        return TeamSettings(
            instruction=self.file.instruction,
            max_tokens=self.file.max_tokens,
            read=reader(self.file.extract),
            key=chosen.key,
            roles=_roles(self.file),
            policies=_policies(self.file),
        )

    @asynccontextmanager
    async def models(self, catalogue: Catalogue | None = None) -> AsyncIterator[Mapping[str, ChatModel]]:
        """Start the engines that the team needs, yield its models, and stop the engines at the end.

        Raises:
            ModelError: Weights are missing.
            EngineError: An engine did not start.
        """
        with tempfile.TemporaryDirectory(prefix="orkester-") as logs:
            folder = Path(self.file.folder)
            pool = open_pool(
                back_end=back_end(self.file.engine, folder),
                models={name: _model(plain) for name, plain in self.file.models.items()},
                options=self.file.engine_options,
                concurrency=self.file.concurrency,
                deadline_s=self.file.deadline_s,
                shots=self.file.shots,
                catalogue=catalogue or Catalogue.default(),
                meter=UnavailableMeter("a saved team is not measured"),
                logs=Path(logs),
            )
            async with pool:
                yield (await pool.lease(self.team.models, self.team.engine)).models

    async def answer(self, question: Any) -> str:
        """Answer one question; the engines start and stop for it. For many questions, use ``models``."""
        async with self.models() as models:
            return await self.team.answer(question, models, self.settings)

    def run(self, question: Any) -> str:
        """Answer one question, as ``answer`` does, without ``await``."""
        return asyncio.run(self.answer(question))


def load_team(path: str | Path) -> SavedTeam:
    """Read a team that a study wrote to ``teams/<id>.json``.

    Args:
        path: The team file.

    Returns:
        The team.

    Raises:
        InputError: The file does not exist, is not a team file, or was written by a newer version of Orkester.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such team file; a study writes its front to runs/NAME/teams/") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: this is not a team file (JSON was expected): {error}") from error
    if isinstance(data, dict) and isinstance(version := data.get("schema_version"), int) and version > SCHEMA:
        raise InputError(
            f"{path}: this file was written by a newer version of Orkester (schema {version}; this version reads up to "
            f"{SCHEMA}); upgrade Orkester"
        )
    try:
        file = TeamFile.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: this is not a team file: {where}: {first['msg']}") from error
    try:
        folder = Path(file.folder)
        topology(file.topology, folder=folder)
        if isinstance(file.engine, PluginPart):
            require_engine(file.engine.name, file.engine.options, folder)
        team = Team(file.topology, file.knobs, _engine(file)).check()
        _roles(file)
        _policies(file)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if absent := [name for name in team.models if name not in file.models]:
        raise InputError(f"{path}: the team uses the model {absent[0]!r}, which is not among the models of the file")
    return SavedTeam(team=team, file=file)


def _engine(file: TeamFile) -> dict[str, EngineValue]:
    """The engine options that are part of the team.

    Raises:
        InputError: A study cannot search one of the options, or an option is still a list of values.
    """
    if unknown := [name for name in file.engine_searched if name not in RESTARTS]:
        raise InputError(f"engine_searched: a study cannot search {nearest(unknown[0], RESTARTS)}")
    if open_ := [name for name in RESTARTS if isinstance(getattr(file.engine_options, name), list)]:
        raise InputError(f"engine_options.{open_[0]}: a team has one value, not a list to choose from")
    return {name: getattr(file.engine_options, name) for name in file.engine_searched}


def _roles(file: TeamFile) -> dict[str, Role]:
    """The roles of the team; none if an older version of Orkester wrote the file, because it used the role packs.

    Raises:
        InputError: A role cannot be used.
    """
    roles: dict[str, Role] = {}
    for name, entry in file.roles.items():
        try:
            roles[name] = entry.apply_to(Role(name=name))
        except RoleFault as fault:
            raise InputError(f"roles.{name}.{fault}") from fault
    return roles


def _policies(file: TeamFile) -> dict[str, RoutingPolicy]:
    """The routing policies of the team; those that learn are fitted to their records again.

    Raises:
        InputError: A policy does not exist or does not take its options.
    """
    policies: dict[str, RoutingPolicy] = {}
    for name, entry in file.routing.items():
        policy = routing_policy(name, entry.options, folder=Path(file.folder))
        policies[name] = policy.fitted(entry.records) if isinstance(policy, LearningPolicy) else policy
    return policies


def _plain(model: Model) -> dict[str, Any]:
    from dataclasses import asdict

    plain = asdict(model)
    del plain["request"]
    return plain | ({"request": model.request.as_json()} if model.request else {})


def _model(plain: Mapping[str, Any]) -> Model:
    changes = RequestChanges.of(plain.get("request", {}))
    return Model(**{**plain, "stop": tuple(plain.get("stop", ())), "request": changes})
