"""The back end: it chooses the engine of a study and opens the pool that serves the models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
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
from orkester.optim.study.request_settings import RequestSettings
from orkester.optim.study.study_file import StudyFile
from orkester.registry import require_like, wrong_options
from orkester.serving import machine
from orkester.serving.cache import cache_folder
from orkester.serving.catalogue import Catalogue, Model
from orkester.serving.chat import Message
from orkester.serving.energy import AUTO_METER, Meter, MeterRequest, UnavailableMeter, choose_meter
from orkester.serving.engines import (
    ENGINES,
    Accelerator,
    Engine,
    EngineOptions,
    EnginePlugin,
    key_in_environment,
)
from orkester.serving.environments import VllmEnvironment, convert, find_vllm
from orkester.serving.lease import EngineEvent, ServedModel
from orkester.serving.ledger import Capacity
from orkester.serving.pool import Pool, ignore_event

#: The share of the free memory that the engines of a study may use; the rest is for other programs.
_HOST_SHARE = 0.9
_DEVICE_SHARE = 0.97


def _say_nothing(line: str) -> None:
    del line


@dataclass(frozen=True, kw_only=True)
class BackEnd:
    """The engine that serves a study, with all decisions made. ``back_end`` makes it.

    Attributes:
        kind: The name of the engine's plug-in.
        spec: The value of ``engine`` in the study file.
        folder: The folder of the study file; paths in the study file are relative to it.
        vllm: The environment of vLLM, if vLLM serves the study.
        accelerator: The GPU of the engine; None for the CPU.
        device: The name of the device; an energy calibration is valid for one device.
        capacity: The memory that the engines may use together.
    """

    kind: str
    spec: object
    folder: Path
    vllm: VllmEnvironment | None = None
    accelerator: Accelerator | None = None
    device: str = ""
    capacity: Capacity = field(default_factory=Capacity)

    @property
    def plugin(self) -> EnginePlugin:
        """The engine's plug-in."""
        return ENGINES.get(self.kind, folder=self.folder)

    @property
    def on_gpus(self) -> bool:
        """Whether the engines run on GPUs of this machine."""
        return self.accelerator is not None or self.plugin.gpus

    @property
    def identity(self) -> Mapping[str, str]:
        """What must stay the same when a run continues, in addition to the study file."""
        return {"vllm": f"{self.vllm.version} ({self.vllm.build})"} if self.vllm else {}

    def model(self, model: Model) -> Model:
        """The model with its weights in the format that this engine reads."""
        return model.in_safetensors() if self.plugin.weights == "safetensors" else model

    @property
    def calibrations(self) -> Path:
        """The folder of the energy calibrations."""
        return cache_folder() / "calibrations"

    def meter(self, energy: EnergyPart | None = None, *, gpu_count: int = 1) -> Meter:
        """Choose the meter for the devices that this kind of engine uses.

        Args:
            energy: The part ``energy`` of the study file; None for the defaults.
            gpu_count: The number of GPUs of one engine. The first GPUs are used, and only these are measured.

        Returns:
            The meter.

        Raises:
            InputError: The meter that the study names is not available.
        """
        part = energy or EnergyPart()
        if not self.plugin.local:
            return UnavailableMeter("the endpoint runs elsewhere")
        # A device's joules say nothing about a fake engine.
        name = "estimate" if self.kind == "fake" and part.meter_name == AUTO_METER else part.meter_name
        request = MeterRequest(gpus=self.on_gpus, gpu_count=gpu_count, folder=self.folder)
        return choose_meter(name, request, {name: part.meter_options})

    def missing_weights(self, models: Mapping[str, Model], catalogue: Catalogue) -> Sequence[Model]:
        """The models whose weights are not on this machine yet."""
        if self.plugin.weights is None:
            return []
        return [model for model in map(self.model, models.values()) if catalogue.locate(model) is None]

    def require_weights(self, models: Mapping[str, Model], catalogue: Catalogue) -> None:
        """Check that all weights are on this machine.

        Raises:
            ModelError: Some weights are missing; the message has the command that fetches them.
        """
        if absent := self.missing_weights(models, catalogue):
            names = " ".join(model.name for model in absent)
            form = "--for vllm " if self.plugin.weights == "safetensors" else ""
            raise ModelError(f"the weights of {names} are missing; fetch them: orkester models pull {form}{names}")

    def require_key(self, path: Path) -> None:
        """Check that the key of an endpoint is in the environment, before anything is written.

        Args:
            path: The path of the study file, for the message.

        Raises:
            InputError: It is not.
        """
        if isinstance(self.spec, ExternalPart):
            try:
                key_in_environment(self.spec.api_key_env)
            except InputError as error:
                raise InputError(f"{path}: {error}") from None

    def require_energy(self, file: StudyFile, path: Path, meter: Meter) -> None:
        """Check that the study needs no joules if there is no meter.

        Args:
            file: The study file.
            path: The path of the study file, for the message.
            meter: The meter of the study.

        Raises:
            InputError: The study needs joules, and there is no meter. A missing number is better than a wrong one.
        """
        if meter.method == "unavailable" and file.budget.joules is not None:
            raise InputError(
                f"{path}: budget.joules cannot be measured: {meter.assumptions['reason']}. Correct that, or set "
                "llm_calls, tokens or minutes instead"
            )
        need_joules = [name for name in (*file.objectives, *file.constraints) if objective(name).of_joules]
        if meter.method == "unavailable" and need_joules:
            without = ", ".join(f"{name}: {way}" for name, way in file.objectives.items() if name not in need_joules)
            raise InputError(
                f"{path}: {need_joules[0]} cannot be measured: {meter.assumptions['reason']}. Correct that, or leave "
                f"energy out: objectives: {{{without}}}"
            )


def back_end(engine: EngineSpec, folder: Path) -> BackEnd:
    """Choose the engine. Looks for GPUs, and for vLLM if the study may use it.

    ``auto`` chooses vLLM if there is a GPU and vLLM is installed for it, and llama.cpp otherwise.

    Args:
        engine: The value of ``engine`` in the study file.
        folder: The folder of the study file.

    Returns:
        The engine with all decisions made.

    Raises:
        InputError: The study names vLLM, and no vLLM is installed.
        EngineError: The device that vLLM was built for is missing.
    """
    decided = partial(BackEnd, spec=engine, folder=folder, device=machine.cpu_model())
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
            f"{why_none or 'the GPUs of this machine are of another vendor'}. For the CPU: "
            "orkester engines install vllm --build cpu"
        )
    first = fitting[0]  # vLLM uses the first GPU, and with tensor parallelism also the next ones
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
    """Check that an engine of another package, or ``module:name``, can be made with these options.

    Args:
        name: The engine's name in the study file.
        options: The options of the engine.
        folder: The folder of the study file.

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
    """Find a model of a study. Endpoints and fake engines accept any name, because they need no weights here.

    Args:
        file: The study file.
        name: The model's name in ``models``.
        catalogue: The catalogue of models.
        folder: The folder of the study file; paths in the study file are relative to it.

    Returns:
        The model.

    Raises:
        InputError: The name is not in the catalogue.
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
    requests: Mapping[str, RequestSettings] | None = None,
    on_event: Callable[[EngineEvent], None] = ignore_event,
    say: Callable[[str], None] = _say_nothing,
) -> Pool:
    """Open a pool that serves the models. An engine starts when it is first leased.

    Weights are converted first if the engine needs another format.

    Args:
        back_end: The engine.
        models: The models by name.
        options: The part ``engine_options`` of the study file.
        concurrency: The number of examples in progress at the same time. Engines get more slots, because teams fan out.
        deadline_s: The time limit of one example, in seconds; a call cannot take longer.
        shots: Worked examples as a conversation; base models see them before each question.
        catalogue: The catalogue, which finds the weights.
        meter: The energy meter; the pool passes it the processes of the engines.
        logs: The folder for the engines' logs.
        traces: The folder for the engines' own spans; None for no spans.
        requests: The settings of the requests that the models will get, by name. An endpoint is checked with them.
        on_event: A function that is called with each engine event.
        say: A function that is called with a line of text for each slow step before the engines start.

    Returns:
        The pool.

    Raises:
        ModelError: Weights are missing, or cannot be converted.
        EngineError: A model does not fit into memory.
    """
    back_end.require_weights(models, catalogue)
    served = {}
    for name, named_model in models.items():
        model = back_end.model(named_model)
        weights = catalogue.locate(model) if back_end.plugin.weights is not None else None
        if back_end.vllm is not None and weights is not None and not weights.is_dir():
            weights = convert(weights, back_end.vllm.python, catalogue.cache, say)
        served[name] = ServedModel(
            model=model,
            weights=weights,
            make_engine=partial(_engine, back_end, name, traces, (requests or {}).get(name)),
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


def _engine(back_end: BackEnd, name: str, traces: Path | None, settings: RequestSettings | None) -> Engine:
    make = back_end.plugin.make
    match back_end.spec:
        case ExternalPart() as external:
            return make(
                external.base_url,
                model=name,
                api_key_env=external.api_key_env,
                requests_per_s=external.requests_per_s,
                concurrency=external.concurrency,
                **({} if settings is None else asdict(settings)),
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
        options=back_end.spec.vllm.options if isinstance(back_end.spec, VllmPart) else {},
        traces=traces,
    )


def shots_as_messages(shots: Sequence[Example]) -> tuple[Message, ...]:
    """Worked examples as a conversation: each question is followed by its expected answer."""
    messages: list[Message] = []
    for shot in shots:
        expected = shot.expected[0] if isinstance(shot.expected, list) else shot.expected
        messages += [{"role": "user", "content": shot.question}, {"role": "assistant", "content": str(expected)}]
    return tuple(messages)
