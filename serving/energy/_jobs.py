"""Requests with nothing unknown: what an engine did not tell is taken from its like."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

#: A request never lasts less than this: one without length still has its place among the others.
_SHORTEST_S = 1e-6
#: Prefill and decode each last at least this share of a request, so that no token comes in no time.
_LEAST = 1e-3
#: Where no request tells when its first token came, a prompt token is taken to last so much of an output token (a
#: guess: an engine works on many prompt tokens at once).
_PROMPT_TO_OUTPUT_TIME = 0.1


@dataclass(frozen=True, kw_only=True)
class Request:
    """One try of a call, as the engine saw it.

    Attributes:
        id: whose joules; requests with the same id (retries) are added up.
        engine: the model, so its process is the domain ``engine:MODEL``.
        start_s, end_s: on the meter's clock, when the engine worked on it.
        first_token_s: when its prefill ended; estimated if None, see ``attribute``.
        prompt_tokens: those that had to be computed, so without cached ones; None when unknown.
        cached_tokens: prompt tokens read from the prefix cache: no prefill, but context.
        output_tokens: None when unknown.
    """

    id: str
    engine: str
    start_s: float
    end_s: float
    first_token_s: float | None = None
    prompt_tokens: int | None = None
    cached_tokens: int = 0
    output_tokens: int | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start_s) and math.isfinite(self.end_s)) or self.end_s < self.start_s:
            raise ValueError(f"request {self.id}: it must end after it starts, but {self.start_s} to {self.end_s} s")
        if min(self.prompt_tokens or 0, self.cached_tokens, self.output_tokens or 0) < 0:
            raise ValueError(f"request {self.id}: tokens cannot be fewer than 0; pass None for unknown")


@dataclass(frozen=True)
class Job:
    """A request with nothing unknown any more."""

    id: str
    engine: str
    start_s: float
    first_s: float
    end_s: float
    prompt: float
    cached: float
    output: float


def completed(requests: Sequence[Request]) -> list[Job]:
    """What is unknown filled in, in an order of its own, so that the caller's does not matter."""
    by_engine: dict[str, list[Request]] = defaultdict(list)
    for request in requests:
        by_engine[request.engine].append(request)
    everyone = _Typical.of(requests)
    jobs: list[Job] = []
    for mine in by_engine.values():
        typical = _Typical.of(mine)
        jobs += [_complete(request, typical, everyone) for request in mine]
    return sorted(
        jobs, key=lambda job: (job.engine, job.start_s, job.end_s, job.first_s, job.id, job.prompt, job.output)
    )


@dataclass(frozen=True)
class _Typical:
    """Medians of the requests that tell; None where none does."""

    prompt: float | None
    prompt_per_s: float | None
    output_per_s: float | None

    @classmethod
    def of(cls, requests: Sequence[Request]) -> _Typical:
        prompts = [r.prompt_tokens for r in requests if r.prompt_tokens is not None]
        prefills = [
            r.prompt_tokens / (r.first_token_s - r.start_s)
            for r in requests
            if r.prompt_tokens and r.first_token_s is not None and r.first_token_s > r.start_s
        ]
        prompt = median(prompts) if prompts else None
        rates = []
        for r in requests:
            if r.output_tokens is not None and r.end_s > r.start_s:
                first_s = _first_s(r, prompt or 0.0, r.output_tokens, median(prefills) if prefills else None)
                rates.append(r.output_tokens / (r.end_s - first_s))
        return cls(prompt, median(prefills) if prefills else None, median(rates) if rates else None)


def _first_s(request: Request, prompt: float, output: float | None, prompt_per_s: float | None) -> float:
    """When the first token came, as told or estimated, inside the request."""
    length_s = max(request.end_s - request.start_s, _SHORTEST_S)
    tokens = prompt if request.prompt_tokens is None else float(request.prompt_tokens)
    if request.first_token_s is not None:
        prefill_s = request.first_token_s - request.start_s
    elif prompt_per_s:
        prefill_s = tokens / prompt_per_s
    elif output is not None and tokens + output > 0:
        like_output = tokens * _PROMPT_TO_OUTPUT_TIME
        prefill_s = length_s * like_output / (like_output + output)
    else:
        prefill_s = length_s * _LEAST
    return request.start_s + min(max(prefill_s, length_s * _LEAST), length_s * (1 - _LEAST))


def _complete(request: Request, engine: _Typical, everyone: _Typical) -> Job:
    prompt_typical = engine.prompt if engine.prompt is not None else everyone.prompt
    prompt_per_s = engine.prompt_per_s or everyone.prompt_per_s
    output_per_s = engine.output_per_s if engine.output_per_s is not None else everyone.output_per_s
    prompt = float(request.prompt_tokens if request.prompt_tokens is not None else prompt_typical or 0.0)
    request = replace(request, end_s=max(request.end_s, request.start_s + _SHORTEST_S))
    first_s = _first_s(request, prompt, request.output_tokens, prompt_per_s)
    output = request.output_tokens
    return Job(
        id=request.id,
        engine=request.engine,
        start_s=request.start_s,
        first_s=first_s,
        end_s=request.end_s,
        prompt=prompt,
        cached=float(request.cached_tokens),
        output=float(output) if output is not None else (output_per_s or 0.0) * (request.end_s - first_s),
    )
