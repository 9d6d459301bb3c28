"""Everything that needs a GPU, in one go: `bash benchmarks/gpu.sh [OPTIONS]`; see there.

Each part runs in a process of its own with a time limit, and its results are on disk as soon as they are known: what is
cut off loses only what was under way. Several figures a part come one by one.

    parts           measures
    architectures   real architectures with dummy weights: start, output tokens/s at concurrency 1 and 32, memory
                    against what was predicted; sleep and wake against a second start, golden prompt after the wake
    resident        a study with two models resident at once, through the pool
    utilisation     benchmarks/utilisation.py
    tests           tests/gpu

With ``--device cpu`` the same runs on vLLM's CPU build with tiny models, to test this script; sleep is then the fake
engine's, and its times are those of nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import _vllm
import aiohttp
import utilisation
import yaml

import orkester
from orkester.optim.run.events import Event, TeamMeasured
from orkester.serving import machine
from orkester.serving.catalogue import Model
from orkester.serving.engines import Endpoint, Engine, EngineOptions, FakeEngine, FakeScript
from orkester.serving.engines._probe import greedy_answer
from orkester.serving.environments import VllmEnvironment
from orkester.serving.pool import GOLDEN_PROMPT

ROOT = _vllm.ROOT
#: In the order of what would be missed most; with the most minutes that each may take.
PARTS = {"architectures": 5.5, "resident": 2.5, "utilisation": 2.0, "tests": 2.0}
#: In this order, so that a cut leaves the extremes; sleep and a second start are timed for the first two.
SIZES = {
    "cuda": ("qwen2.5-0.5b", "qwen2.5-7b", "qwen2.5-1.5b", "qwen2.5-14b"),
    "cpu": ("arithmetic-80k", "arithmetic-580k"),
}
SLEEPERS = 2
CONCURRENCIES = (1, 32)
SLOTS = max(CONCURRENCIES)
#: Output tokens of a request, by device.
TOKENS = {"cuda": 256, "cpu": 16}
GRACE_S = 30.0
OPTIONS = EngineOptions(slots=SLOTS, context_tokens=1024)

#: Takes a part's results so far.
Save = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class Given:
    """What was asked for.

    Attributes:
        device: cuda or cpu.
        vllm: the one to use.
    """

    device: str
    vllm: VllmEnvironment


# -- parts ------------------------------------------------------------------------------------------------------------


async def architectures(given: Given, save: Save) -> None:
    """Start, speed, memory; sleep and wake against a second start."""
    results: dict[str, Any] = {"weights": "dummy", "vllm": str(given.vllm), "models": {}}
    with tempfile.TemporaryDirectory(prefix="orkester-") as text:
        folder = Path(text)
        for number, name in enumerate(SIZES[given.device]):
            about: dict[str, Any] = {"weights": "dummy"}
            results["models"][name] = about
            try:
                await _architecture(given, name, folder, about, lambda: save(results), sleeps=number < SLEEPERS)
            except Exception as error:  # the next size may do better, and why this one failed is a result
                about["failed"] = f"{type(error).__name__}: {error}"[:1500]
            save(results)


async def _architecture(
    given: Given, name: str, folder: Path, about: dict[str, Any], save: Callable[[], None], *, sleeps: bool
) -> None:
    weights = _vllm.without_weights(name, folder)
    model = Model(name=name, source=str(weights))
    engine = _vllm.engine(given.vllm, folder, _vllm.DUMMY)
    footprint = engine.footprint(model, weights, OPTIONS)
    before = _used_bytes(given.device)
    begun = time.monotonic()
    try:
        endpoint = await engine.start(model, weights, OPTIONS, folder / f"{name}.log")
        about["start_s"] = time.monotonic() - begun
        about["output_tokens_per_s"] = {
            str(at_once): await _speed(endpoint, at_once, tokens=TOKENS[given.device]) for at_once in CONCURRENCIES
        }
        used = _used_bytes(given.device, endpoint) - before
        predicted = footprint.device_bytes if given.device == "cuda" else footprint.host_bytes
        about["memory"] = {
            "of": "the GPU" if given.device == "cuda" else "the engine's processes, resident",
            "used_bytes": used,
            "predicted_bytes": predicted,
            "predicted_parts": dict(footprint.parts),
            "error": predicted / used - 1,
        }
        save()
        if not sleeps:
            return
        if given.device == "cuda":
            about["sleep"] = await _sleep(engine, endpoint, model.name, before)
        else:
            about["sleep"] = await _fake_sleep(folder)
        save()
        await engine.stop()
        begun = time.monotonic()
        await engine.start(model, weights, OPTIONS, folder / f"{name}-again.log")
        about["restart_s"] = time.monotonic() - begun
        if given.device == "cuda":  # the fake engine's wake says nothing
            about["restart_over_wake"] = about["restart_s"] / about["sleep"]["wake_s"]
    finally:
        await engine.stop()


async def _speed(endpoint: Endpoint, at_once: int, *, tokens: int) -> float:
    """Output tokens a second with so many requests in flight, each of a fixed length; the median of three rounds."""
    body = {"model": endpoint.model, "max_tokens": tokens, "temperature": 0.7, "ignore_eos": True}

    async def one(session: aiohttp.ClientSession, number: int) -> int:
        message = {"role": "user", "content": f"What is {number} + {number}?"}
        async with session.post(f"{endpoint.base_url}/chat/completions", json=body | {"messages": [message]}) as reply:
            reply.raise_for_status()
            return int((await reply.json())["usage"]["completion_tokens"])

    rates = []
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as session:
        await one(session, 0)
        for number in range(3):
            begun = time.monotonic()
            counts = await asyncio.gather(*(one(session, 100 * number + i) for i in range(at_once)))
            rates.append(sum(counts) / (time.monotonic() - begun))
    return statistics.median(rates)


async def _sleep(engine: Engine, endpoint: Endpoint, name: str, before: int) -> dict[str, Any]:
    """Sleep and wake three times; what the model says before and after, and the memory that is free meanwhile."""
    golden = await _golden(endpoint)
    awake, sleep_s, wake_s, asleep = _used_bytes("cuda"), [], [], 0
    same = True
    for _ in range(3):
        begun = time.monotonic()
        await engine.sleep()
        sleep_s.append(time.monotonic() - begun)
        asleep = _used_bytes("cuda")
        begun = time.monotonic()
        await engine.wake()
        wake_s.append(time.monotonic() - begun)
        same = same and await _golden(endpoint) == golden
    return {
        "engine": f"vllm, {name}",
        "level": 1,
        "sleep_s": statistics.median(sleep_s),
        "wake_s": statistics.median(wake_s),
        "first_wake_s": wake_s[0],
        "freed_bytes": awake - asleep,
        "kept_bytes": asleep - before,
        "golden_prompt_same": same,
    }


async def _fake_sleep(folder: Path) -> dict[str, Any]:
    """The same on the fake engine: whether this script works, and nothing about vLLM."""
    fake = FakeEngine(FakeScript(accuracy=1.0, sleeps=True))
    try:
        endpoint = await fake.start(Model(name="fake", source="fake"), None, OPTIONS, folder / "fake.log")
        golden = await _golden(endpoint)
        begun = time.monotonic()
        await fake.sleep()
        slept = time.monotonic()
        await fake.wake()
        woken = time.monotonic()
        same = await _golden(endpoint) == golden
    finally:
        await fake.stop()
    return {"engine": "fake", "sleep_s": slept - begun, "wake_s": woken - slept, "golden_prompt_same": same}


async def _golden(endpoint: Endpoint) -> str:
    return await greedy_answer(endpoint.base_url, endpoint.model, GOLDEN_PROMPT, max_tokens=12, timeout_s=60)


def resident(given: Given, save: Save) -> None:
    """A study with two models of the arithmetic family, real weights, both resident."""
    with tempfile.TemporaryDirectory(prefix="orkester-") as text:
        folder = Path(text)
        file = {
            "name": "resident",
            "task": {"data": str(utilisation.DATA), "scorer": "numeric", "confirm": 0.3, "max_tokens": 8},
            "models": ["arithmetic-80k", "arithmetic-580k"],
            "engine": {"vllm": {"python": str(given.vllm.python)}},
            "engine_options": {"context_tokens": 256},
            "search": {
                "single": {"model": "any"},
                "vote": {"agents": [2, 5], "model": "any", "temperature": [0.4, 1.0]},
                "cascade": {"first": "arithmetic-80k", "then": "arithmetic-580k", "votes": [2, 3], "agreement": 1.0},
            },
            "objectives": {"quality": "maximize", "latency_p50_s": "minimize"},
            "measure": {"examples": 64, "block": 32, "concurrency": 8, "deadline_s": 60},
            "budget": {"trials": 8},
        }
        (folder / "study.yaml").write_text(yaml.safe_dump(file))
        most = 0

        def watch(event: Event) -> None:
            nonlocal most
            if isinstance(event, TeamMeasured):  # seldom, since the driver takes its time
                most = max(most, _used_bytes(given.device))

        begun = time.monotonic()
        run = orkester.tune(folder / "study.yaml", folder / "run", observer=watch)
        elapsed_s = time.monotonic() - begun
        log = folder / "run" / "engines.jsonl"
        events = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        started = [event for event in events if event.get("kind") == "started"]
        by_model: dict[str, int] = {}
        for event in started:
            by_model[event["model"]] = by_model.get(event["model"], 0) + 1
        calls = [call for block in run.blocks for example in block.examples for call in example.calls]
        save(
            {
                "weights": "examples/models",
                "vllm": str(given.vllm),
                "study_s": elapsed_s,
                "in_blocks_s": sum(block.wall_s for block in run.blocks),
                "starts": by_model,
                "start_s": [event["seconds"] for event in started],
                "other_events": sum(event.get("kind") not in {"started", "stopped"} for event in events),
                "blocks": len(run.blocks),
                "calls": len(calls),
                "failed_calls": sum(call.failure is not None for call in calls),
                "most_memory_used_bytes": most,
                "front": [str(result.team) for result in run.results.front],
            }
        )


async def utilised(given: Given, save: Save) -> None:
    """A study's blocks against ``vllm bench serve``, on the smallest real architecture."""
    name, concurrency, max_tokens, examples = {
        "cuda": ("qwen2.5-0.5b", 8, 64, 64),
        "cpu": ("arithmetic-80k", 2, 8, 12),
    }[given.device]
    mix = utilisation.Mix(
        examples=utilisation.load_examples(utilisation.DATA)[:examples], concurrency=concurrency, max_tokens=max_tokens
    )
    with tempfile.TemporaryDirectory(prefix="orkester-") as text:
        weights = _vllm.without_weights(name, Path(text))
        async with _vllm.serving(name, weights, given.vllm, slots=mix.limit, options=_vllm.DUMMY) as (engine, endpoint):
            target = utilisation.Target(endpoint=endpoint, tokenizer=weights, python=given.vllm.python, engine=engine)
            found = await utilisation.measure(target, mix, repetitions=3 if given.device == "cuda" else 1, timeout_s=90)
    save(utilisation.summary(found, mix, {"model": name, "weights": "dummy", "engine": str(endpoint.facts["version"])}))


async def tests(given: Given, save: Save) -> None:
    """``tests/gpu``."""
    if given.device != "cuda":
        save({"skipped": "the tests need a GPU"})
        return
    done = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-q", "-m", "gpu", "--timeout", "110", "tests/gpu"),
        cwd=ROOT,
        env={**os.environ, "ORKESTER_TEST_VLLM_PYTHON": str(given.vllm.python)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await done.communicate()
    lines = output.decode(errors="replace").strip().splitlines()
    save({"exit_code": done.returncode, "output": lines[-15:]})


_Part: TypeAlias = Callable[[Given, Save], Coroutine[Any, Any, None] | None]
_RUN: Mapping[str, _Part] = {
    "architectures": architectures,
    "resident": resident,
    "utilisation": utilised,
    "tests": tests,
}


# -- the machine ------------------------------------------------------------------------------------------------------


def _used_bytes(device: str, endpoint: Endpoint | None = None) -> int:
    """Memory in use on the GPU; on the CPU that of an engine's processes, each page once where they share it."""
    if device == "cuda":
        gpu = machine.gpus()[0][0]
        return gpu.memory_bytes - gpu.free_bytes
    found = 0
    for pid in endpoint.pids if endpoint else ():
        with contextlib.suppress(OSError):
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            found += next(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))
    return found


def about(given: Given) -> dict[str, Any]:
    """Device, driver and versions."""
    gpus, _ = machine.gpus()
    code = "import json, torch, vllm; print(json.dumps([torch.__version__, vllm.__version__]))"
    asked = subprocess.run([str(given.vllm.python), "-c", code], capture_output=True, text=True, check=True)
    torch, vllm = json.loads(asked.stdout.splitlines()[-1])
    return {
        "device": gpus[0].name if given.device == "cuda" else machine.cpu_model(),
        "driver": gpus[0].driver if given.device == "cuda" else None,
        "memory_bytes": gpus[0].memory_bytes if given.device == "cuda" else machine.memory_bytes()[0],
        "versions": {"torch": torch, "vllm": vllm, "orkester": orkester.__version__},
        "machine": dict(machine.facts()),
    }


# -- all of it --------------------------------------------------------------------------------------------------------


def run_part(name: str, given: Given, out: Path, limit_s: float) -> str:
    """Run a part in a process of its own; in words, how it went."""
    command = [sys.executable, str(Path(__file__)), "--part", name, "--device", given.device, "--out", str(out)]
    command += ["--vllm", str(given.vllm.python), given.vllm.version, given.vllm.build]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        code = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # so that it stops its engine
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return f"cut off after {limit_s:.0f} s"
    return "done" if code == 0 else f"failed with exit code {code}"


def run_all(given: Given, parts: Sequence[str], out: Path, minutes: float) -> int:
    """All parts within so many minutes; the exit code."""
    end = time.monotonic() + minutes * 60
    result: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "dry": given.device != "cuda",
        **about(given),
        "parts": {},
    }
    write(out, result)
    for name in parts:
        left_s = end - time.monotonic() - GRACE_S
        if left_s < GRACE_S:
            how, seconds = "skipped: no time left", 0.0
        else:
            begun = time.monotonic()
            how = run_part(name, given, out, min(left_s, PARTS[name] * 60))
            seconds = time.monotonic() - begun
        found = of_part(out, name)
        written = json.loads(found.read_text()) if found.exists() else {}
        how = f"skipped: {written['skipped']}" if "skipped" in written else how
        result["parts"][name] = {"how": how, "took_s": round(seconds, 1), **written}
        write(out, result)
        found.unlink(missing_ok=True)
        print(f"{name}: {how} ({seconds:.0f} s)", flush=True)
    print(f"results: {out}")
    return 0 if all(part["how"].startswith(("done", "skipped")) for part in result["parts"].values()) else 1


def of_part(out: Path, name: str) -> Path:
    """Where a part's process leaves its results."""
    return out.with_name(f"{out.stem}.{name}.json")


def write(path: Path, data: Mapping[str, Any]) -> None:
    """In one step, so that a cut leaves the old or the new."""
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(data, indent=2) + "\n")
    draft.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu: a rehearsal on tiny models")
    parser.add_argument("--python", type=Path, help="of an environment with vLLM, instead of the installed one")
    parser.add_argument("--parts", default=",".join(PARTS), help="in this order")
    parser.add_argument("--minutes", type=float, default=8.0, help="for everything")
    parser.add_argument("--out", type=Path, help="benchmarks/results/gpu-DATE.json if not given")
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--vllm", nargs=3, help=argparse.SUPPRESS)  # found once, since it takes an import of vLLM
    given = parser.parse_args()
    if given.part:
        python, version, build = given.vllm
        vllm = VllmEnvironment(python=Path(python), version=version, build=build)
        asked = Given(device=given.device, vllm=vllm)
        found = of_part(given.out, given.part)
        running = _RUN[given.part](asked, lambda data: write(found, data))
        if running is not None:
            asyncio.run(running)
        return
    parts = given.parts.split(",")
    if unknown := [part for part in parts if part not in PARTS]:
        parser.error(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    if given.device == "cuda" and not machine.gpus()[0]:
        parser.error(f"{machine.gpus()[1]}; --device cpu rehearses the script without one")
    name = f"{'gpu' if given.device == 'cuda' else 'gpu-rehearsal'}-{datetime.now(UTC):%Y-%m-%d}.json"
    out = given.out or ROOT / "benchmarks" / "results" / name
    asked = Given(device=given.device, vllm=_vllm.environment(given.python))
    sys.exit(run_all(asked, parts, out.absolute(), given.minutes))


if __name__ == "__main__":
    main()
