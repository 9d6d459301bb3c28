"""A study: a checked study file with its data, models and space."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orkester.errors import InputError
from orkester.evals.scorers import scorer
from orkester.evals.task import Example, Task, load_examples, split
from orkester.serving.catalogue import Catalogue, Model

from .back_end import models_of
from .space import Space, space_of
from .study_file import Source, StudyFile, read_study_file


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is searched, ready to run. Made by ``load_study``.

    Attributes:
        file: what was asked.
        path: the study file; other paths in it are relative to its folder.
        task: examples, split, and scorer.
        models: by name, in the file's order.
        space: the teams to choose from.
    """

    file: StudyFile
    path: Path
    task: Task
    models: Mapping[str, Model]
    space: Space

    @property
    def name(self) -> str:
        """Also the name of the run directory."""
        return self.file.name

    @property
    def search_examples(self) -> Sequence[Example]:
        """The examples every team sees in the search, in order."""
        return self.task.search[: self.file.measure.examples]

    def identity(self) -> dict[str, Any]:
        """What makes two runs the same study: everything asked but the budget, with the data and the weights."""
        asked = self.file.model_dump(mode="json", exclude={"budget"})
        asked["task"]["data_sha256"] = self.task.data_sha256
        asked["models"] = {
            name: {"source": model.source, "sha256": model.sha256} for name, model in self.models.items()
        }
        return asked

    @property
    def id(self) -> str:
        """Short and stable: the first digits of a hash of the identity."""
        import json

        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()[:12]


def load_study(path: str | Path, *, catalogue: Catalogue | None = None) -> Study:
    """Read a study file and all it names, without starting or fetching anything.

    Args:
        path: the YAML file.
        catalogue: where model names come from; the one that comes with Orkester if None.

    Raises:
        InputError: something in it cannot be used; the message has a line for every fault found.
    """
    path = Path(path)
    file, source = read_study_file(path)
    space, faults = space_of(file, source)
    task: Task | None = None
    models: Mapping[str, Model] = {}
    try:
        task = _task(file, source, path.parent)
    except InputError as error:
        faults.append(str(error))
    try:
        models = models_of(file, catalogue or Catalogue.default(), path.parent)
    except InputError as error:
        faults.append(source.error(["models"], str(error)))
    if task is not None and file.measure.examples is not None and file.measure.examples > len(task.search):
        faults.append(
            source.error(
                ["measure", "examples"],
                f"asks for {file.measure.examples} examples, but {len(task.search)} are left for the search "
                f"({len(task.shots)} are shots and {len(task.confirm)} held out for confirmation)",
            )
        )
    if file.task.shots == 0:
        faults += [
            source.error(["task"], f"the base model {name} learns a task from examples: set shots to 2 or more")
            for name, model in models.items()
            if model.base
        ]
    if "energy_j" in file.objectives and hasattr(file.engine, "base_url"):
        faults.append(
            source.error(
                ["objectives", "energy_j"],
                "the energy of an endpoint that runs elsewhere is unavailable: leave it out, or serve the model here",
            )
        )
    if faults or task is None:
        raise InputError("\n".join(faults))
    return Study(file=file, path=path, task=task, models=models, space=space)


def _task(file: StudyFile, source: Source, folder: Path) -> Task:
    part = file.task
    try:
        chosen = scorer(part.scorer, folder=folder)
    except InputError as error:
        raise InputError(source.error(["task", "scorer"], str(error))) from error
    data = folder / part.data
    examples = load_examples(data, fields=part.fields)
    try:
        shots, search, confirm = split(examples, confirm=part.confirm, shots=part.shots, seed=file.seed)
    except InputError as error:
        raise InputError(source.error(["task"], str(error))) from error
    return Task(
        name=file.name,
        shots=tuple(shots),
        search=tuple(search),
        confirm=tuple(confirm),
        scorer=chosen,
        instruction=part.instruction,
        max_tokens=part.max_tokens,
        extract=part.extract,
        data_sha256=hashlib.sha256(data.read_bytes()).hexdigest(),
    )
