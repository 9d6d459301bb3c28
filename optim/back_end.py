"""From what a study says of models and engines to a pool that serves them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from orkester.errors import ModelError
from orkester.evals.task import Example
from orkester.serving.catalogue import Catalogue, Model
from orkester.serving.chat import Message
from orkester.serving.energy import EstimateMeter, Meter, UnavailableMeter
from orkester.serving.engines import Engine, EngineOptions, ExternalEngine, FakeEngine, LlamaCppEngine
from orkester.serving.pool import Pool, Served

from .study_file import EngineOptionsPart, ExternalPart, FakePart, StudyFile


def model_of(file: StudyFile, name: str, catalogue: Catalogue, folder: Path) -> Model:
    """One of a study's models. Endpoints run elsewhere and fakes need no weights, so any name will do there.

    Args:
        file: the study file.
        name: as in its ``models``.
        catalogue: where names come from.
        folder: of the study file, which paths in it are relative to.

    Raises:
        InputError: the name is not in the catalogue.
    """
    match file.engine:
        case ExternalPart(base_url=url):
            return Model(name=name, source=url)
        case FakePart():
            return Model(name=name, source="fake")
        case _:
            return catalogue.find(name, folder=folder)


def missing_weights(models: Mapping[str, Model], catalogue: Catalogue) -> Sequence[Model]:
    """Models whose weights have to be fetched first."""
    return [model for model in models.values() if needs_weights(model) and catalogue.locate(model) is None]


def needs_weights(model: Model) -> bool:
    """Whether an engine on this host has to read the model from disk."""
    return model.source != "fake" and not model.source.startswith(("http://", "https://"))


def meter_for(engine: object) -> Meter:
    """The meter that can see what this kind of engine uses."""
    if isinstance(engine, ExternalPart):
        return UnavailableMeter("the endpoint runs elsewhere")
    return EstimateMeter()


def open_pool(
    *,
    models: Mapping[str, Model],
    engine: object,
    options: EngineOptionsPart,
    concurrency: int,
    deadline_s: float,
    shots: Sequence[Message],
    catalogue: Catalogue,
    meter: Meter,
    logs: Path,
    folder: Path,
) -> Pool:
    """A pool that serves the models; engines start when they are first leased.

    Args:
        models: by name.
        engine: the study file's ``engine``.
        options: its ``engine_options``.
        concurrency: examples under way at once; engines get places for more, since teams fan out.
        deadline_s: of one example, so of one call at most.
        shots: worked examples as a conversation, which base models see before every question.
        catalogue: knows where weights are.
        meter: is told the engines' processes.
        logs: folder for the engines' output.
        folder: of the study file, which paths in it are relative to.

    Raises:
        ModelError: weights are absent.
    """
    served: dict[str, Served] = {}
    for name, model in models.items():
        weights = catalogue.locate(model) if needs_weights(model) else None
        if needs_weights(model) and weights is None:
            raise ModelError(f"the weights of {name} are not here; fetch them: orkester models pull {name}")
        served[name] = Served(
            model=model,
            weights=weights,
            engine=_engine(engine, name, folder),
            preamble=tuple(shots) if model.base else (),
        )
    return Pool(
        served,
        options=EngineOptions(
            slots=options.slots or 2 * concurrency,
            context_tokens=options.context_tokens,
            threads=options.threads,
            prefix_caching=options.prefix_caching,
        ),
        log_dir=logs,
        meter=meter,
        deadline_s=deadline_s,
    )


def _engine(engine: object, name: str, folder: Path) -> Engine:
    match engine:
        case ExternalPart():
            return ExternalEngine(
                engine.base_url,
                model=name,
                api_key_env=engine.api_key_env,
                requests_per_s=engine.requests_per_s,
                concurrency=engine.concurrency,
            )
        case FakePart():
            return FakeEngine(engine.fake, folder=folder)
        case _:
            return LlamaCppEngine()


def shots_as_messages(shots: Sequence[Example]) -> tuple[Message, ...]:
    """Worked examples as a conversation: the question asked, the expected answer given."""
    messages: list[Message] = []
    for shot in shots:
        expected = shot.expected[0] if isinstance(shot.expected, list) else shot.expected
        messages += [{"role": "user", "content": shot.question}, {"role": "assistant", "content": str(expected)}]
    return tuple(messages)
