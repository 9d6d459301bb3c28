"""Energy on a GPU, in one go: `bash benchmarks/gpu.sh energy [OPTIONS]`; see there.

Each part runs in a process of its own with a time limit, and its results are on disk as soon as they are known.

    parts       measures
    counter     idle power with 0, 1 and 2 engines resident; the energy counter against power summed up over 60 s, both
                read at once, idle and under load; five windows of the same load
    tokens      joules per output token: models of 0.5B to 14B × batch 1 to 256, through the energy benchmark
    vote        a vote of 1, 2, 3, 5, 7 and 9 agents: joules and latency of an example

Weights are dummies: what they cost does not depend on their values. With ``--device cpu`` the same runs on the fake
engine and the estimate meter, to test this script; its figures say nothing, and `dry` is true.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import _vllm
import gpu

import orkester
from orkester.bench.energy import Plan, bench_energy, built_in_prompts
from orkester.evals.running.runner import BlockPlan, BlockRunner
from orkester.evals.scorers import scorer
from orkester.evals.task import Example, Task
from orkester.graphs import Team
from orkester.optim.study.engine_parts import FakePart, VllmPart, VllmSettings
from orkester.serving import machine
from orkester.serving.catalogue import Model
from orkester.serving.client import ChatClient
from orkester.serving.energy import EstimateMeter, IdlePower, Meter, NvmlMeter, Reading, Sampler, window
from orkester.serving.engines import Endpoint, EngineOptions, FakeEngine, FakeScript
from orkester.serving.environments import VllmEnvironment

ROOT = _vllm.ROOT
#: With the most minutes that each may take.
PARTS = {"counter": 5.0, "tokens": 9.0, "vote": 4.0}
AGENTS = (1, 2, 3, 5, 7, 9)
OPTIONS = EngineOptions(slots=32, context_tokens=512, prefix_caching=False)
SCRIPT = FakeScript(latency_s=0.01)
Save = gpu.Save


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is done.

    Attributes:
        compare_s, repeat_s, vote_s, tokens_s: seconds of a window.
        models: the first two are resident together.
        batches, max_tokens: of requests.
    """

    compare_s: float
    repeat_s: float
    vote_s: float
    tokens_s: float
    models: Sequence[str]
    batches: Sequence[int]
    max_tokens: int


SIZES = {
    "cuda": Sizes(
        compare_s=60.0,
        repeat_s=12.0,
        vote_s=12.0,
        tokens_s=10.0,
        models=("qwen2.5-0.5b", "qwen2.5-1.5b", "qwen2.5-7b", "qwen2.5-14b"),
        batches=(1, 4, 16, 64, 256),
        max_tokens=128,
    ),
    "cpu": Sizes(
        compare_s=1.0,
        repeat_s=0.3,
        vote_s=0.2,
        tokens_s=0.3,
        models=("small", "large"),
        batches=(1, 4),
        max_tokens=16,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Given:
    """What was asked for.

    Attributes:
        device: cuda or cpu.
        vllm: the one to use; None for the fake engine.
    """

    device: str
    vllm: VllmEnvironment | None

    @property
    def sizes(self) -> Sizes:
        return SIZES[self.device]


# -- what the parts share ---------------------------------------------------------------------------------------------


def meter(given: Given, *, by_power: bool = False) -> Meter:
    """Of the first GPU that this process may use; the estimate in a rehearsal."""
    if given.device == "cpu":
        return EstimateMeter()
    return NvmlMeter([machine.gpus()[0][0].index], by_power=by_power)


@asynccontextmanager
async def serving(given: Given, name: str, folder: Path, meters: Sequence[Sampler]) -> AsyncIterator[ChatClient]:
    """A model for as long as the context lasts; its processes are known to the meters."""
    engine: Any
    weights: Path | None = None
    if given.vllm is None:
        engine = FakeEngine(SCRIPT)
    else:
        weights = _vllm.without_weights(name, folder)
        engine = _vllm.engine(given.vllm, folder / f"of-{name}", _vllm.DUMMY)
    model = Model(name=name, source=str(weights or "fake"))
    try:
        endpoint: Endpoint = await engine.start(model, weights, OPTIONS, folder / f"{name}.log")
        for each in meters:
            each.watch(f"engine:{name}", endpoint.pids)
        client = ChatClient(name, endpoint)
        try:
            yield client
        finally:
            await client.close()
    finally:
        await engine.stop()


async def keep_asking(client: ChatClient, given: Given, seconds: float, *, at_once: int = OPTIONS.slots) -> int:
    """So many requests in flight until the time is over; how many output tokens came back."""
    end_s, prompts, tokens = time.monotonic() + seconds, built_in_prompts(), 0

    async def one(place: int) -> None:
        nonlocal tokens
        number = place
        while time.monotonic() < end_s:
            content = prompts[number % len(prompts)].content
            message = [{"role": "user", "content": content}]
            reply = await client.chat(
                message, agent="load", temperature=0.7, max_tokens=given.sizes.max_tokens, sample=number
            )
            tokens += reply.output_tokens or 0
            number += at_once

    async with asyncio.TaskGroup() as group:
        for place in range(at_once):
            group.create_task(one(place))
    return tokens


def joules(sampler: Sampler, start: Reading | None, idle_w: Mapping[str, float] | None = None) -> dict[str, Any]:
    """From a reading until now."""
    end = sampler.read()
    if start is None or end is None:
        return {"method": sampler.method, "energy_j": None}
    found = window(sampler.between(start, end), sampler.limits, idle_w)
    seconds = end.time_s - start.time_s
    return {
        "method": sampler.method,
        "seconds": seconds,
        "energy_j": found.total_j,
        "mean_w": None if found.total_j is None else found.total_j / seconds,
        "error_j": found.error_j,
        "marks": list(found.marks),
        "gauges": {name: dict(values) for name, values in found.gauges.items()},
    }


def ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


# -- parts ------------------------------------------------------------------------------------------------------------


async def counter(given: Given, save: Save) -> None:
    """Idle power by resident engines; counter against power; windows of the same load."""
    sizes, result = given.sizes, dict[str, Any]({"idle_w": {}, "models": list(given.sizes.models[:2])})
    with tempfile.TemporaryDirectory(prefix="orkester-") as text, ExitStack() as stack:
        folder = Path(text)
        meters = [stack.enter_context(Sampler(meter(given, by_power=by_power))) for by_power in (False, True)]
        result["assumptions"] = [dict(each.assumptions) for each in meters]
        idle = IdlePower(meters[0])
        result["idle_w"]["0"] = await idle.measure(frozenset())
        save(result)

        async def both(work: Coroutine[Any, Any, Any]) -> dict[str, Any]:
            starts = [each.read() for each in meters]
            await work
            found = [joules(each, start) for each, start in zip(meters, starts, strict=True)]
            return {"windows": found, "power_over_counter": ratio(found[1]["energy_j"], found[0]["energy_j"])}

        async with serving(given, sizes.models[0], folder, meters) as client:
            idle_w = result["idle_w"]["1"] = await idle.measure(frozenset(sizes.models[:1]))
            save(result)
            result["idle"] = await both(asyncio.sleep(sizes.compare_s / 2))
            save(result)
            await keep_asking(client, given, sizes.repeat_s)  # warm
            result["under_load"] = await both(keep_asking(client, given, sizes.compare_s))
            save(result)
            repeated: list[dict[str, Any]] = []
            for _ in range(5):
                start = meters[0].read()
                tokens = await keep_asking(client, given, sizes.repeat_s)
                repeated.append(joules(meters[0], start, idle_w) | {"output_tokens": tokens})
            result["repeated"] = repeated
            result["spread"] = {
                "mean_w": spread([each["mean_w"] for each in repeated]),
                "j_per_output_token": spread([ratio(each["energy_j"], each["output_tokens"]) for each in repeated]),
            }
            save(result)
            async with serving(given, sizes.models[1], folder, meters):
                result["idle_w"]["2"] = await idle.measure(frozenset(sizes.models[:2]))
                save(result)


def spread(values: Sequence[float | None]) -> dict[str, float] | None:
    """Median, lowest, highest, and (highest − lowest) ÷ median; None where one is not known."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    middle = statistics.median(known)
    return {"median": middle, "low": min(known), "high": max(known), "range": (max(known) - min(known)) / middle}


def tokens(given: Given, save: Save) -> None:
    """Models × batch sizes; one at a time, so that a cut leaves those before."""
    result: dict[str, Any] = {"cells": [], "faults": {}}
    with tempfile.TemporaryDirectory(prefix="orkester-") as text:
        folder = Path(text)
        for name in given.sizes.models:
            if given.vllm is None:
                engine: Any = FakePart(fake=SCRIPT)
                model = name
            else:
                settings = VllmSettings(python=str(given.vllm.python), options=dict(_vllm.DUMMY))
                engine = VllmPart(vllm=settings)
                model = str(_vllm.without_weights(name, folder))
            try:
                found = bench_energy(
                    Plan(
                        models=[model],
                        engines=[engine],
                        batches=given.sizes.batches,
                        prompts=built_in_prompts(),
                        max_tokens=given.sizes.max_tokens,
                        seconds=given.sizes.tokens_s,
                        warm_up_s=1.0 if given.device == "cuda" else 0.0,
                        repeat=1,
                        context_tokens=OPTIONS.context_tokens,
                    ),
                    folder / f"out-{name}",
                    say=lambda line: print(line, flush=True),
                    meter=lambda _: meter(given),
                )
            except Exception as error:  # the next size may do better, and why this one failed is a result
                result["faults"][name] = f"{type(error).__name__}: {error}"[:1500]
            else:
                written = json.loads((found.folder / "results.json").read_text())
                result["cells"] += [{**row, "model": name} for row in written["cells"]]
                result.setdefault("windows", []).extend({**row, "model": name} for row in written["windows"])
            save(result)


async def vote(given: Given, save: Save) -> None:
    """One example at a time, so that agents of one team are all that is in a batch."""
    sizes = given.sizes
    name = sizes.models[0]
    result: dict[str, Any] = {"model": name, "agents": {}}
    task = Task(
        name="vote",
        shots=(),
        search=(),
        confirm=(),
        scorer=scorer("exact"),
        instruction="",
        max_tokens=sizes.max_tokens,
        extract=None,
        data_sha256="",
    )
    questions = [str(prompt.content) for prompt in built_in_prompts()]
    with tempfile.TemporaryDirectory(prefix="orkester-") as text, Sampler(meter(given)) as sampler:
        async with serving(given, name, Path(text), [sampler]) as client:
            idle_w = await IdlePower(sampler).measure(frozenset([name]))
            result["idle_w"] = idle_w
            runner = BlockRunner(task=task, meter=sampler, concurrency=1, deadline_s=60, seed=0)

            async def block(team: Team, count: int, index: int) -> Any:
                examples = [
                    Example(id=f"q{i}", question=questions[i % len(questions)], expected="") for i in range(count)
                ]
                plan = BlockPlan(team=team, examples=examples, phase="search", index=index, trial=0)
                return await runner.run(plan, {name: client}, engines={}, idle_w=idle_w)

            for agents in AGENTS:
                team = Team("vote", {"agents": agents, "model": name, "temperature": 0.7})
                trial = await block(team, 2, 0)  # warm, and how long an example takes
                count = max(3, math.ceil(1.2 * sizes.vote_s / max(trial.wall_s / 2, 1e-3)))
                found = await block(team, min(count, 2000), 1)
                total_j = None if found.energy_j is None else sum(found.energy_j.values())
                calls = [call for each in found.examples for call in each.calls]
                result["agents"][str(agents)] = {
                    "examples": len(found.examples),
                    "failed": sum(each.failure is not None for each in found.examples),
                    "method": found.energy_method,
                    "j_per_example": ratio(total_j, len(found.examples)),
                    "idle_j_per_example": ratio(found.energy_idle_j, len(found.examples)),
                    "error_j": found.energy_error_j,
                    "latency_p50_s": statistics.median(each.latency_s for each in found.examples),
                    "output_tokens_per_example": sum(call.output_tokens or 0 for call in calls) / len(found.examples),
                    "wall_s": found.wall_s,
                    "marks": list(found.energy_marks),
                }
                save(result)


_Part: TypeAlias = Callable[[Given, Save], Coroutine[Any, Any, None] | None]
_RUN: Mapping[str, _Part] = {"counter": counter, "tokens": tokens, "vote": vote}


# -- all of it --------------------------------------------------------------------------------------------------------


def run_part(name: str, given: Given, out: Path, limit_s: float) -> str:
    """Run a part in a process of its own; in words, how it went."""
    command = [sys.executable, str(Path(__file__)), "--part", name, "--device", given.device, "--out", str(out)]
    if given.vllm is not None:
        command += ["--vllm", str(given.vllm.python), given.vllm.version, given.vllm.build]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        code = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # so that it stops its engine
        try:
            process.wait(gpu.GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return f"cut off after {limit_s:.0f} s"
    return "done" if code == 0 else f"failed with exit code {code}"


def run_all(given: Given, parts: Sequence[str], out: Path, minutes: float) -> int:
    """All parts within so many minutes; the exit code."""
    end_s = time.monotonic() + minutes * 60
    if given.vllm is not None:
        about = gpu.about(gpu.Given(device=given.device, vllm=given.vllm))
    else:
        about = {"versions": {"orkester": orkester.__version__}, "machine": dict(machine.facts())}
    result: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "dry": given.device != "cuda",
        "weights": "dummy",
        **about,
        "parts": {},
    }
    for name in parts:
        left_s = end_s - time.monotonic() - gpu.GRACE_S
        begun_s = time.monotonic()
        how = "skipped: no time left"
        if left_s >= gpu.GRACE_S:
            how = run_part(name, given, out, min(left_s, PARTS[name] * 60))
        found = gpu.of_part(out, name)
        written = json.loads(found.read_text()) if found.exists() else {}
        result["parts"][name] = {"how": how, "took_s": round(time.monotonic() - begun_s, 1), **written}
        gpu.write(out, result)
        found.unlink(missing_ok=True)
        print(f"{name}: {how}", flush=True)
    print(f"results: {out}")
    return 0 if all(part["how"] == "done" for part in result["parts"].values()) else 1


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu: a rehearsal on the fake engine")
    parser.add_argument("--python", type=Path, help="of an environment with vLLM, instead of the installed one")
    parser.add_argument("--parts", default=",".join(PARTS), help="in this order")
    parser.add_argument("--minutes", type=float, default=18.0, help="for everything")
    parser.add_argument("--out", type=Path, help="benchmarks/results/energy-gpu-DATE.json if not given")
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--vllm", nargs=3, help=argparse.SUPPRESS)  # found once, since it takes an import of vLLM
    given = parser.parse_args()
    if given.part:
        vllm = None
        if given.vllm:
            python, version, build = given.vllm
            vllm = VllmEnvironment(python=Path(python), version=version, build=build)
        found = gpu.of_part(given.out, given.part)
        running = _RUN[given.part](Given(device=given.device, vllm=vllm), lambda data: gpu.write(found, data))
        if running is not None:
            asyncio.run(running)
        return
    parts = given.parts.split(",")
    if unknown := [part for part in parts if part not in PARTS]:
        parser.error(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    if given.device == "cuda" and not machine.gpus()[0]:
        parser.error(f"{machine.gpus()[1]}; --device cpu rehearses the script without one")
    name = f"{'energy-gpu' if given.device == 'cuda' else 'energy-gpu-rehearsal'}-{datetime.now(UTC):%Y-%m-%d}.json"
    out = given.out or ROOT / "benchmarks" / "results" / name
    vllm = _vllm.environment(given.python) if given.device == "cuda" else None
    sys.exit(run_all(Given(device=given.device, vllm=vllm), parts, out.absolute(), given.minutes))


if __name__ == "__main__":
    main()
