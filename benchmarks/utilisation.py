"""How busy a study keeps its engine: output tokens a second of its blocks ÷ those of vLLM's own benchmark client.

    .venv/bin/python benchmarks/utilisation.py [--json]                     starts vLLM (orkester engines install vllm)
    .venv/bin/python benchmarks/utilisation.py --python PYTHON              … that of another environment
    … --python PYTHON --base-url http://127.0.0.1:8000/v1 --model NAME --tokenizer FOLDER     one that runs

Both sides send the same requests, five of each question at temperature 0.7, to the same engine, and take turns:

- study   one block of a vote of five, as a study runs it: LangGraph, records, spans on disk
- bench   ``vllm bench serve``, which does nothing but send requests and count tokens

An example's five requests go out together, and the next example begins when the last of them is answered; so a study
with C examples under way has fewer than 5·C requests in flight most of the time. Bench runs twice: with its limit at
what the study had in flight on average (``ratio``), and at the study's own limit, 5·C (``ratio_same_limit``). Each side
fills up and drains once a repetition, and has as many requests. Engine and client share the machine's processor.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import statistics
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orkester.evals.data import load_examples
from orkester.evals.records.log import BlockLog
from orkester.evals.running.runner import BlockPlan, BlockRunner
from orkester.evals.scorers import scorer
from orkester.evals.task import Example, Task
from orkester.graphs import Team
from orkester.serving import machine
from orkester.serving.client import ChatClient
from orkester.serving.energy import EstimateMeter, Sampler
from orkester.serving.engines import Endpoint, Engine, EngineMetrics
from orkester.telemetry import TraceStore

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "examples" / "arithmetic.jsonl"
AGENTS = 5
TEMPERATURE = 0.7
DEADLINE_S = 300.0
#: Share of the processors that others may take before a repetition begins, and seconds to wait for it at most.
_QUIET = 0.1
_QUIET_TRIES = 30
#: ``vllm bench serve`` without the ``vllm`` command, which fails where the package's metadata has another name.
_BENCH = """
import sys
from vllm.benchmarks.serve import add_cli_args, main
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = FlexibleArgumentParser()
add_cli_args(parser)
main(parser.parse_args(sys.argv[1:]))
"""


@dataclass(frozen=True, kw_only=True)
class Mix:
    """The requests that both sides send.

    Attributes:
        examples: questions, each asked ``AGENTS`` times.
        concurrency: examples under way at once.
        max_tokens: most tokens of an answer.
    """

    examples: Sequence[Example]
    concurrency: int
    max_tokens: int

    @property
    def limit(self) -> int:
        """Most requests that the study has in flight."""
        return AGENTS * self.concurrency


@dataclass(frozen=True, kw_only=True)
class Side:
    """What one side did in one repetition.

    Attributes:
        tokens: output tokens.
        seconds: from the first request to the last answer.
        in_flight: requests in flight, on average over that time.
        limit: most of them.
    """

    tokens: int
    seconds: float
    in_flight: float
    limit: int

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.seconds


@dataclass(frozen=True, kw_only=True)
class Target:
    """The engine that both sides ask.

    Attributes:
        endpoint: where.
        tokenizer: the model's folder; bench counts prompt tokens with it.
        python: of the environment with vLLM.
        engine: which the study's blocks ask how busy it is; None where it is not ours.
    """

    endpoint: Endpoint
    tokenizer: Path
    python: Path
    engine: Engine | None = None

    async def metrics(self) -> Mapping[str, EngineMetrics]:
        """As a lease gives them to a block."""
        said = await self.engine.metrics() if self.engine else None
        return {self.endpoint.model: said} if said else {}


class StudySide:
    """Blocks as a study runs them, with records and spans in a folder."""

    def __init__(self, client: ChatClient, target: Target, mix: Mix, traces: TraceStore, log: BlockLog) -> None:
        self._client = client
        self._target = target
        self._mix = mix
        self._traces = traces
        self._log = log
        self._blocks = 0
        task = Task(
            name="utilisation",
            shots=(),
            search=(),
            confirm=(),
            scorer=scorer("numeric"),
            instruction="",
            max_tokens=mix.max_tokens,
            extract=None,
            data_sha256="",
        )
        self._runner = BlockRunner(
            task=task,
            meter=Sampler(EstimateMeter()),
            concurrency=mix.concurrency,
            deadline_s=DEADLINE_S,
            seed=0,
            traces=traces,
        )
        self._team = Team("vote", {"agents": AGENTS, "model": client.name, "temperature": TEMPERATURE})

    async def run(self, examples: Sequence[Example]) -> Side:
        """One block."""
        plan = BlockPlan(team=self._team, examples=examples, phase="search", index=self._blocks, trial=0)
        self._blocks += 1
        with self._traces.trial(0, {}):
            block = await self._runner.run(
                plan, {self._client.name: self._client}, engines={}, metrics=self._target.metrics
            )
        self._log.append(block)
        calls = [call for example in block.examples for call in example.calls]
        if failed := [call.failure for call in calls if call.failure]:
            raise SystemExit(f"{len(failed)} of the study's {len(calls)} calls failed: {failed[0]}")
        return Side(
            tokens=sum(call.output_tokens or 0 for call in calls),
            seconds=block.wall_s,
            in_flight=sum(call.latency_s for call in calls) / block.wall_s,
            limit=self._mix.limit,
        )


def bench(target: Target, mix: Mix, limit: int, folder: Path, *, timeout_s: float) -> Side:
    """``vllm bench serve`` once, with so many requests in flight at most."""
    prompts = [{"conversations": [{"value": e.question}, {"value": "-"}]} for e in mix.examples for _ in range(AGENTS)]
    data, found = folder / "prompts.json", folder / "bench.json"
    data.write_text(json.dumps(prompts))
    command = [
        *(str(target.python), "-c", _BENCH),
        *("--backend", "openai-chat", "--endpoint", "/v1/chat/completions"),
        *("--base-url", target.endpoint.base_url.removesuffix("/v1")),
        *("--model", str(target.tokenizer), "--served-model-name", target.endpoint.model),
        # ShareGPT's layout is read without pandas, which vLLM's environment does not have.
        *("--dataset-name", "sharegpt", "--dataset-path", str(data), "--sharegpt-output-len", str(mix.max_tokens)),
        *("--num-prompts", str(len(prompts)), "--max-concurrency", str(limit), "--num-warmups", str(limit)),
        *("--temperature", str(TEMPERATURE), "--disable-shuffle", "--disable-tqdm", "--save-result", "--save-detailed"),
        *("--result-dir", str(folder), "--result-filename", found.name),
    ]
    silent = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "WARNING"}
    done = subprocess.run(
        command, env={**os.environ, **silent}, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    if done.returncode or not found.exists():
        raise SystemExit(f"vllm bench serve failed ({done.returncode}):\n{(done.stdout + done.stderr)[-2000:]}")
    said = json.loads(found.read_text())
    found.unlink()
    if said["completed"] != len(prompts):
        raise SystemExit(f"vllm bench serve completed {said['completed']} of {len(prompts)} requests")
    busy_s = sum(said["ttfts"]) + sum(sum(times) for times in said["itls"])
    return Side(
        tokens=said["total_output_tokens"], seconds=said["duration"], in_flight=busy_s / said["duration"], limit=limit
    )


async def measure(
    target: Target, mix: Mix, *, repetitions: int, timeout_s: float = 300
) -> tuple[dict[str, list[Side]], list[float]]:
    """Both sides in turn, so often; and how busy the machine was before each repetition, with other things."""
    busy: list[float] = []
    found: dict[str, list[Side]] = {"study": [], "bench": [], "bench_same_limit": []}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orkester-")))
        traces = stack.enter_context(TraceStore(folder / "traces", study="utilisation"))
        log = stack.enter_context(BlockLog(folder / "blocks.jsonl"))
        client = ChatClient(target.endpoint.model, target.endpoint, deadline_s=DEADLINE_S)
        stack.push_async_callback(client.close)
        client.prepare()
        study = StudySide(client, target, mix, traces, log)
        await study.run(mix.examples)  # so that the prefix cache knows what it will know, for both

        async def ask_bench(limit: int) -> Side:
            return await asyncio.to_thread(bench, target, mix, limit, folder, timeout_s=timeout_s)

        for number in range(repetitions):
            gc.collect()
            busy.append(await quiet())
            ours = await study.run(mix.examples)
            like = round(ours.in_flight)
            limits = {"bench": like, "bench_same_limit": mix.limit}
            for name in sorted(limits, reverse=number % 2 == 1):
                found[name].append(await ask_bench(limits[name]))
            found["study"].append(ours)
    return found, busy


async def quiet() -> float:
    """Wait until other processes leave the processors alone, for a while; the share of them that they still take."""
    for _ in range(_QUIET_TRIES):
        before = _ticks()
        await asyncio.sleep(1)
        after = _ticks()
        busy = 1 - (after[1] - before[1]) / max(1, after[0] - before[0])
        if busy < _QUIET:
            break
    return busy


def _ticks() -> tuple[int, int]:
    """Of all processors since the system started: all, and those without work (proc(5), /proc/stat)."""
    fields = [int(text) for text in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(fields), fields[3] + fields[4]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, lowest and highest."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def summary(
    measured: tuple[Mapping[str, Sequence[Side]], Sequence[float]], mix: Mix, about: Mapping[str, object]
) -> dict[str, Any]:
    """What ``--json`` prints. Ratios are of one repetition's values, so of neighbours in time."""
    found, busy = measured
    rates = {name: [side.tokens_per_s for side in sides] for name, sides in found.items()}

    def ratio(to: str) -> dict[str, float]:
        return spread([ours / theirs for ours, theirs in zip(rates["study"], rates[to], strict=True)])

    return {
        "ratio": ratio("bench")["median"],
        "ratios": {"ratio": ratio("bench"), "ratio_same_limit": ratio("bench_same_limit")},
        "output_tokens_per_s": {name: spread(values) for name, values in rates.items()},
        "in_flight": {name: spread([side.in_flight for side in sides]) for name, sides in found.items()},
        "tokens": {name: spread([side.tokens for side in sides]) for name, sides in found.items()},
        "seconds": {name: spread([side.seconds for side in sides]) for name, sides in found.items()},
        "limits": {name: [side.limit for side in sides] for name, sides in found.items()},
        "requests": AGENTS * len(mix.examples),
        "examples": len(mix.examples),
        "concurrency": mix.concurrency,
        "max_tokens": mix.max_tokens,
        "repetitions": len(rates["study"]),
        "busy_with_others": spread(busy),
        **about,
        "machine": dict(machine.facts()),
    }


def table(result: Mapping[str, Any]) -> str:
    """The result for people."""
    about = result["machine"]
    asked = f"{result['requests']} requests a repetition ({result['examples']} examples, a vote of {AGENTS})"
    device = ", ".join(about["gpus"]) or about["cpu"]
    lines = [
        f"{asked}, {result['concurrency']} examples at once, {result['repetitions']} repetitions",
        f"{result['model']}, {result['engine']}; {device}, {about['threads']} threads",
        "",
        f"{'':18}{'output tokens/s':>30}{'in flight':>12}",
        f"{'':18}{'median':>10}{'low':>10}{'high':>10}{'median':>12}",
    ]
    for name, rate in result["output_tokens_per_s"].items():
        flight = result["in_flight"][name]["median"]
        lines.append(f"{name:18}{rate['median']:10.0f}{rate['low']:10.0f}{rate['high']:10.0f}{flight:12.1f}")
    others = result["busy_with_others"]
    lines += ["", f"processors busy with other things before: {others['median']:.0%} (at most {others['high']:.0%})"]
    lines += [
        f"{name.replace('_', ' '):18}{ratio['median']:10.2f}  ({ratio['low']:.2f} to {ratio['high']:.2f})"
        for name, ratio in result["ratios"].items()
    ]
    return "\n".join(lines)


async def run(given: argparse.Namespace, mix: Mix) -> dict[str, Any]:
    """Measure against the engine that runs, or against one of our own."""
    name = given.model
    if given.base_url:
        # vLLM's CPU build dies of a request's seed, and nobody says which build listens there.
        endpoint = Endpoint(base_url=given.base_url.rstrip("/"), model=name, takes_seed=False)
        target = Target(endpoint=endpoint, tokenizer=given.tokenizer, python=given.python)
        found = await measure(target, mix, repetitions=given.repetitions)
        return summary(found, mix, {"model": name, "engine": "vllm, started by hand"})
    from _vllm import environment, serving, weights_of  # beside this file

    vllm = environment(given.python)
    weights = weights_of(name, vllm)
    async with serving(name, weights, vllm, slots=mix.limit) as (engine, endpoint):
        target = Target(endpoint=endpoint, tokenizer=weights, python=vllm.python, engine=engine)
        found = await measure(target, mix, repetitions=given.repetitions)
    return summary(found, mix, {"model": name, "engine": endpoint.facts["version"]})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--model", default="smollm2-135m", help="of the catalogue")
    parser.add_argument("--examples", type=int, default=24, help="examples of one repetition")
    parser.add_argument("--concurrency", type=int, default=4, help="examples under way at once")
    parser.add_argument("--max-tokens", type=int, default=32, help="most tokens of an answer")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--python", type=Path, help="of an environment with vLLM, instead of the installed one")
    parser.add_argument("--base-url", help="of a vLLM that runs, instead of starting one")
    parser.add_argument("--tokenizer", type=Path, help="with --base-url: folder of the model that runs there")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args()
    examples = load_examples(DATA)
    if not 2 * given.concurrency <= given.examples <= len(examples) or given.concurrency < 1 or given.repetitions < 1:
        parser.error(f"--examples takes twice the concurrency to {len(examples)}; the other counts take 1 or more")
    if given.base_url and not (given.python and given.tokenizer):
        parser.error("--base-url needs --python, where vLLM's benchmark client runs, and --tokenizer, which it reads")
    mix = Mix(examples=examples[: given.examples], concurrency=given.concurrency, max_tokens=given.max_tokens)
    result = asyncio.run(run(given, mix))
    print(json.dumps(result, indent=2) if given.json else table(result))


if __name__ == "__main__":
    main()
