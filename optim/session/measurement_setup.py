"""What measures a study's teams on this host: the engines that serve its models, and the meter that watches them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orkester.errors import InputError
from orkester.evals.runner import BlockRunner
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
    """A study with what measures its teams. Nothing runs yet: ``pool`` has the engines, ``runner`` runs blocks on them.

    Attributes:
        study: its settings decide everything here.
        catalogue: where model names and weights come from.
        back_end: which engine serves.
        meter: reads the joules of that engine's devices; entered by the caller.
    """

    study: Study
    catalogue: Catalogue
    back_end: BackEnd
    meter: Sampler

    @classmethod
    def of(cls, study: Study, catalogue: Catalogue) -> MeasurementSetup:
        """Decide which engine and which meter a study gets on this host.

        Raises:
            InputError: the engine or the meter that the study file names is not available.
            EngineError: what the engine was built for is not here.
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
        """Check that the study's joules can be measured and its models' weights are here.

        Raises:
            InputError: joules cannot be measured.
            ModelError: weights are absent; the message has the command that fetches them.
        """
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
        """The engines; each starts when it is first leased.

        Args:
            logs: folder for the engines' output.
            traces: folder for the engines' own spans; None for none.
            on_event: receives what happens to engines.
            say: receives a line for each step before the start of engines that takes long.

        Raises:
            ModelError: weights are absent, or cannot be converted.
            EngineError: a model does not fit into memory.
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
            on_event=on_event,
            say=say,
        )

    def runner(self) -> BlockRunner:
        """Runs blocks as the study file's ``measure`` says, without traces."""
        measure = self.study.file.measure
        return BlockRunner(
            task=self.study.task,
            meter=self.meter,
            concurrency=measure.concurrency,
            deadline_s=measure.deadline_s,
            seed=self.study.file.seed,
        )
