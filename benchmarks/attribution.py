"""Measures the error of attribution: joules are shared among agents on one engine, and the true shares are known.

    python benchmarks/attribution.py --simulate [--json FILE]
    python benchmarks/attribution.py --real MODEL [--engine vllm] [--json FILE]

Four agent roles ask one simulated engine with continuous batching at the same time. The engine's joules are shared by
three methods: the calibrated affine model, active time, and token counts. The error is Σ |attributed − true| / Σ true,
by request and summed by role. The affine model is calibrated on the same simulator, with prefill-only and decode-only
windows. The simulator has three physics; two of them break the model's assumptions.

On a real engine the true shares are unknown. There, each role's share of the joules when all roles ask at the same time
is compared with its share when each role asks alone.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from _simulator import REFRESH_S, Job, Physics, Run, simulate  # beside this file

from orkester.serving import machine
from orkester.serving.energy.attribution import Coefficients, attribute, count_steps
from orkester.serving.energy.calibration import Point, fit

PHYSICS = (
    Physics(name="same as the model"),
    Physics(name="superlinear attention", context_power=1.3, context_token_j=5e-5),
    Physics(name="batch saturation", knee=8),
)
#: The mean prompt and output tokens of each role.
ROLES: Mapping[str, tuple[int, int]] = {
    "planner": (300, 200),
    "reader": (3000, 40),
    "writer": (200, 500),
    "judge": (1000, 4),
}
REQUESTS = 120
SPAN_S = 20.0
BATCHES = (1, 8, 32)


def calibrated(physics: Physics, *, seed: int) -> Coefficients:
    """Calibrate like ``calibrate`` does: with the token and step counts that clients see, and the counter's joules."""
    points = []
    for size in BATCHES:
        for prompt, output in ((1500, 1), (16, 256), (1500, 256)):
            run = simulate(physics, [Job(role="", at_s=0.0, prompt=prompt, output=output)] * size, seed=seed)
            seconds = run.readings[-1].time_s
            points.append(
                Point(
                    steps=count_steps(run.requests),
                    prompt_tokens=size * prompt,
                    output_tokens=size * output,
                    context_output_tokens=size * (prompt * output + output * output / 2),
                    energy_j=run.readings[-1].energy_j["gpu:0"] - physics.idle_w * seconds,
                )
            )
    return fit(points)


def jobs(seed: int) -> list[Job]:
    """Draw jobs of random roles at random times, with token counts around each role's means."""
    rng = random.Random(seed)
    drawn = []
    for _ in range(REQUESTS):
        role = rng.choice(sorted(ROLES))
        prompt, output = (max(1, round(mean * rng.uniform(0.5, 1.5))) for mean in ROLES[role])
        drawn.append(Job(role=role, at_s=rng.uniform(0, SPAN_S), prompt=prompt, output=output))
    return drawn


def methods(run: Run, physics: Physics, cost: Coefficients) -> dict[str, Sequence[float]]:
    """Return the joules of each request by each method."""
    idle_w = {"gpu:0": physics.idle_w}
    without_tokens = [replace(request, prompt_tokens=None, output_tokens=None) for request in run.requests]
    attributions = {
        "affine": attribute(run.readings, run.requests, idle_w=idle_w, coefficients={"m": cost}, refresh_s=REFRESH_S),
        "time": attribute(run.readings, without_tokens, idle_w=idle_w, coefficients={}, refresh_s=REFRESH_S),
        "tokens": attribute(run.readings, run.requests, idle_w=idle_w, coefficients={}, refresh_s=REFRESH_S),
    }
    return {name: [one.requests_j[request.id] for request in run.requests] for name, one in attributions.items()}


def error(attributed_j: Sequence[float], true_j: Sequence[float], groups: Sequence[str]) -> float:
    """Return the energy-weighted error of the joules summed by group."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for attributed, true, group in zip(attributed_j, true_j, groups, strict=True):
        sums[group][0] += attributed
        sums[group][1] += true
    return sum(abs(attributed - true) for attributed, true in sums.values()) / sum(true_j)


def simulated(seeds: int, first: int = 0, say: Callable[[str], None] = print) -> list[dict[str, Any]]:
    """Return the errors for all physics, with one mix of jobs for each seed."""
    rows = []
    for physics in PHYSICS:
        errors: dict[tuple[str, str], list[float]] = defaultdict(list)
        for seed in range(first, first + seeds):
            cost = calibrated(physics, seed=1000 + seed)
            run = simulate(physics, jobs(seed), seed=seed)
            for name, attributed_j in methods(run, physics, cost).items():
                errors[name, "request"].append(error(attributed_j, run.true_j, [r.id for r in run.requests]))
                errors[name, "role"].append(error(attributed_j, run.true_j, run.roles))
        for (name, by), values in errors.items():
            rows.append(
                {
                    "physics": physics.name,
                    "method": name,
                    "by": by,
                    "median": statistics.median(values),
                    "low": min(values),
                    "high": max(values),
                }
            )
            row = rows[-1]
            say(f"{physics.name:24}{name:8}{by:9}{row['median']:8.1%}  ({row['low']:.1%} to {row['high']:.1%})")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--simulate", action="store_true", help="use the simulator")
    kind.add_argument("--real", metavar="MODEL", help="use this model on an engine of this machine")
    parser.add_argument("--engine", default="auto", choices=["auto", "llamacpp", "vllm"])
    parser.add_argument("--each", type=int, default=12, help="the number of requests of each role")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=10, help="the number of seeds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--json", type=Path, help="the file for the result")
    given = parser.parse_args()
    if given.seeds < 1:
        parser.error("--seeds takes 1 or more")
    result = _real(given) if given.real else _simulated(given)
    if given.json:
        result |= {
            "date": datetime.now(UTC).date().isoformat(),
            "machine": dict(machine.facts()),
            "versions": {
                "python": platform.python_version(),
                "numpy": version("numpy"),
                "orkester": version("orkester"),
            },
        }
        given.json.write_text(json.dumps(result, indent=2) + "\n")


def _simulated(given: argparse.Namespace) -> dict[str, Any]:
    return {
        "what": "energy-weighted error of attribution on a simulator; no device was measured",
        "errors": simulated(given.seeds, given.first),
        "seeds": list(range(given.first, given.first + given.seeds)),
        "requests": REQUESTS,
        "roles": {role: {"prompt": p, "output": o} for role, (p, o) in ROLES.items()},
        "physics": [asdict(physics) for physics in PHYSICS],
    }


def _real(given: argparse.Namespace) -> dict[str, Any]:
    from _attribution_real import run

    found = run(model=given.real, engine=given.engine, each=given.each, repeats=given.repeats)
    print(
        "median error of roles' parts: " + ", ".join(f"{name} {value:.1%}" for name, value in found["median"].items())
    )
    return {"what": "roles' parts of an engine's joules when all ask at once, against each alone", **found}


if __name__ == "__main__":
    main()
