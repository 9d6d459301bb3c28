"""From what a study says of models and engines to a pool that serves them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from orkester.errors import EngineError, InputError, ModelError, unknown
from orkester.evals.objectives import objective
from orkester.evals.task import Example
from orkester.optim.study.engine_parts import (
    EngineOptionsPart,
    EngineSpec,
    ExternalPart,
    FakePart,
    PluginPart,
    VllmPart,
    VllmSettings,
)
from orkester.optim.study.parts import EnergyPart
from orkester.optim.study.study_file import StudyFile
from orkester.registry import require_like, wrong_options
from orkester.serving import machine
from orkester.serving.cache import cache_folder
from orkester.serving.catalogue import Catalogue, Model
from orkester.serving.chat import Message
from orkester.serving.energy import AUTO_METER, Meter, MeterRequest, UnavailableMeter, choose
from orkester.serving.engines import (
    ENGINES,
    Accelerator,
    Engine,
    EngineOptions,
    EnginePlugin,
)
from orkester.serving.environments import VllmEnvironment, convert, find_vllm
from orkester.serving.lease import EngineEvent, ServedModel
from orkester.serving.ledger import Capacity
from orkester.serving.pool import Pool, ignore_event

#: Share of the memory that was free when the study began which its engines may use: others need some too.
_HOST_SHARE = 0.9
_DEVICE_SHARE = 0.97


def _say_nothing(line: str) -> None:
    del line


@dataclass(frozen=True, kw_only=True)
class BackEnd:
    """Which engine serves a study, everything decided. Made by ``back_end``.

    Attributes:
        kind: of engine: its name among the plug-ins.
        asked: the study file's ``engine``.
        folder: of the study file, which paths in it are relative to.
        vllm: the environment, where vLLM serves.
        accelerator: the GPU it uses; None for the CPU.
        device: what a calibration of energy holds for, by its name.
        capacity: memory that the engines may use together.
    """

    kind: str
    asked: object
    folder: Path
    vllm: VllmEnvironment | None = None
    accelerator: Accelerator | None = None
    device: str = ""
    capacity: Capacity = field(default_factory=Capacity)

    @property
    def plugin(self) -> EnginePlugin:
        """What is known of this kind of engine."""
        return ENGINES.get(self.kind, folder=self.folder)

    @property
    def on_gpus(self) -> bool:
        """Whether the engines run on GPUs of this host."""
        return self.accelerator is not None or self.plugin.gpus

    @property
    def identity(self) -> Mapping[str, str]:
        """What a run must not change when it goes on; nothing where the study file says it all."""
        return {"vllm": f"{self.vllm.version} ({self.vllm.build})"} if self.vllm else {}

    def model(self, model: Model) -> Model:
        """The model in the form that this engine reads."""
        return model.in_safetensors() if self.plugin.weights == "safetensors" else model

    @property
    def calibrations(self) -> Path:
        """Where calibrations of engines' energy are kept."""
        return cache_folder() / "calibrations"

    def meter(self, energy: EnergyPart | None = None, *, gpu_count: int = 1) -> Meter:
        """The meter that can see what this kind of engine uses.

        Args:
            energy: the study file's ``energy``; as by default if None.
            gpu_count: how many GPUs an engine uses, the first ones; others' joules are none of ours.

        Raises:
            InputError: the one that is named cannot be had.
        """
        part = energy or EnergyPart()
        if not self.plugin.here:
            return UnavailableMeter("the endpoint runs elsewhere")
        # A device's joules say nothing about a fake engine.
        name = "estimate" if self.kind == "fake" and part.meter_name == AUTO_METER else part.meter_name
        request = MeterRequest(gpus=self.on_gpus, gpu_count=gpu_count, folder=self.folder)
        return choose(name, request, {name: part.meter_options})

    def missing_weights(self, models: Mapping[str, Model], catalogue: Catalogue) -> Sequence[Model]:
        """Models whose weights have to be fetched first."""
        if self.plugin.weights is None:
            return []
        return [model for model in map(self.model, models.values()) if catalogue.locate(model) is None]

    def require_weights(self, models: Mapping[str, Model], catalogue: Catalogue) -> None:
        """See that all weights are here.

        Raises:
            ModelError: some are not; the message has the command that fetches them.
        """
        if absent := self.missing_weights(models, catalogue):
            names = " ".join(model.name for model in absent)
            form = "--for vllm " if self.plugin.weights == "safetensors" else ""
            raise ModelError(f"the weights of {names} are not here; fetch them: orkester models pull {form}{names}")

    def require_energy(self, file: StudyFile, path: Path, meter: Meter) -> None:
        """See that what is asked for can be measured here.

        Args:
            file: the study file.
            path: where it is, for the message.
            meter: that of the study.

        Raises:
            InputError: joules are, and there is no meter for them. A study without a number is better than a wrong one.
        """
        if meter.method == "unavailable" and file.budget.joules is not None:
            raise InputError(
                f"{path}: budget.joules cannot be kept: {meter.assumptions['reason']}. Mend that, or give llm_calls, "
                "tokens or minutes instead"
            )
        asked = [name for name in (*file.objectives, *file.constraints) if objective(name).of_joules]
        if meter.method == "unavailable" and asked:
            without = ", ".join(f"{name}: {way}" for name, way in file.objectives.items() if name not in asked)
            raise InputError(
                f"{path}: {asked[0]} cannot be had: {meter.assumptions['reason']}. Mend that, or leave energy out: "
                f"objectives: {{{without}}}"
            )


def back_end(engine: EngineSpec, folder: Path) -> BackEnd:
    """Decide which engine serves: looks for GPUs, and for vLLM where it may be the one.

    ``auto`` is vLLM where there is a GPU and a vLLM for it is installed, llama.cpp otherwise.

    Args:
        engine: the study file's ``engine``.
        folder: of the study file.

    Raises:
        InputError: vLLM was asked for and is not to be found.
        EngineError: what it was built for is not here.
    """
    decided = partial(BackEnd, asked=engine, folder=folder, device=machine.cpu_model())
    match engine:
        case ExternalPart():
            return decided(kind="external")
        case FakePart():
            return decided(kind="fake", capacity=Capacity(device_bytes=engine.fake.capacity_bytes))
        case PluginPart():
            return decided(kind=engine.name, capacity=_host_capacity())
    gpus, why_none = machine.gpus()
    environment: VllmEnvironment | None = None
    match engine:
        case VllmPart(vllm=VllmSettings() as settings) if (python := settings.interpreter(folder)) is not None:
            environment = VllmEnvironment.at(python)
        case "vllm" | VllmPart():
            environment = find_vllm()
            if environment is None:
                raise InputError(
                    "engine: vllm, but no vLLM for this machine is installed. Install it: orkester engines install "
                    "vllm; or name the Python that has one: engine: {vllm: {python: PATH}}"
                )
        case "auto" if gpus:
            environment = find_vllm()
    if environment is None:
        return decided(kind="llamacpp", capacity=_host_capacity())
    if environment.build == "cpu":
        return decided(kind="vllm", vllm=environment, capacity=_host_capacity())
    vendor = "nvidia" if environment.build == "cuda" else "amd"
    fitting = [gpu for gpu in gpus if gpu.vendor == vendor]
    if not fitting:
        raise EngineError(
            f"{environment} needs {'an NVIDIA' if vendor == 'nvidia' else 'an AMD'} GPU, and there is none: "
            f"{why_none or 'those here are of another maker'}. For the CPU: orkester engines install vllm --build cpu"
        )
    first = fitting[0]  # vLLM takes the first, and for tensor parallelism those after it
    return decided(
        kind="vllm",
        vllm=environment,
        accelerator=Accelerator(memory_bytes=first.memory_bytes),
        device=first.name,
        capacity=replace(_host_capacity(), device_bytes=round(first.free_bytes * _DEVICE_SHARE)),
    )


def _host_capacity() -> Capacity:
    return Capacity(host_bytes=round(machine.memory_bytes()[1] * _HOST_SHARE) or None)


def require_engine(name: str, options: Mapping[str, object], folder: Path) -> None:
    """See that an engine of another package, or ``module:name``, can be made with these options.

    Args:
        name: As in the study file.
        options: The engine's own.
        folder: Of the study file.

    Raises:
        InputError: There is no such engine, it cannot be imported, or it has no such option.
    """
    if ":" not in name and name not in ENGINES.names():
        names = [engine for engine in ENGINES.names() if engine not in {"external", "fake"}]
        raise InputError(
            f"{unknown('engine', name, ('auto', *names))}, {{vllm: {{…}}}}, {{base_url: …}} for a server that someone "
            "else runs, or module:name"
        )
    if fault := wrong_options(ENGINES.get(name, folder=folder).make, options):
        raise InputError(f"the engine {name!r} {fault}")


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
        case PluginPart(name=engine) if ENGINES.get(engine, folder=folder).weights is None:
            return Model(name=name, source=engine)
        case _:
            return catalogue.find(name, folder=folder)


def open_pool(
    *,
    back_end: BackEnd,
    models: Mapping[str, Model],
    options: EngineOptionsPart,
    concurrency: int,
    deadline_s: float,
    shots: Sequence[Message],
    catalogue: Catalogue,
    meter: Meter,
    logs: Path,
    traces: Path | None = None,
    on_event: Callable[[EngineEvent], None] = ignore_event,
    say: Callable[[str], None] = _say_nothing,
) -> Pool:
    """A pool that serves the models; engines start when they are first leased. Converts weights where that is needed.

    Args:
        back_end: which engine.
        models: by name.
        options: the study file's ``engine_options``.
        concurrency: examples under way at once; engines get places for more, since teams fan out.
        deadline_s: of one example, so of one call at most.
        shots: worked examples as a conversation, which base models see before every question.
        catalogue: knows where weights are.
        meter: is told the engines' processes.
        logs: folder for the engines' output.
        traces: folder for the engines' own spans; None for none.
        on_event: told what befalls engines.
        say: told what takes long before engines start, a line each.

    Raises:
        ModelError: weights are absent, or cannot be converted.
        EngineError: a model does not fit into memory.
    """
    back_end.require_weights(models, catalogue)
    served = {}
    for name, asked in models.items():
        model = back_end.model(asked)
        weights = catalogue.locate(model) if back_end.plugin.weights is not None else None
        if back_end.vllm is not None and weights is not None and not weights.is_dir():
            weights = convert(weights, back_end.vllm.python, catalogue.cache, say)
        served[name] = ServedModel(
            model=model,
            weights=weights,
            make_engine=partial(_engine, back_end, name, traces),
            preamble=tuple(shots) if model.base else (),
        )
    pool = Pool(
        served,
        options=EngineOptions(
            slots=options.slots_for(concurrency),
            context_tokens=options.context_tokens,
            threads=options.threads,
            **options.fixed,
        ),
        log_dir=logs,
        meter=meter,
        deadline_s=deadline_s,
        capacity=back_end.capacity,
        on_event=on_event,
    )
    pool.check_memory()
    return pool


def _engine(back_end: BackEnd, name: str, traces: Path | None) -> Engine:
    make = back_end.plugin.make
    match back_end.asked:
        case ExternalPart() as external:
            return make(
                external.base_url,
                model=name,
                api_key_env=external.api_key_env,
                requests_per_s=external.requests_per_s,
                concurrency=external.concurrency,
            )
        case FakePart() as part:
            return make(part.fake, folder=back_end.folder)
        case PluginPart() as plugin:
            try:
                made = make(**plugin.options)
            except (TypeError, ValueError) as error:
                raise InputError(f"the engine {plugin.name!r} does not take {plugin.options}: {error}") from error
            require_like("engine", plugin.name, made, Engine)
            return made
    if back_end.vllm is None:
        return make()
    return make(
        back_end.vllm,
        accelerator=back_end.accelerator,
        running=cache_folder() / "running",
        options=back_end.asked.vllm.options if isinstance(back_end.asked, VllmPart) else {},
        traces=traces,
    )


def shots_as_messages(shots: Sequence[Example]) -> tuple[Message, ...]:
    """Worked examples as a conversation: the question asked, the expected answer given."""
    messages: list[Message] = []
    for shot in shots:
        expected = shot.expected[0] if isinstance(shot.expected, list) else shot.expected
        messages += [{"role": "user", "content": shot.question}, {"role": "assistant", "content": str(expected)}]
    return tuple(messages)
