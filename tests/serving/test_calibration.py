"""Fitting what work costs, and keeping it."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orkester.errors import EngineError, InputError
from orkester.serving.chat import Reply
from orkester.serving.energy import Limits, Reading, Sampler
from orkester.serving.energy.attribution import Coefficients
from orkester.serving.energy.calibration import Calibration, Point, calibrate, fingerprint, fit, load, residual, save

TRUE = Coefficients(step_j=2.0, prompt_token_j=0.01, output_token_j=0.1, context_token_j=1e-4)


def point(steps: float, prompt: float, output: float, context: float, cost: Coefficients = TRUE) -> Point:
    energy_j = (
        cost.step_j * steps
        + cost.prompt_token_j * prompt
        + cost.output_token_j * output
        + cost.context_token_j * context
    )
    return Point(
        steps=steps, prompt_tokens=prompt, output_tokens=output, context_output_tokens=context, energy_j=energy_j
    )


def points(cost: Coefficients = TRUE) -> list[Point]:
    rng = random.Random(3)
    return [
        point(rng.randint(1, 500), rng.randint(1, 9000), rng.randint(1, 4000), rng.randint(1, 400_000), cost)
        for _ in range(9)
    ]


def values(cost: Coefficients) -> tuple[float, ...]:
    return cost.step_j, cost.prompt_token_j, cost.output_token_j, cost.context_token_j


@pytest.mark.parametrize("cost", [TRUE, replace(TRUE, output_token_j=0.0), replace(TRUE, step_j=0.0)])
def test_the_fit_finds_what_the_points_were_made_of(cost: Coefficients) -> None:
    assert values(fit(points(cost))) == pytest.approx(values(cost), rel=1e-6, abs=1e-9)
    assert residual(fit(points(cost)), points(cost)) < 1e-6


def test_no_coefficient_is_below_zero() -> None:
    odd = [replace(p, energy_j=p.energy_j / (1 + p.output_tokens / 500)) for p in points()]
    assert min(values(fit(odd))) >= 0


def test_a_fit_needs_points_with_joules() -> None:
    with pytest.raises(ValueError, match="at least four points"):
        fit(points()[:3])
    with pytest.raises(ValueError, match="joules above 0"):
        fit([replace(p, energy_j=0.0) for p in points()])


def test_the_fingerprint_ignores_what_differs_from_start_to_start() -> None:
    facts = {"engine": "vllm", "flags": ["--a"], "port": 1}
    assert fingerprint(facts, "H200", "nvml") == fingerprint({**facts, "port": 2, "pid": 3}, "H200", "nvml")
    others = [({**facts, "flags": []}, "H200", "nvml"), (facts, "H100", "nvml"), (facts, "H200", "rapl")]
    assert len({fingerprint(*other) for other in others} | {fingerprint(facts, "H200", "nvml")}) == 4


def made() -> Calibration:
    return Calibration(
        coefficients=TRUE,
        fingerprint="0123456789abcdef",
        method="nvml",
        device="H200",
        model="m",
        points=tuple(points()),
        residual=0.01,
        made_at="2026-11-25T00:00:00+00:00",
    )


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    assert load(made().fingerprint, tmp_path) is None
    path = save(made(), tmp_path / "new")
    assert load(made().fingerprint, tmp_path / "new") == made()
    assert [path] == list((tmp_path / "new").iterdir())


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"coefficients": {}}'])
def test_a_damaged_file_is_named_with_the_remedy(tmp_path: Path, text: str) -> None:
    path = save(made(), tmp_path)
    path.write_text(text)
    with pytest.raises(InputError, match=rf"{path.name}.*damaged.*calibrate"):
        load(made().fingerprint, tmp_path)


class Machine:
    """An engine and its meter that follow the model; time passes with work."""

    name = "m"
    method = "replay"
    assumptions: dict[str, object] = {}  # noqa: RUF012
    limits = Limits(window_s=5.0)

    def __init__(self, *, counts: bool = True) -> None:
        self.now_s, self.energy_j, self.counts = 0.0, 0.0, counts
        self.prompts: list[str] = []
        self.filled = 0
        self.decoding: list[int] = []

    async def chat(self, messages: Any, *, max_tokens: int, sample: int = 0, **_: Any) -> Reply:
        text = messages[0]["content"]
        self.prompts.append(text)
        prompt, out = len(text.split()), max_tokens
        # A step takes 2048 tokens of prompts, or a token of every answer.
        before, self.filled = (0.0, prompt) if sample == 0 else (max(1.0, self.filled / 2048), self.filled + prompt)
        self.energy_j += (
            TRUE.step_j * (max(1.0, self.filled / 2048) - before + (out - 1 if sample == 0 else 0))
            + TRUE.prompt_token_j * prompt
            + TRUE.output_token_j * out
            + TRUE.context_token_j * (prompt * out + out * out / 2)
        )
        self.now_s += 0.3
        self.energy_j += 40 * 0.3
        return Reply(
            text="", input_tokens=prompt if self.counts else None, output_tokens=out, cached_tokens=None, latency_s=0.3
        )

    def watch(self, domain: str, pids: tuple[int, ...]) -> None:
        raise AssertionError

    def read(self) -> Reading:
        return Reading(time_s=self.now_s, energy_j={"gpu:0": self.energy_j, "orkester": 1e6 * self.now_s})

    def close(self) -> None:
        raise AssertionError


async def test_calibrating_finds_what_the_machine_costs() -> None:
    machine = Machine()
    found = await calibrate(
        machine, Sampler(machine), engine_facts={"port": 1}, idle_w={"gpu:0": 40.0}, device="H200", domains=["gpu:0"]
    )
    assert values(found.coefficients) == pytest.approx(values(TRUE), rel=1e-6)
    assert found.residual < 1e-6
    assert len(found.points) == 9
    assert len(set(machine.prompts)) == len(machine.prompts)
    assert (found.method, found.model) == ("replay", "m")


async def test_an_engine_that_does_not_count_cannot_be_calibrated() -> None:
    machine = Machine(counts=False)
    with pytest.raises(EngineError, match="does not report token counts"):
        await calibrate(machine, Sampler(machine), engine_facts={}, idle_w={}, device="H200", domains=["gpu:0"])


async def test_a_domain_that_the_meter_lacks_is_named() -> None:
    machine = Machine()
    with pytest.raises(EngineError, match="no domain gpu:7"):
        await calibrate(machine, Sampler(machine), engine_facts={}, idle_w={}, device="H200", domains=["gpu:7"])
