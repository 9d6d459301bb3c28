"""The engines and the meter that measure the teams of a study on this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orkester.errors import InputError
from orkester.evals.running.runner import BlockRunner
from orkester.optim.study.request_settings import RequestSettings, settings_of_all
from orkester.optim.study.study import Study
from orkester.serving.catalogue import Catalogue
from orkester.serving.energy import Sampler
from orkester.serving.lease import EngineEvent
from orkester.serving.pool import Pool

from .back_end import BackEnd, back_end, open_pool, shots_as_messages


def _ignore(what: object) -> None:
    del what


@dataclass(frozen=True, kw_only=True)
class MeasurementSetup:
    """A study with its engine and its meter. Nothing runs yet: ``pool`` opens the engines, ``runner`` runs blocks.

    Attributes:
        study: The study.
        catalogue: The catalogue, which finds models and weights.
        back_end: The engine.
        meter: The meter for the joules of the engine's devices; the caller enters it.
    """

    study: Study
    catalogue: Catalogue
    back_end: BackEnd
    meter: Sampler

    @classmethod
    def of(cls, study: Study, catalogue: Catalogue) -> MeasurementSetup:
        """Choose the engine and the meter for a study on this machine.

        Raises:
            InputError: The engine or the meter that the study file names is not available.
            EngineError: The device that the engine was built for is missing.
        """
        file = study.file
        chosen = back_end(file.engine, study.path.parent)
        sizes = file.engine_options.tensor_parallel
        try:
            meter = chosen.meter(file.energy, gpu_count=max(sizes) if isinstance(sizes, list) else sizes)
        except InputError as error:
            raise InputError(f"{study.path}: energy.meter: {error}") from error
        return cls(study=study, catalogue=catalogue, back_end=chosen, meter=Sampler(meter))

    def require(self) -> None:
        """Check that the key, the joules and the weights that the study needs are on this machine.

        Raises:
            InputError: The key of the endpoint is not in the environment, or joules cannot be measured.
            ModelError: Weights are missing; the message has the command that fetches them.
        """
        self.back_end.require_key(self.study.path)
        self.back_end.require_energy(self.study.file, self.study.path, self.meter)
        self.back_end.require_weights(self.study.models, self.catalogue)

    def pool(
        self,
        logs: Path,
        *,
        traces: Path | None = None,
        on_event: Callable[[EngineEvent], None] = _ignore,
        say: Callable[[str], None] = _ignore,
    ) -> Pool:
        """Open the pool of engines. An engine starts when it is first leased.

        Args:
            logs: The folder for the engines' logs.
            traces: The folder for the engines' own spans; None for no spans.
            on_event: A function that is called with each engine event.
            say: A function that is called with a line of text for each slow step before the engines start.

        Returns:
            The pool.

        Raises:
            ModelError: Weights are missing, or cannot be converted.
            EngineError: A model does not fit into memory.
        """
        measure = self.study.file.measure
        return open_pool(
            back_end=self.back_end,
            models=self.study.models,
            options=self.study.file.engine_options,
            concurrency=measure.concurrency,
            deadline_s=measure.deadline_s,
            shots=shots_as_messages(self.study.task.shots),
            catalogue=self.catalogue,
            meter=self.meter,
            logs=logs,
            traces=traces,
            requests=self._request_settings(),
            on_event=on_event,
            say=say,
        )

    def _request_settings(self) -> dict[str, RequestSettings]:
        """The settings of the requests of the study, by model, for an endpoint that is checked with them."""
        if self.back_end.plugin.local:
            return {}
        study = self.study
        found = {name: settings_of_all(study.space, study.task, name) for name in study.models}
        return {name: settings for name, settings in found.items() if settings is not None}

    def runner(self) -> BlockRunner:
        """Make the runner of blocks from the part ``measure`` of the study file. It writes no traces."""
        measure = self.study.file.measure
        return BlockRunner(
            task=self.study.task,
            meter=self.meter,
            concurrency=measure.concurrency,
            deadline_s=measure.deadline_s,
            seed=self.study.file.seed,
        )
