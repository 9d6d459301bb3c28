"""What is to be measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orkester.errors import InputError
from orkester.optim.study.engine_parts import EngineSpec

from ._prompts import Prompt


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Every model on every engine at every batch size.

    Attributes:
        models: as a study names them.
        engines: as a study's ``engine``.
        batches: requests in flight.
        prompts: asked in turn; answers in all or in none.
        images: whether the prompts have pictures.
        scorer: of the answers, as a study names it.
        max_tokens: most tokens of an answer.
        seconds: shortest window; the meter's own shortest where that is longer.
        warm_up_s: asked for so long before each window.
        repeat: windows of each.
        context_tokens: longest prompt plus answer.
        threads: of the CPU, for llama.cpp; 0 is all but one.
        deadline_s: a request that takes longer has failed.
        seed: of the order of models, engines and windows.

    Raises:
        InputError: something cannot be measured so.
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
                raise InputError(f"there are no {name} to measure with; name at least one")
        least = {
            "batch": (min(self.batches), 1),
            "max_tokens": (self.max_tokens, 1),
            "repeat": (self.repeat, 1),
            "context_tokens": (self.context_tokens, 16),
            "threads": (self.threads, 0),
            "warm_up_s": (self.warm_up_s, 0),
        }
        for name, (value, lowest) in least.items():
            if not value >= lowest:
                raise InputError(f"{name} must be at least {lowest}, but got {value}")
        if not 0 < self.seconds < float("inf"):
            raise InputError(f"seconds must be above 0, but got {self.seconds}")
        if self.max_tokens >= self.context_tokens:
            raise InputError(
                f"max_tokens ({self.max_tokens}) must be less than context_tokens ({self.context_tokens}), which the "
                "prompt has to fit into too"
            )
        for name, values in (("models", self.models), ("batches", self.batches)):
            if len(set(values)) < len(values):
                raise InputError(f"{name} has one twice: {', '.join(map(str, values))}")

    @property
    def scored(self) -> bool:
        """Whether it is known which answers are right."""
        return self.prompts[0].answer is not None
