"""Calibration: what a step, a token and its context cost in joules on this device.

The costs are fitted to measured runs of known work, and stored under the fingerprint of engine, device and meter.
"""

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

#: Facts that differ between two starts of the same engine, and so are not part of the fingerprint.
VOLATILE = frozenset({"port", "pid", "pids", "base_url", "log", "started_at", "start_s"})
_NAMES = ("step_j", "prompt_token_j", "output_token_j", "context_token_j")
_SHORTEST_S = 1.0
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, kw_only=True)
class Point:
    """One measured window of known work.

    Attributes:
        steps: The engine's steps, counted as ``pace`` counts them: those that the prompts fill, and those of the
            decoding.
        prompt_tokens: The number of prompt tokens without cached ones.
        output_tokens: The number of generated tokens.
        context_output_tokens: The sum over all output tokens of the number of tokens in their context.
        energy_j: The joules above idle power.
    """

    steps: float
    prompt_tokens: float
    output_tokens: float
    context_output_tokens: float
    energy_j: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Fitted coefficients, and the engine and the device that they are valid for.

    Attributes:
        coefficients: The coefficients in joules.
        fingerprint: The fingerprint of engine, device and meter.
        method: The meter's label.
        device: The device's name, for people.
        model: The model's name, for people.
        points: The measured windows that the coefficients were fitted to.
        residual: The median of |fitted − measured| / measured over the points.
        made_at: The time of the calibration, ISO 8601.
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
    """Fit the coefficients by least squares of the relative errors, with no coefficient below 0.

    There are four coefficients, so every set of non-zero coefficients can be tried. The result is the exact optimum.

    Args:
        points: The measured windows, at least four.

    Returns:
        The coefficients with the smallest error.

    Raises:
        ValueError: There are fewer than four points, or a point has no joules above 0.
    """
    import numpy as np

    if len(points) < len(_NAMES):
        raise ValueError(f"four coefficients need at least four points, but got {len(points)}")
    if not all(math.isfinite(point.energy_j) and point.energy_j > 0 for point in points):
        raise ValueError("every point needs joules above 0 after idle power is subtracted; make the windows longer")
    rows = np.array([_row(point) for point in points], dtype=float)
    rows /= np.array([[point.energy_j] for point in points])
    scale = np.where(np.abs(rows).max(axis=0) > 0, np.abs(rows).max(axis=0), 1.0)
    rows /= scale
    ones = np.ones(len(points))
    best, best_error = np.zeros(len(_NAMES)), float(len(points))
    for size in range(1, len(_NAMES) + 1):
        for active in combinations(range(len(_NAMES)), size):
            columns = list(active)
            solution = np.linalg.lstsq(rows[:, columns], ones, rcond=None)[0]
            error = float(np.sum((rows[:, columns] @ solution - ones) ** 2))
            # If two sets fit equally well, the smaller one stays.
            if np.all(solution >= 0) and error < best_error * (1 - 1e-9):
                best, best_error = np.zeros(len(_NAMES)), error
                best[columns] = solution
    return Coefficients(**dict(zip(_NAMES, (float(value) for value in best / scale), strict=True)))


def residual(coefficients: Coefficients, points: Sequence[Point]) -> float:
    """Compute the median relative error of coefficients.

    Args:
        coefficients: The fitted coefficients.
        points: The measured windows.

    Returns:
        Median of |fitted − measured| / measured over the points.
    """
    costs: list[float] = [getattr(coefficients, name) for name in _NAMES]
    return median(
        abs(math.fsum(cost * value for cost, value in zip(costs, _row(point), strict=True)) / point.energy_j - 1)
        for point in points
    )


def fingerprint(engine_facts: Mapping[str, object], device: str, method: str) -> str:
    """Compute the name under which a calibration is stored.

    Args:
        engine_facts: The engine's facts; see ``Endpoint.facts``. Ports and other volatile facts are ignored.
        device: The device's name.
        method: The meter's label.

    Returns:
        16 hexadecimal digits.
    """
    # Changes to requests change the answers, but not what a step costs.
    facts = {name: value for name, value in engine_facts.items() if name not in VOLATILE | {"request"}}
    text = json.dumps([facts, device, method], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def save(calibration: Calibration, folder: Path) -> Path:
    """Write a calibration to a file. After a failure there is no partial file.

    Args:
        calibration: The calibration to write.
        folder: The folder; it is created if it does not exist.

    Returns:
        The path of the file.
    """
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
    """Read a calibration.

    Args:
        fingerprint: The fingerprint of engine, device and meter.
        folder: The folder with the calibrations.

    Returns:
        The calibration, or None if there is no file with this fingerprint.

    Raises:
        InputError: The calibration's file is damaged.
    """
    path = folder / f"{fingerprint}.json"
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        fields["coefficients"] = Coefficients(**fields["coefficients"])
        fields["points"] = tuple(Point(**point) for point in fields["points"])
        calibration = Calibration(**fields)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{path}: this calibration is damaged ({error}); delete the file and run `orkester calibrate` again"
        ) from error
    if calibration.fingerprint != fingerprint:
        raise InputError(
            f"{path}: this calibration has the fingerprint {calibration.fingerprint}, which is not the name of the "
            "file; delete the file and run `orkester calibrate` again"
        )
    return calibration


def load_coefficients(
    engine_facts: Mapping[str, object], *, device: str, method: str, folder: Path
) -> Coefficients | None:
    """Read the calibrated costs of an engine's steps and tokens.

    Args:
        engine_facts: The engine's facts; see ``Endpoint.facts``.
        device: The device's name.
        method: The meter's label.
        folder: The folder with the calibrations.

    Returns:
        The coefficients, or None if this engine was not calibrated on this device with this meter.

    Raises:
        InputError: The calibration's file is damaged.
    """
    calibration = load(fingerprint(engine_facts, device, method), folder)
    return calibration.coefficients if calibration is not None else None


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
    """Measure known work on an engine that has no other requests, and fit the coefficients.

    At each batch size there are three windows, each as long as the meter needs: prefill only (long prompts and one
    output token), many output tokens after a short prompt, and many output tokens after a long prompt. Every prompt has
    new random words, so the prefix cache has no effect.

    Args:
        client: The client that asks the engine.
        meter: The sampler that reads the device.
        engine_facts: The engine's version, flags and weights, for the fingerprint.
        idle_w: The idle power in watts by domain, with the engine in memory.
        device: The device's name, for people and for the fingerprint.
        domains: The domains whose joules are added: the engine's process, or its devices.
        batches: The numbers of requests at once.
        prompt_words: The number of words of a long prompt.
        output_tokens: The most tokens of an answer in the windows with many output tokens.
        seed: The seed of the random words.

    Returns:
        The calibration, which is not written to a file yet.

    Raises:
        EngineError: There are no joules or no token counts, or too few joules above idle power.
        CallFailed: A call failed.
    """
    words = random.Random(seed)
    await _batch(client, words, max(batches), 8, 8)  # warm-up
    points = []
    for size in batches:
        for prompt, max_tokens in ((prompt_words, 1), (8, output_tokens), (prompt_words, output_tokens)):
            start = _read(meter)
            steps, prompts, outputs, contexts = 0.0, 0.0, 0.0, 0.0
            while True:
                replies = await _batch(client, words, size, prompt, max_tokens)
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
                    f"{client.name}: the calibration used only {energy_j:.3g} J above idle power with {size} requests "
                    f"at once, which is too little for the {meter.method} meter; use longer prompts and answers"
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
    client: ChatModel, words: random.Random, size: int, prompt: int, max_tokens: int
) -> list[tuple[int, int, int]]:
    """Send ``size`` requests at once. Each result has the uncached prompt, cached prompt and output tokens."""

    async def ask(number: int, text: str) -> Reply:
        return await client.chat(
            [{"role": "user", "content": text}],
            agent="calibration",
            temperature=1.0,
            max_tokens=max_tokens,
            sample=number,
        )

    texts = [
        " ".join("".join(words.choices(_LETTERS, k=words.randint(3, 8))) for _ in range(prompt)) for _ in range(size)
    ]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask(number, text)) for number, text in enumerate(texts)]
    except ExceptionGroup as group_error:  # not ``except*``: older Pythons would put the new error in a group again
        if (failures := group_error.subgroup(CallFailed)) is None:
            raise
        raise failures.exceptions[0] from None  # one message is enough
    counts = []
    for task in tasks:
        reply = task.result()
        if reply.input_tokens is None or reply.output_tokens is None:
            raise EngineError(f"{client.name}: the engine does not report token counts, so it cannot be calibrated")
        cached = min(reply.cached_tokens or 0, reply.input_tokens)
        counts.append((reply.input_tokens - cached, cached, reply.output_tokens))
    return counts


def _read(meter: Sampler) -> Reading:
    reading = meter.read()
    if reading is None:
        raise EngineError(f"the {meter.method} meter reports no joules, so the engine cannot be calibrated")
    return reading


def _over_idle_j(
    meter: Sampler, start: Reading, end: Reading, domains: Sequence[str], idle_w: Mapping[str, float]
) -> float:
    measured = window(meter.between(start, end), meter.limits, idle_w)
    if measured.energy_j is None:
        raise EngineError(f"a counter failed during the calibration ({'; '.join(measured.marks)}); calibrate again")
    if missing := [name for name in domains if name not in measured.energy_j]:
        raise EngineError(
            f"the meter has no domain {missing[0]}; its domains are: {', '.join(sorted(measured.energy_j)) or 'none'}"
        )
    seconds = end.time_s - start.time_s
    return sum(measured.energy_j[name] - idle_w.get(name, 0.0) * seconds for name in domains)


def _row(point: Point) -> tuple[float, float, float, float]:
    return point.steps, point.prompt_tokens, point.output_tokens, point.context_output_tokens
