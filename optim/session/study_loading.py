"""From the path of a study file to a study that is ready to run: data, models, space and teams to begin with."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from orkester.agents import Role
from orkester.errors import InputError, nearest
from orkester.evals.data import load_data
from orkester.evals.objectives import objective
from orkester.evals.scorers import (
    AnyScorer,
    DeferredScorer,
    ScoringFunction,
    needs_expected,
    scorer,
    takes_objects,
    written,
)
from orkester.evals.task import Example, Task, split
from orkester.graphs import Team
from orkester.optim.goals.goal import limit
from orkester.optim.run.warm_start import warm_start
from orkester.optim.search.samplers import require
from orkester.optim.study.engine_parts import EngineOptionsPart, ExternalPart, FakePart, PluginPart, VllmPart
from orkester.optim.study.request_settings import request_settings
from orkester.optim.study.routing import Routing, routing_of
from orkester.optim.study.space import Space, space_of
from orkester.optim.study.start_teams import start_teams
from orkester.optim.study.study import VLLM_OPTIONS, Study
from orkester.optim.study.study_file import StudyFile, read_study_file
from orkester.optim.study.yaml_source import Source, listed, short
from orkester.serving.catalogue import Catalogue, Model
from orkester.serving.energy import MeterRequest, require_meter

from .back_end import model_of, require_engine


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
    task, wrong, data_notes = _task(file, source, path.parent, space.roles)
    faults += wrong
    engine_faults = _about_engine(file, source, path.parent)
    models: dict[str, Model] = {}
    if not (engine_faults and isinstance(file.engine, PluginPart)):  # which models it takes, the engine knows
        models, wrong = _models(file, source, catalogue or Catalogue.default(), path.parent)
        faults += wrong
    faults += engine_faults
    faults += _about_limits(file, source)
    faults += _about_context(file, source, models, catalogue or Catalogue.default())
    faults += _about_sampler(file, source, path.parent)
    if task is not None:
        faults += _about_judges(file, source, task, models)
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
            source.error(
                ["task", "shots"],
                f"{name}, which is not chatted with, learns a task from examples: set shots to 2 or more",
            )
            for name, model in models.items()
            if model.base
        ]
    faults += _about_energy(file, source, path.parent)
    routing = Routing()
    if not faults:
        routing, wrong = routing_of(file, source, space)
        faults += wrong
    if task is not None and not faults:
        faults += _about_dropped_temperatures(file, source, space, task)
    start, notes = _first(file, source, space, path.parent, faults)
    if faults or task is None:
        raise InputError(listed(faults))
    return Study(
        file=file,
        path=path,
        task=task,
        models=models,
        space=space,
        routing=routing,
        start=start,
        notes=[*data_notes, *_unusual(file), *_about_own_judges(space, task), *notes],
    )


def _first(
    file: StudyFile, source: Source, space: Space, folder: Path, faults: list[str]
) -> tuple[Sequence[Team], Sequence[str]]:
    """The teams to be measured first, and what to say of them; faults are added to those there are."""
    if faults:  # a space that is not what was meant fits no team
        return (), ()
    own, wrong = start_teams(file, source, space)
    earlier, unreadable = warm_start(file, source, space, folder)
    faults += [*wrong, *unreadable]
    teams = {team.id: team for team in (*own.teams, *earlier.teams)}
    return list(teams.values()), [*own.notes, *earlier.notes]


def _models(file: StudyFile, source: Source, catalogue: Catalogue, folder: Path) -> tuple[dict[str, Model], list[str]]:
    models: dict[str, Model] = {}
    faults: list[str] = []
    if isinstance(file.engine, FakePart) and (data := file.engine.fake.data) and not (folder / data).is_file():
        faults.append(source.error(["engine", "fake", "data"], f"there is no file {folder / data}"))
    if file.task.completion and isinstance(file.engine, ExternalPart):
        faults.append(source.error(["task", "completion"], "the owner of the server decides how it builds prompts"))
    for i, name in enumerate(file.task.completion):
        if name not in file.model_names:
            faults.append(
                source.error(
                    ["task", "completion", i], f"is not a model of the study: {nearest(name, file.model_names)}"
                )
            )
    for i, name in enumerate(file.model_names):
        try:
            found = model_of(file, name, catalogue, folder)
            model = replace(found, request=file.requests.get(name, found.request))
            models[name] = model.for_completion() if name in file.task.completion else model
        except InputError as error:
            faults.append(source.error(["models", i], str(error)))
    return models, faults


def _about_dropped_temperatures(file: StudyFile, source: Source, space: Space, task: Task) -> list[str]:
    """Searches over the temperature of a model whose requests have none: all its values would be the same calls."""
    faults = []
    for model, changes in file.requests.items():
        if "temperature" not in changes.drop:
            continue
        for name, settings in request_settings(space, task, model).items():
            if len(settings.temperatures) > 1:
                knob = [knob for knob in ("temperature",) if knob in space.grids[name]]
                faults.append(
                    source.error(
                        ["search", name, *knob],
                        f"is searched, but request.drop leaves the temperature out of all requests to {model}: the "
                        "teams would differ only in name. Give one value, such as temperature: 1.0, or search the "
                        "other models in a study of their own",
                    )
                )
    return faults


def _about_engine(file: StudyFile, source: Source, folder: Path) -> list[str]:
    """Options that the engine does not have, and a Python that is not there."""
    engine, options = file.engine, file.engine_options
    faults: list[str] = []
    if isinstance(engine, PluginPart):
        try:
            require_engine(engine.name, engine.options, folder)
        except InputError as error:
            faults.append(source.error(["engine"], str(error)))
        return faults
    if isinstance(engine, VllmPart) and (python := engine.vllm.interpreter(folder)) and not os.access(python, os.X_OK):
        faults.append(source.error(["engine", "vllm", "python"], f"there is no program {python}"))
    elif isinstance(engine, VllmPart) and python and python.is_dir():
        faults.append(
            source.error(["engine", "vllm", "python"], f"{python} is a folder; name the Python in it: bin/python")
        )
    if engine == "vllm" or isinstance(engine, VllmPart | FakePart):
        return faults
    external = isinstance(engine, ExternalPart)
    if external:
        why = "the owner of the server decides how it starts; leave this out"
    elif engine == "auto":
        why = "only vLLM has this option, and auto may choose llama.cpp; leave it out, or name the engine: vllm"
    else:
        why = "only vLLM has this option; leave it out, or choose the engine vllm"
    defaults = EngineOptionsPart.model_fields
    given = [name for name in VLLM_OPTIONS if getattr(options, name) != defaults[name].default]
    if external and isinstance(options.prefix_caching, list):
        given.append("prefix_caching")
    return faults + [source.error(["engine_options", name], why) for name in given]


def _about_limits(file: StudyFile, source: Source) -> list[str]:
    """Constraints that no team can keep, whatever is measured."""
    faults = []
    for name, text in file.constraints.items():
        comparison, bound = limit(text)
        share, unit = objective(name).share, objective(name).unit
        if share and (bound > 1 if comparison == ">=" else bound < 0):
            why = "it is a share, from 0 to 1"
        elif not share and comparison == "<=" and (bound < 0 or (unit and bound == 0)):
            why = f"it is {'above' if unit else 'not below'} 0"
        else:
            continue
        faults.append(
            source.error(["constraints", name], f"no team can keep {text}: {why}; change the limit or remove it")
        )
    return faults


def _about_context(file: StudyFile, source: Source, models: Mapping[str, Model], catalogue: Catalogue) -> list[str]:
    """Answers that are longer than the context, and a context that is longer than that of any model."""
    if isinstance(file.engine, ExternalPart | PluginPart | FakePart):
        return []
    faults = []
    context = file.engine_options.context_tokens
    limits = [(["task", "max_tokens"], file.task.max_tokens)]
    limits += [(["roles", name, "max_tokens"], role.max_tokens) for name, role in file.roles.items() if role.max_tokens]
    for place, tokens in limits:
        if tokens >= context:
            faults.append(
                source.error(
                    place,
                    f"{tokens:,} tokens do not fit into the context with a prompt: engine_options.context_tokens is "
                    f"{context:,}",
                )
            )
    trained = [catalogue.context_tokens(model) for model in models.values()]
    known = [tokens for tokens in trained if tokens is not None]
    given = "context_tokens" in file.engine_options.model_fields_set
    if given and known and len(known) == len(trained) and context > max(known):
        faults.append(
            source.error(
                ["engine_options", "context_tokens"],
                f"{context:,} tokens are more than any of the models was trained with; the most is {max(known):,}",
            )
        )
    return faults


def _about_judges(file: StudyFile, source: Source, task: Task, models: Mapping[str, Model]) -> list[str]:
    """Models that the scorer asks, and that are not in the study or cannot be asked."""
    name = task.scorer.name
    place = ["task", "scorer", *([name] if isinstance(file.task.scorer, dict) else [])]
    faults = []
    for model in task.scorer_models:
        if model not in file.model_names:
            faults.append(
                source.error(
                    place,
                    f"{name} asks a model that is not one of the study: {nearest(model, file.model_names)}. Add it to "
                    "models; teams use it only if a model knob of the search names it, or names no models",
                )
            )
        elif model in models and models[model].base:
            faults.append(source.error(place, f"{name} cannot ask {model}, which is not chatted with"))
    return faults


def _about_own_judges(space: Space, task: Task) -> list[str]:
    """Models that judge teams that they take part in, a line each."""
    return [
        f"{model} judges teams that it takes part in. Models prefer their own answers: name other "
        "models in the model knobs of the search, or take another judge"
        for model in task.scorer_models
        if request_settings(space, task, model)
    ]


def _unusual(file: StudyFile) -> list[str]:
    """Wishes that may be mistakes, a line each."""
    return [
        f"objectives.{name} is {way}d in this study; usually it is {objective(name).direction}d. Is this intended?"
        for name, way in file.objectives.items()
        if way != objective(name).direction
    ]


def _about_sampler(file: StudyFile, source: Source, folder: Path) -> list[str]:
    try:
        require(file.sampler, folder=folder)
    except InputError as error:
        return [source.error(["sampler"], str(error))]
    return []


def _about_energy(file: StudyFile, source: Source, folder: Path) -> list[str]:
    """Joules and prices that cannot be had, so nothing may depend on them; a recording that is not there."""
    energy = file.energy
    faults: list[str] = []
    place = ["energy", "meter"] if isinstance(energy.meter, str) else ["energy", "meter", energy.meter_name]
    try:
        require_meter(energy.meter_name, energy.meter_options, MeterRequest(gpus=False, folder=folder))
    except InputError as error:
        faults.append(source.error(place, str(error)))
    if energy.meter_name == "replay" and not (recorded := folder / str(energy.meter_options.get("path"))).is_file():
        faults.append(source.error(place, f"there is no file {recorded}"))
    if isinstance(file.engine, ExternalPart):
        return faults + _of_joules(file, source)
    places: list[tuple[str, Mapping[str, str]]] = [("objectives", file.objectives), ("constraints", file.constraints)]
    for key, names in places:
        for lack, name in ((objective(name).lack, name) for name in names):
            if lack is not None and (why := lack(energy.footprint)):
                faults.append(source.error([key, name], why))
    return faults


def _of_joules(file: StudyFile, source: Source) -> list[str]:
    """Refuse what depends on the joules of an endpoint that Orkester does not start."""
    why = "the energy of a server that someone else runs is unavailable"
    said = "objectives" in file.model_fields_set
    without = ", ".join(f"{name}: {way}" for name, way in file.objectives.items() if not objective(name).of_joules)
    remedy = "leave it out, or serve the model here" if said else f"give objectives without it: {{{without}}}"
    wanted = [("objectives", name, remedy) for name in file.objectives]
    wanted += [("constraints", name, "leave it out, or serve the model here") for name in file.constraints]
    faults = [source.error([key, name], f"{why}: {what}") for key, name, what in wanted if objective(name).of_joules]
    if file.budget.joules is not None:
        faults.append(source.error(["budget", "joules"], f"{why}: give llm_calls, tokens or minutes instead"))
    return faults


def _task(
    file: StudyFile, source: Source, folder: Path, roles: Mapping[str, Role]
) -> tuple[Task | None, list[str], Sequence[str]]:
    """The task, what is wrong with it, and what a user should know about its data."""
    part = file.task
    faults: list[str] = []
    notes: Sequence[str] = ()
    chosen: AnyScorer | None = None
    parts: tuple[list[Example], list[Example], list[Example]] | None = None
    try:
        chosen = scorer(part.scorer, folder=folder)
    except InputError as error:
        inside = list(part.scorer) if isinstance(part.scorer, dict) else []
        faults.append(source.error(["task", "scorer", *inside], str(error)))
    try:
        data = load_data(
            part.data,
            folder,
            fields=part.fields,
            objects=chosen is None or takes_objects(chosen),
            answers=chosen is not None and needs_expected(chosen),
        )
    except InputError as error:
        faults.append(source.error(["task", "data"], str(error)) if part.data.startswith("hf:") else str(error))
    else:
        notes = data.notes
        try:
            parts = split(data.examples, confirm=part.confirm, shots=part.shots, seed=file.seed, order=part.order)
        except InputError as error:
            faults.append(source.error(["task"], str(error)))
        if parts is not None and (unsolved := next((shot for shot in parts[0] if shot.expected is None), None)):
            faults.append(source.error(["task", "shots"], f"the example {unsolved.id!r} has no answer to show"))
        if chosen is not None and (unscorable := _unscorable(chosen, data.examples)):
            faults.append(source.error(["task", "scorer"], unscorable))
    if chosen is None or parts is None:
        return None, faults, notes
    shots, search, confirm = parts
    task = Task(
        name=file.name,
        shots=tuple(shots),
        search=tuple(search),
        confirm=tuple(confirm),
        scorer=chosen,
        instruction=part.instruction,
        max_tokens=part.max_tokens,
        extract=part.extract,
        data_sha256=data.sha256,
        roles=roles,
    )
    return task, faults, notes


def _unscorable(chosen: AnyScorer, examples: Sequence[Example]) -> str:
    """An example whose right answer the scorer gives no point: every team would fail it."""
    if isinstance(chosen, DeferredScorer):
        faults = ((example, chosen.fault(example.expected)) for example in examples)
        return next((f"{chosen.name} cannot use the answer of {ex.id!r}: {why}" for ex, why in faults if why), "")
    for example in () if isinstance(chosen, ScoringFunction) else examples:
        for right in example.expected if isinstance(example.expected, list) else [example.expected]:
            if right is not None and chosen.score(written(right), right) == 0:
                return f"{chosen.name} gives no point to {short(right)}, which the example {example.id!r} says is right"
    return ""
