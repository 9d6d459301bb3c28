"""Measures the CPU time of a model call in this process: a bare client, Orkester's client, and a team with tracing.

    .venv/bin/python benchmarks/client_overhead.py [--json]

Calls go over loopback to the fake engine, which answers at once from its own process, so only the client's work is
counted. Three kinds of client take turns, so that other programs on the machine disturb all of them equally:

- bare    the ``openai`` package's AsyncOpenAI with its defaults, and nothing else
- client  Orkester's ChatClient, and nothing else
- team    blocks of a vote of five, as in a study: LangGraph, records, and spans on disk

The CPU time is that of this process (``time.process_time``) over a whole repetition, divided by the number of calls.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import openai

from orkester.evals.running.runner import BlockPlan, BlockRunner
from orkester.evals.scorers import scorer
from orkester.evals.task import Example, Task
from orkester.graphs import Team
from orkester.serving.catalogue import Model
from orkester.serving.client import ChatClient
from orkester.serving.energy import EstimateMeter, Sampler
from orkester.serving.engines import Endpoint, EngineOptions, FakeEngine, FakeScript
from orkester.serving.machine import facts
from orkester.telemetry import TraceStore

AGENTS = 5
MAX_TOKENS = 16
TEMPERATURE = 0.7
TEAM = Team("vote", {"agents": AGENTS, "model": "fake", "temperature": TEMPERATURE})

#: A function that makes the given number of model calls.
CallMany = Callable[[int], Awaitable[None]]


def question(number: int) -> str:
    return f"What is {number} + {number}?"


async def call_concurrently(concurrency: int, count: int, call: Callable[[int], Awaitable[object]]) -> None:
    """Make ``count`` calls, of which at most ``concurrency`` run at the same time."""
    slots = asyncio.Semaphore(concurrency)

    async def one(number: int) -> None:
        async with slots:
            await call(number)

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(one(number))


def bare_calls(endpoint: Endpoint, api: openai.AsyncOpenAI, concurrency: int) -> CallMany:
    async def call(number: int) -> None:
        reply = await api.chat.completions.create(
            model=endpoint.model,
            messages=[{"role": "user", "content": question(number)}],
            temperature=TEMPERATURE,
            max_tokens=MAX_TOKENS,
        )
        assert reply.choices[0].message.content

    return lambda calls: call_concurrently(concurrency, calls, call)


def client_calls(client: ChatClient, concurrency: int) -> CallMany:
    async def call(number: int) -> None:
        await client.chat(
            [{"role": "user", "content": question(number)}],
            agent="solver",
            temperature=TEMPERATURE,
            max_tokens=MAX_TOKENS,
        )

    return lambda calls: call_concurrently(concurrency, calls, call)


def team_calls(client: ChatClient, traces: TraceStore, concurrency: int) -> CallMany:
    task = Task(
        name="overhead",
        shots=(),
        search=(),
        confirm=(),
        scorer=scorer("exact"),
        instruction="",
        max_tokens=MAX_TOKENS,
        extract=None,
        data_sha256="",
    )
    runner = BlockRunner(
        task=task,
        meter=Sampler(EstimateMeter()),
        concurrency=max(1, round(concurrency / AGENTS)),
        deadline_s=60,
        seed=0,
        traces=traces,
    )

    async def run(calls: int) -> None:
        examples = [Example(id=f"q{i}", question=question(i), expected=str(2 * i)) for i in range(calls // AGENTS)]
        plan = BlockPlan(team=TEAM, examples=examples, phase="search", index=0, trial=0)
        with traces.trial(0, {}):
            block = await runner.run(plan, {"fake": client}, engines={})
        assert all(len(result.calls) == AGENTS and result.failure is None for result in block.examples)

    return run


async def measure(*, calls: int, repetitions: int, concurrency: int) -> dict[str, dict[str, list[float]]]:
    """Measure the CPU and wall seconds per call of each kind of client, with one value for each repetition."""
    engine = FakeEngine(FakeScript(accuracy=1.0))
    with tempfile.TemporaryDirectory() as folder:
        try:
            endpoint = await engine.start(
                Model(name="fake", source="none"), None, EngineOptions(), Path(folder) / "engine.log"
            )
            client = ChatClient("fake", endpoint)
            api = openai.AsyncOpenAI(base_url=endpoint.base_url, api_key="none")
            with TraceStore(Path(folder) / "traces", study="overhead") as traces:
                clients = {
                    "bare": bare_calls(endpoint, api, concurrency),
                    "client": client_calls(client, concurrency),
                    "team": team_calls(client, traces, concurrency),
                }
                times: dict[str, dict[str, list[float]]] = {name: {"cpu_s": [], "wall_s": []} for name in clients}
                for make_calls in clients.values():  # opens connections, imports modules and fills caches
                    await make_calls(2 * concurrency)
                order = list(clients)
                for _ in range(repetitions):
                    for name in order:
                        gc.collect()
                        cpu_s, wall_s = time.process_time(), time.perf_counter()
                        await clients[name](calls)
                        times[name]["cpu_s"].append((time.process_time() - cpu_s) / calls)
                        times[name]["wall_s"].append((time.perf_counter() - wall_s) / calls)
                    order = order[1:] + order[:1]
            await client.close()
            await api.close()
        finally:
            await engine.stop()
    return times


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median, the lowest and the highest value."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def summary(times: Mapping[str, Mapping[str, Sequence[float]]], settings: Mapping[str, int]) -> dict[str, Any]:
    """Return the result that ``--json`` prints. Each ratio is of two values from the same repetition."""
    cpu = {name: seconds["cpu_s"] for name, seconds in times.items()}

    def ratio(client: str, other: str) -> dict[str, float]:
        return spread([a / b for a, b in zip(cpu[client], cpu[other], strict=True)])

    return {
        "ratio": ratio("team", "bare")["median"],
        "ratios": {
            "team_over_bare": ratio("team", "bare"),
            "client_over_bare": ratio("client", "bare"),
            "team_over_client": ratio("team", "client"),
        },
        "cpu_s_per_call": {name: spread(values) for name, values in cpu.items()},
        "calls_per_s": {name: spread([1 / s for s in seconds["wall_s"]]) for name, seconds in times.items()},
        **settings,
        "versions": {"openai": openai.__version__},
        "machine": dict(facts()),
    }


def table(result: Mapping[str, Any]) -> str:
    """Return the result as a table."""
    machine = result["machine"]
    lines = [
        f"{result['calls']} calls per repetition, {result['repetitions']} repetitions, {result['concurrency']} at once",
        f"{machine['cpu']}, {machine['threads']} threads, Python {machine['python']}, openai {openai.__version__}",
        "",
        f"{'':8}{'CPU ms per call':>26}{'calls/s':>12}",
        f"{'':8}{'median':>10}{'low':>8}{'high':>8}{'median':>12}",
    ]
    for name, cpu in result["cpu_s_per_call"].items():
        ms = [1000 * cpu[key] for key in ("median", "low", "high")]
        rate = result["calls_per_s"][name]["median"]
        lines.append(f"{name:8}{ms[0]:10.2f}{ms[1]:8.2f}{ms[2]:8.2f}{rate:12.0f}")
    lines.append("")
    for name, ratio in result["ratios"].items():
        shown = name.replace("_", " ")
        lines.append(f"{shown:18}{ratio['median']:6.2f}  ({ratio['low']:.2f} to {ratio['high']:.2f})")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--calls", type=int, default=400, help="model calls per repetition (a multiple of 5)")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--concurrency", type=int, default=16, help="calls at the same time")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args()
    if given.calls < AGENTS or given.calls % AGENTS or given.repetitions < 1 or given.concurrency < 1:
        parser.error(f"--calls takes a multiple of {AGENTS}; --repetitions and --concurrency take 1 or more")
    settings = {"calls": given.calls, "repetitions": given.repetitions, "concurrency": given.concurrency}
    result = summary(asyncio.run(measure(**settings)), settings)
    print(json.dumps(result, indent=2) if given.json else table(result))


if __name__ == "__main__":
    main()
