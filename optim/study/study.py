"""A study: a checked study file with its data, models and space."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orkester.evals.records.block import Phase
from orkester.evals.scorers import ScoringFunction
from orkester.evals.task import Example, Task
from orkester.graphs import Team
from orkester.serving.catalogue import Model

from .engine_parts import EngineOptionsPart
from .parts import MeasurePart, Part
from .routing import Routing
from .space import Space
from .start_teams import as_entry
from .study_file import AUTO_SAMPLER, StudyFile

#: Options that only vLLM has.
VLLM_OPTIONS = ("prefix_cache", "max_num_active_seqs", "kv_cache_dtype", "quantization", "tensor_parallel")
#: Options that study files could not have when records had schema 1.
_NEW_OPTIONS = VLLM_OPTIONS
_NEW_MEASURES = ("stop_error", "reuse")


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study, ready to run: its task, models and space of teams. Made by ``load_study``.

    Attributes:
        file: The checked study file.
        path: The path of the study file. Other paths in the file are relative to its folder.
        task: The examples, how they are split, and the scorer.
        models: The models by name, in the file's order.
        space: The teams to choose from.
        routing: The routing policies of the teams.
        start: Teams that are measured first: those of the file, then those of earlier runs.
        notes: About the data, and what happened to teams that the file or earlier runs name; a line each.
    """

    file: StudyFile
    path: Path
    task: Task
    models: Mapping[str, Model]
    space: Space
    routing: Routing = field(default_factory=Routing)
    start: Sequence[Team] = ()
    notes: Sequence[str] = ()

    @property
    def name(self) -> str:
        """The name of the study, and of its run directory."""
        return self.file.name

    @property
    def search_examples(self) -> Sequence[Example]:
        """The examples that every team sees in the search, in order."""
        return self.task.search[: self.file.measure.examples]

    @property
    def sizes(self) -> dict[Phase, int]:
        """The number of examples that a team is measured on, by phase."""
        return {"search": len(self.search_examples), "confirm": len(self.task.confirm)}

    def identity(self) -> dict[str, Any]:
        """What makes two runs the same study: everything in the file except the budget, with the data and the weights.

        For ``start`` and ``warm_start`` it is the teams that they lead to.
        """
        asked = self.file.model_dump(mode="json", exclude={"budget", "start", "warm_start"})
        if self.start:
            asked["start"] = [as_entry(team) for team in self.start]
        # Keys that did not exist when a run was made must not make it another study.
        if asked["sampler"] == AUTO_SAMPLER:
            del asked["sampler"]
        if asked["task"]["order"] == "as_given":
            del asked["task"]["order"]
        if self.file.roles:
            asked["roles"] = {
                name: role.model_dump(mode="json", exclude_unset=True) for name, role in self.file.roles.items()
            }
        else:
            del asked["roles"]
        if not self.file.routing:
            del asked["routing"]
        newer: Mapping[str, tuple[type[Part], Sequence[str]]] = {
            "engine_options": (EngineOptionsPart, _NEW_OPTIONS),
            "measure": (MeasurePart, _NEW_MEASURES),
        }
        for part, (model, names) in newer.items():
            for name in names:
                if asked[part][name] == model.model_fields[name].default:
                    del asked[part][name]
        if energy := self.file.energy.model_dump(mode="json", exclude_defaults=True):
            asked["energy"] = energy
        else:
            del asked["energy"]
        asked["task"]["data_sha256"] = self.task.data_sha256
        # Scores of two versions of a scorer must not be mixed. Before there was a second version, it was not recorded.
        if (version := self.task.scorer.version) not in {"1", ScoringFunction.version}:
            asked["task"]["scorer_version"] = version
        asked["models"] = {
            name: {"source": model.source, "sha256": model.sha256}
            | ({"request": model.request.as_json()} if model.request else {})
            for name, model in self.models.items()
        }
        return asked

    @property
    def id(self) -> str:
        """A short and stable name: the first digits of a hash of the identity."""
        import json

        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()[:12]
