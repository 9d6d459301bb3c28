"""Requests for attribution. Values that an engine did not report are estimated from similar requests."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

#: The shortest duration of a request, so that no request has a duration of 0.
_SHORTEST_S = 1e-6
#: Prefill and decode each take at least this share of a request, so that no token takes 0 seconds.
_LEAST = 1e-3
#: The time of a prompt token relative to the time of an output token, for the case that no request has the time of its
#: first token. It is a guess: an engine works on many prompt tokens at once.
_PROMPT_TO_OUTPUT_TIME = 0.1


@dataclass(frozen=True, kw_only=True)
class Request:
    """One attempt of a call, as the engine processed it.

    Attributes:
        id: The id that the joules are reported under. Requests with the same id (retries) are added together.
        engine: The model's name. The engine's process is the domain ``engine:MODEL``.
        start_s: The time when the engine started work on the request, on the meter's clock.
        end_s: The time when the engine ended work on the request, on the meter's clock.
        first_token_s: The time when the prefill ended. None: it is estimated, see ``attribute``.
        prompt_tokens: The prompt tokens that had to be computed, so without cached ones; None if unknown.
        cached_tokens: The prompt tokens that were read from the prefix cache. They need no prefill, but are context.
        output_tokens: The generated tokens; None if unknown.
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
            raise ValueError(
                f"request {self.id}: it must end after it starts, but got start {self.start_s} s and end {self.end_s} s"
            )
        if min(self.prompt_tokens or 0, self.cached_tokens, self.output_tokens or 0) < 0:
            raise ValueError(f"request {self.id}: token counts must be 0 or more; pass None for an unknown count")


@dataclass(frozen=True)
class Job:
    """A request whose unknown values are filled in with estimates.

    Attributes:
        id: See ``Request``.
        engine: See ``Request``.
        start_s: The start of the prefill.
        first_s: The time of the first token.
        end_s: The end of the request.
        prompt: The number of prompt tokens without cached ones.
        cached: The number of cached prompt tokens.
        output: The number of output tokens.
    """

    id: str
    engine: str
    start_s: float
    first_s: float
    end_s: float
    prompt: float
    cached: float
    output: float


def fill_unknown(requests: Sequence[Request]) -> list[Job]:
    """Estimate the unknown values of requests.

    Args:
        requests: The requests, in any order.

    Returns:
        A job for each request, in an order that does not depend on the order of ``requests``.
    """
    by_engine: dict[str, list[Request]] = defaultdict(list)
    for request in requests:
        by_engine[request.engine].append(request)
    of_all = _Typical.of(requests)
    jobs: list[Job] = []
    for engine_requests in by_engine.values():
        of_engine = _Typical.of(engine_requests)
        jobs += [_complete(request, of_engine, of_all) for request in engine_requests]
    return sorted(
        jobs, key=lambda job: (job.engine, job.start_s, job.end_s, job.first_s, job.id, job.prompt, job.output)
    )


@dataclass(frozen=True)
class _Typical:
    """Medians over the requests with known values; None if no request has a known value."""

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
    """The time of the first token, reported or estimated, and always within the request."""
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


def _complete(request: Request, of_engine: _Typical, of_all: _Typical) -> Job:
    typical_prompt = of_engine.prompt if of_engine.prompt is not None else of_all.prompt
    prompt_per_s = of_engine.prompt_per_s or of_all.prompt_per_s
    output_per_s = of_engine.output_per_s if of_engine.output_per_s is not None else of_all.output_per_s
    prompt = float(request.prompt_tokens if request.prompt_tokens is not None else typical_prompt or 0.0)
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
