"""The plan of a benchmark: what is measured, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orkester.errors import InputError
from orkester.optim.study.engine_parts import EngineSpec

from ._prompts import Prompt


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A benchmark of every model on every engine at every batch size.

    Attributes:
        models: The models, named as in a study file.
        engines: The engines, each as the key ``engine`` of a study file.
        batches: The numbers of requests at the same time.
        prompts: The prompts, which are sent in turn. All of them have a right answer, or none has.
        images: Whether the prompts have pictures.
        scorer: The scorer of the answers, named as in a study file.
        max_tokens: The maximum number of tokens of an answer.
        seconds: The length of a window in seconds. Windows are longer when the meter needs longer ones.
        warm_up_s: Seconds in which requests are sent before each window.
        repeat: The number of windows for each model, engine and batch.
        context_tokens: The maximum number of tokens of prompt and answer together.
        threads: CPU threads for llama.cpp; 0 means all but one.
        deadline_s: A request that takes longer has failed.
        seed: The seed of the random order of models, engines and windows.

    Raises:
        InputError: A value is not allowed.
    """

    models: Sequence[str]
    engines: Sequence[EngineSpec]
    batches: Sequence[int]
    prompts: Sequence[Prompt]
    images: bool = False
    scorer: str = "contains"
    max_tokens: int = 64
    seconds: float = 10.0
    warm_up_s: float = 1.0
    repeat: int = 3
    context_tokens: int = 1024
    threads: int = 0
    deadline_s: float = 300.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("models", "engines", "batches", "prompts"):
            if not getattr(self, name):
                raise InputError(f"the benchmark needs at least one of: {name}")
        minimum_by_name = {
            "batch": (min(self.batches), 1),
            "max_tokens": (self.max_tokens, 1),
            "repeat": (self.repeat, 1),
            "context_tokens": (self.context_tokens, 16),
            "threads": (self.threads, 0),
            "warm_up_s": (self.warm_up_s, 0),
        }
        for name, (value, minimum) in minimum_by_name.items():
            if not value >= minimum:
                raise InputError(f"{name} must be at least {minimum}, but got {value}")
        if not 0 < self.seconds < float("inf"):
            raise InputError(f"seconds must be above 0, but got {self.seconds}")
        if self.max_tokens >= self.context_tokens:
            raise InputError(
                f"max_tokens ({self.max_tokens}) must be less than context_tokens ({self.context_tokens}), because "
                "the prompt must fit into the context, too"
            )
        for name, values in (("models", self.models), ("batches", self.batches)):
            if len(set(values)) < len(values):
                raise InputError(f"{name} has the same entry twice: {', '.join(map(str, values))}")

    @property
    def scored(self) -> bool:
        """Whether the right answers are known."""
        return self.prompts[0].answer is not None
