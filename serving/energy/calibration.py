"""What a step, a token and its context cost on this device: fitted to runs of known work, kept by fingerprint."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import os
import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from statistics import median

from orkester.errors import CallFailed, EngineError, InputError

from ..chat import ChatModel, Reply
from ._base import Reading
from ._pace import STEP_TOKENS
from ._sampler import Sampler
from ._window import window
from .attribution import Coefficients

#: Facts that differ from start to start of the same engine.
VOLATILE = frozenset({"port", "pid", "pids", "base_url", "log", "started_at", "start_s"})
_NAMES = ("step_j", "prompt_token_j", "output_token_j", "context_token_j")
_SHORTEST_S = 1.0
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, kw_only=True)
class Point:
    """One window of known work.

    Attributes:
        steps: of the engine, counted as ``pace`` does: those that the prompts fill, and those of the decoding.
        prompt_tokens: without cached ones.
        output_tokens: generated.
        context_output_tokens: each output token times the tokens of its context, summed.
        energy_j: over idle.
    """

    steps: float
    prompt_tokens: float
    output_tokens: float
    context_output_tokens: float
    energy_j: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Coefficients and what they are of.

    Attributes:
        coefficients: in joules.
        fingerprint: of engine, device and meter.
        method: the meter's label.
        device, model: for people.
        points: what it was fitted to.
        residual: median of |fitted − measured| / measured over the points.
        made_at: ISO 8601.
    """

    coefficients: Coefficients
    fingerprint: str
    method: str
    device: str
    model: str
    points: tuple[Point, ...]
    residual: float
    made_at: str


def fit(points: Sequence[Point]) -> Coefficients:
    """Least squares of relative errors with no coefficient below 0.

    With four unknowns every set of those that are not 0 is tried, which is exact.

    Raises:
        ValueError: fewer than four points, or one whose joules are not above 0.
    """
    import numpy as np

    if len(points) < len(_NAMES):
        raise ValueError(f"four coefficients need at least four points, but got {len(points)}")
    if not all(math.isfinite(point.energy_j) and point.energy_j > 0 for point in points):
        raise ValueError("every point needs joules above 0 over idle; make the windows longer")
    rows = np.array([_row(point) for point in points], dtype=float)
    rows /= np.array([[point.energy_j] for point in points])
    scale = np.where(np.abs(rows).max(axis=0) > 0, np.abs(rows).max(axis=0), 1.0)
    rows /= scale
    ones = np.ones(len(points))
    best, best_error = np.zeros(len(_NAMES)), float(len(points))
    for size in range(1, len(_NAMES) + 1):
        for active in combinations(range(len(_NAMES)), size):
            columns = list(active)
            found = np.linalg.lstsq(rows[:, columns], ones, rcond=None)[0]
            error = float(np.sum((rows[:, columns] @ found - ones) ** 2))
            # Among equals the smaller set stays.
            if np.all(found >= 0) and error < best_error * (1 - 1e-9):
                best, best_error = np.zeros(len(_NAMES)), error
                best[columns] = found
    return Coefficients(**dict(zip(_NAMES, (float(value) for value in best / scale), strict=True)))


def residual(coefficients: Coefficients, points: Sequence[Point]) -> float:
    """Median relative error of the fit at its points."""
    costs: list[float] = [getattr(coefficients, name) for name in _NAMES]
    return median(
        abs(math.fsum(cost * value for cost, value in zip(costs, _row(point), strict=True)) / point.energy_j - 1)
        for point in points
    )


def fingerprint(engine_facts: Mapping[str, object], device: str, method: str) -> str:
    """Names what a calibration holds for, in 16 hexadecimal digits; ports and the like do not matter."""
    facts = {name: value for name, value in engine_facts.items() if name not in VOLATILE}
    text = json.dumps([facts, device, method], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def save(calibration: Calibration, folder: Path) -> Path:
    """Write it, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{calibration.fingerprint}.json"
    handle, name = tempfile.mkstemp(dir=folder, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(calibration), file, indent=2)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def load(fingerprint: str, folder: Path) -> Calibration | None:
    """The calibration of that fingerprint, or None when there is none.

    Raises:
        InputError: its file is damaged.
    """
    path = folder / f"{fingerprint}.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        found["coefficients"] = Coefficients(**found["coefficients"])
        found["points"] = tuple(Point(**point) for point in found["points"])
        calibration = Calibration(**found)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{path}: this calibration is damaged ({error}); delete the file and run `orkester calibrate` again"
        ) from error
    if calibration.fingerprint != fingerprint:
        raise InputError(
            f"{path}: this calibration is of {calibration.fingerprint}; delete the file and run "
            "`orkester calibrate` again"
        )
    return calibration


def calibrated(engine_facts: Mapping[str, object], *, device: str, method: str, folder: Path) -> Coefficients | None:
    """What steps and tokens of such an engine were found to cost; None when nobody calibrated one.

    Raises:
        InputError: its file is damaged.
    """
    found = load(fingerprint(engine_facts, device, method), folder)
    return found.coefficients if found is not None else None


async def calibrate(
    client: ChatModel,
    meter: Sampler,
    *,
    engine_facts: Mapping[str, object],
    idle_w: Mapping[str, float],
    device: str,
    domains: Sequence[str],
    batches: Sequence[int] = (1, 8, 32),
    prompt_words: int = 400,
    output_tokens: int = 128,
    seed: int = 0,
) -> Calibration:
    """Run known work on an engine that nobody else asks, and fit.

    At each batch size three windows, each as long as the meter needs: prefill only (long prompts, one token), and many
    tokens after a short and after a long prompt. Every prompt is of new random words, so no prefix cache helps.

    Args:
        client: asks the engine.
        meter: reads the device.
        engine_facts: version, flags and weights, for the fingerprint.
        idle_w: by domain, with the engine resident.
        device: for people and the fingerprint.
        domains: whose joules are added up: the engine's process, or its devices.
        batches: requests at once.
        prompt_words: words of a long prompt.
        output_tokens: most tokens of an answer when decoding.
        seed: of the words.

    Raises:
        EngineError: no joules or no token counts are to be had, or too few joules over idle.
        CallFailed: a call failed.
    """
    words = random.Random(seed)
    await _batch(client, words, max(batches), 8, 8)  # warm-up
    points = []
    for size in batches:
        for prompt, most in ((prompt_words, 1), (8, output_tokens), (prompt_words, output_tokens)):
            start = _read(meter)
            steps, prompts, outputs, contexts = 0.0, 0.0, 0.0, 0.0
            while True:
                replies = await _batch(client, words, size, prompt, most)
                for new, cached, out in replies:
                    prompts += new
                    outputs += out
                    contexts += (new + cached) * out + out * out / 2
                steps += max(1.0, sum(new for new, _, _ in replies) / STEP_TOKENS)
                steps += max(0, max(out for _, _, out in replies) - 1)
                end = _read(meter)
                if end.time_s - start.time_s >= max(_SHORTEST_S, meter.limits.window_s):
                    break
            energy_j = _over_idle_j(meter, start, end, domains, idle_w)
            if energy_j <= meter.limits.over_idle_j:
                raise EngineError(
                    f"{client.name}: calibrating used {energy_j:.3g} J over idle with {size} requests at once, too "
                    f"little for {meter.method}; use longer prompts and answers"
                )
            points.append(
                Point(
                    steps=steps,
                    prompt_tokens=prompts,
                    output_tokens=outputs,
                    context_output_tokens=contexts,
                    energy_j=energy_j,
                )
            )
    coefficients = fit(points)
    return Calibration(
        coefficients=coefficients,
        fingerprint=fingerprint(engine_facts, device, meter.method),
        method=meter.method,
        device=device,
        model=client.name,
        points=tuple(points),
        residual=residual(coefficients, points),
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


async def _batch(
    client: ChatModel, words: random.Random, size: int, prompt: int, most: int
) -> list[tuple[int, int, int]]:
    """Ask so many at once; uncached prompt, cached prompt and output tokens of each."""

    async def ask(number: int, text: str) -> Reply:
        return await client.chat(
            [{"role": "user", "content": text}],
            agent="calibration",
            temperature=1.0,
            max_tokens=most,
            sample=number,
        )

    texts = [
        " ".join("".join(words.choices(_LETTERS, k=words.randint(3, 8))) for _ in range(prompt)) for _ in range(size)
    ]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask(number, text)) for number, text in enumerate(texts)]
    except ExceptionGroup as several:  # not ``except*``: older Pythons put what is raised there into a group again
        if (failed := several.subgroup(CallFailed)) is None:
            raise
        raise failed.exceptions[0] from None  # one message is enough
    found = []
    for task in tasks:
        reply = task.result()
        if reply.input_tokens is None or reply.output_tokens is None:
            raise EngineError(f"{client.name}: the engine does not count tokens, so it cannot be calibrated")
        cached = min(reply.cached_tokens or 0, reply.input_tokens)
        found.append((reply.input_tokens - cached, cached, reply.output_tokens))
    return found


def _read(meter: Sampler) -> Reading:
    reading = meter.read()
    if reading is None:
        raise EngineError(f"the {meter.method} meter gives no joules, so nothing can be calibrated")
    return reading


def _over_idle_j(
    meter: Sampler, start: Reading, end: Reading, domains: Sequence[str], idle_w: Mapping[str, float]
) -> float:
    measured = window(meter.between(start, end), meter.limits, idle_w)
    if measured.energy_j is None:
        raise EngineError(f"a counter failed while calibrating ({'; '.join(measured.marks)}); calibrate again")
    if missing := [name for name in domains if name not in measured.energy_j]:
        raise EngineError(
            f"the meter has no domain {missing[0]}; it has {', '.join(sorted(measured.energy_j)) or 'none'}"
        )
    seconds = end.time_s - start.time_s
    return sum(measured.energy_j[name] - idle_w.get(name, 0.0) * seconds for name in domains)


def _row(point: Point) -> tuple[float, float, float, float]:
    return point.steps, point.prompt_tokens, point.output_tokens, point.context_output_tokens
