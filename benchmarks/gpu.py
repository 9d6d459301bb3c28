"""Runs all measurements that need a GPU: `bash benchmarks/gpu.sh [OPTIONS]`; see that file.

Each part runs in its own process with a time limit. Every result is written to disk as soon as it is known, so a part
that is stopped loses only the measurement that was running.

    part            what it measures
    architectures   real architectures with dummy weights: the start, output tokens/s at concurrency 1 and 32, memory
                    compared with the prediction; sleep and wake compared with a second start, and the answer to the
                    golden prompt after the wake
    resident        a study with two models in memory at the same time, through the pool
    utilisation     benchmarks/utilisation.py
    tests           tests/gpu

With ``--device cpu`` the parts run on vLLM's CPU build with tiny models, to test this script. Sleep is then measured on
the fake engine, so its times have no meaning.
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
#: The parts, the most important first, with the most minutes that each may take.
PARTS = {"architectures": 5.5, "resident": 2.5, "utilisation": 2.0, "tests": 2.0}
#: The models by device. The smallest and a large one come first, so that they are measured even if time runs out. Sleep
#: and a second start are measured for the first ``SLEEPERS`` models.
SIZES = {
    "cuda": ("qwen2.5-0.5b", "qwen2.5-7b", "qwen2.5-1.5b", "qwen2.5-14b"),
    "cpu": ("arithmetic-80k", "arithmetic-580k"),
}
SLEEPERS = 2
CONCURRENCIES = (1, 32)
SLOTS = max(CONCURRENCIES)
#: The output tokens of a request, by device.
TOKENS = {"cuda": 256, "cpu": 16}
GRACE_S = 30.0
OPTIONS = EngineOptions(slots=SLOTS, context_tokens=1024)

#: A function that saves a part's results so far.
Save = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of all parts.

    Attributes:
        device: ``cuda`` or ``cpu``.
        vllm: The environment with vLLM.
    """

    device: str
    vllm: VllmEnvironment


# -- parts ------------------------------------------------------------------------------------------------------------


async def architectures(settings: Settings, save: Save) -> None:
    """Measure start, speed and memory, and compare sleep and wake with a second start."""
    results: dict[str, Any] = {"weights": "dummy", "vllm": str(settings.vllm), "models": {}}
    with tempfile.TemporaryDirectory(prefix="orkester-") as text:
        folder = Path(text)
        for number, name in enumerate(SIZES[settings.device]):
            about: dict[str, Any] = {"weights": "dummy"}
            results["models"][name] = about
            try:
                await _architecture(settings, name, folder, about, lambda: save(results), sleeps=number < SLEEPERS)
            except Exception as error:  # the reason of the failure is a result, and the next model may work
                about["failed"] = f"{type(error).__name__}: {error}"[:1500]
            save(results)


async def _architecture(
    settings: Settings, name: str, folder: Path, about: dict[str, Any], save: Callable[[], None], *, sleeps: bool
) -> None:
    weights = _vllm.without_weights(name, folder)
    model = Model(name=name, source=str(weights))
    engine = _vllm.engine(settings.vllm, folder, _vllm.DUMMY)
    footprint = engine.footprint(model, weights, OPTIONS)
    before = _used_bytes(settings.device)
    begun = time.monotonic()
    try:
        endpoint = await engine.start(model, weights, OPTIONS, folder / f"{name}.log")
        about["start_s"] = time.monotonic() - begun
        about["output_tokens_per_s"] = {
            str(at_once): await _speed(endpoint, at_once, tokens=TOKENS[settings.device]) for at_once in CONCURRENCIES
        }
        used = _used_bytes(settings.device, endpoint) - before
        predicted = footprint.device_bytes if settings.device == "cuda" else footprint.host_bytes
        about["memory"] = {
            "of": "the GPU" if settings.device == "cuda" else "the engine's processes, resident",
            "used_bytes": used,
            "predicted_bytes": predicted,
            "predicted_parts": dict(footprint.parts),
            "error": predicted / used - 1,
        }
        save()
        if not sleeps:
            return
        if settings.device == "cuda":
            about["sleep"] = await _sleep(engine, endpoint, model.name, before)
        else:
            about["sleep"] = await _fake_sleep(folder)
        save()
        await engine.stop()
        begun = time.monotonic()
        await engine.start(model, weights, OPTIONS, folder / f"{name}-again.log")
        about["restart_s"] = time.monotonic() - begun
        if settings.device == "cuda":  # the times of the fake engine have no meaning
            about["restart_over_wake"] = about["restart_s"] / about["sleep"]["wake_s"]
    finally:
        await engine.stop()


async def _speed(endpoint: Endpoint, at_once: int, *, tokens: int) -> float:
    """The output tokens per second with ``at_once`` requests of a fixed length; the median of three rounds."""
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
    """Sleep and wake three times, and compare the answers before and after and the memory awake and asleep."""
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
    """The same on the fake engine, which shows that this script works, but nothing about vLLM."""
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


def resident(settings: Settings, save: Save) -> None:
    """Run a study with two models of the arithmetic family, with real weights and both in memory."""
    with tempfile.TemporaryDirectory(prefix="orkester-") as text:
        folder = Path(text)
        file = {
            "name": "resident",
            "task": {"data": str(utilisation.DATA), "scorer": "numeric", "confirm": 0.3, "max_tokens": 8},
            "models": ["arithmetic-80k", "arithmetic-580k"],
            "engine": {"vllm": {"python": str(settings.vllm.python)}},
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
        max_used_bytes = 0

        def watch(event: Event) -> None:
            nonlocal max_used_bytes
            if isinstance(event, TeamMeasured):  # only at these events, because asking the driver is slow
                max_used_bytes = max(max_used_bytes, _used_bytes(settings.device))

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
                "vllm": str(settings.vllm),
                "study_s": elapsed_s,
                "in_blocks_s": sum(block.wall_s for block in run.blocks),
                "starts": by_model,
                "start_s": [event["seconds"] for event in started],
                "other_events": sum(event.get("kind") not in {"started", "stopped"} for event in events),
                "blocks": len(run.blocks),
                "calls": len(calls),
                "failed_calls": sum(call.failure is not None for call in calls),
                "most_memory_used_bytes": max_used_bytes,
                "front": [str(result.team) for result in run.results.front],
            }
        )


async def utilised(settings: Settings, save: Save) -> None:
    """Compare a study's blocks with ``vllm bench serve``, on the smallest real architecture."""
    name, concurrency, max_tokens, examples = {
        "cuda": ("qwen2.5-0.5b", 8, 64, 64),
        "cpu": ("arithmetic-80k", 2, 8, 12),
    }[settings.device]
    mix = utilisation.Mix(
        examples=utilisation.load_examples(utilisation.DATA)[:examples], concurrency=concurrency, max_tokens=max_tokens
    )
    with tempfile.TemporaryDirectory(prefix="orkester-") as text:
        weights = _vllm.without_weights(name, Path(text))
        async with _vllm.serving(name, weights, settings.vllm, slots=mix.limit, options=_vllm.DUMMY) as served:
            engine, endpoint = served
            target = utilisation.Target(
                endpoint=endpoint, tokenizer=weights, python=settings.vllm.python, engine=engine
            )
            repetitions = 3 if settings.device == "cuda" else 1
            found = await utilisation.measure(target, mix, repetitions=repetitions, timeout_s=90)
    save(utilisation.summary(found, mix, {"model": name, "weights": "dummy", "engine": str(endpoint.facts["version"])}))


async def tests(settings: Settings, save: Save) -> None:
    """Run the tests in ``tests/gpu``."""
    if settings.device != "cuda":
        save({"skipped": "the tests need a GPU"})
        return
    done = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-q", "-m", "gpu", "--timeout", "110", "tests/gpu"),
        cwd=ROOT,
        env={**os.environ, "ORKESTER_TEST_VLLM_PYTHON": str(settings.vllm.python)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await done.communicate()
    lines = output.decode(errors="replace").strip().splitlines()
    save({"exit_code": done.returncode, "output": lines[-15:]})


_Part: TypeAlias = Callable[[Settings, Save], Coroutine[Any, Any, None] | None]
_RUN: Mapping[str, _Part] = {
    "architectures": architectures,
    "resident": resident,
    "utilisation": utilised,
    "tests": tests,
}


# -- the machine ------------------------------------------------------------------------------------------------------


def _used_bytes(device: str, endpoint: Endpoint | None = None) -> int:
    """The memory in use on the GPU; on the CPU that of an engine's processes, with shared pages counted once."""
    if device == "cuda":
        gpu = machine.gpus()[0][0]
        return gpu.memory_bytes - gpu.free_bytes
    used_bytes = 0
    for pid in endpoint.pids if endpoint else ():
        with contextlib.suppress(OSError):
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            used_bytes += next(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))
    return used_bytes


def about(settings: Settings) -> dict[str, Any]:
    """Return the facts about device, driver and versions."""
    gpus, _ = machine.gpus()
    code = "import json, torch, vllm; print(json.dumps([torch.__version__, vllm.__version__]))"
    probe = subprocess.run([str(settings.vllm.python), "-c", code], capture_output=True, text=True, check=True)
    torch, vllm = json.loads(probe.stdout.splitlines()[-1])
    return {
        "device": gpus[0].name if settings.device == "cuda" else machine.cpu_model(),
        "driver": gpus[0].driver if settings.device == "cuda" else None,
        "memory_bytes": gpus[0].memory_bytes if settings.device == "cuda" else machine.memory_bytes()[0],
        "versions": {"torch": torch, "vllm": vllm, "orkester": orkester.__version__},
        "machine": dict(machine.facts()),
    }


# -- all of it --------------------------------------------------------------------------------------------------------


def run_part(name: str, settings: Settings, out: Path, limit_s: float) -> str:
    """Run a part in its own process, and return the outcome in words."""
    command = [sys.executable, str(Path(__file__)), "--part", name, "--device", settings.device, "--out", str(out)]
    command += ["--vllm", str(settings.vllm.python), settings.vllm.version, settings.vllm.build]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        code = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # the part then stops its engine
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return f"cut off after {limit_s:.0f} s"
    return "done" if code == 0 else f"failed with exit code {code}"


def run_all(settings: Settings, parts: Sequence[str], out: Path, minutes: float) -> int:
    """Run all parts within a number of minutes, and return the exit code."""
    end = time.monotonic() + minutes * 60
    result: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "dry": settings.device != "cuda",
        **about(settings),
        "parts": {},
    }
    write(out, result)
    for name in parts:
        left_s = end - time.monotonic() - GRACE_S
        if left_s < GRACE_S:
            outcome, seconds = "skipped: no time left", 0.0
        else:
            start_s = time.monotonic()
            outcome = run_part(name, settings, out, min(left_s, PARTS[name] * 60))
            seconds = time.monotonic() - start_s
        part_file = of_part(out, name)
        part_result = json.loads(part_file.read_text()) if part_file.exists() else {}
        outcome = f"skipped: {part_result['skipped']}" if "skipped" in part_result else outcome
        result["parts"][name] = {"how": outcome, "took_s": round(seconds, 1), **part_result}
        write(out, result)
        part_file.unlink(missing_ok=True)
        print(f"{name}: {outcome} ({seconds:.0f} s)", flush=True)
    print(f"results: {out}")
    return 0 if all(part["how"].startswith(("done", "skipped")) for part in result["parts"].values()) else 1


def of_part(out: Path, name: str) -> Path:
    """Return the path of a part's results."""
    return out.with_name(f"{out.stem}.{name}.json")


def write(path: Path, data: Mapping[str, Any]) -> None:
    """Write a JSON file in one step, so that an interruption leaves either the old or the new content."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(data, indent=2) + "\n")
    temporary.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu: a test run with tiny models")
    parser.add_argument("--python", type=Path, help="the Python of another environment with vLLM")
    parser.add_argument("--parts", default=",".join(PARTS), help="the parts to run, in this order")
    parser.add_argument("--minutes", type=float, default=8.0, help="the time limit for all parts together")
    parser.add_argument("--out", type=Path, help="the file for the results; default: benchmarks/results/gpu-DATE.json")
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--vllm", nargs=3, help=argparse.SUPPRESS)  # passed on, because finding it imports vLLM
    given = parser.parse_args()
    if given.part:
        python, version, build = given.vllm
        vllm = VllmEnvironment(python=Path(python), version=version, build=build)
        settings = Settings(device=given.device, vllm=vllm)
        part_file = of_part(given.out, given.part)
        coroutine = _RUN[given.part](settings, lambda data: write(part_file, data))
        if coroutine is not None:
            asyncio.run(coroutine)
        return
    parts = given.parts.split(",")
    if unknown := [part for part in parts if part not in PARTS]:
        parser.error(f"unknown part {unknown[0]!r}; the parts are {', '.join(PARTS)}")
    if given.device == "cuda" and not machine.gpus()[0]:
        parser.error(f"{machine.gpus()[1]}; to test the script without a GPU, use --device cpu")
    name = f"{'gpu' if given.device == 'cuda' else 'gpu-rehearsal'}-{datetime.now(UTC):%Y-%m-%d}.json"
    out = given.out or ROOT / "benchmarks" / "results" / name
    settings = Settings(device=given.device, vllm=_vllm.environment(given.python))
    sys.exit(run_all(settings, parts, out.absolute(), given.minutes))


if __name__ == "__main__":
    main()
