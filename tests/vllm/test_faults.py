"""What goes wrong with a real vLLM, and with studies that run on it."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from forks import Fork, Forks, processes_with
from vllms import MODELS, START_S, arithmetic, engines_of, make_engine, workers_of

import orkester
from orkester.errors import CallFailed, EngineError
from orkester.optim.run.engine_log import read_events
from orkester.optim.run.events import BlockProgress, BlockRerun, Event
from orkester.serving.catalogue import Model
from orkester.serving.energy import UnavailableMeter
from orkester.serving.engines import EngineOptions
from orkester.serving.environments import VllmEnvironment
from orkester.serving.lease import EngineEvent, ServedModel
from orkester.serving.pool import Pool

MODEL = "arithmetic-80k"
WEIGHTS = MODELS / MODEL


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks() as forks:
        yield forks


def blocks_on_disk(run: Path) -> int:
    path = run / "blocks.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def expect_no_engines(run: Path) -> None:
    end = time.monotonic() + 60
    while left := engines_of(run):
        assert time.monotonic() < end, left
        time.sleep(0.1)


def test_a_study_that_is_killed_and_interrupted_goes_on_and_leaves_no_process(
    vllm: VllmEnvironment, forks: Forks, folder: Path
) -> None:
    del vllm
    # Whole teams, one after the other: this is about processes, and how many teams there are at the end is known.
    measure = {"examples": 24, "block": 4, "concurrency": 2, "deadline_s": 60, "stop_error": 0, "reuse": False}
    study = arithmetic(folder / "study", measure=measure, sampler="tpe")
    run = folder / "run"

    def tune() -> Fork:
        return forks.orkester("tune", str(study), "--run", str(run), folder=folder, output=folder / "said.txt")

    def until_blocks(process: Fork, count: int) -> None:
        process.wait(lambda: blocks_on_disk(run) >= count, deadline_s=START_S)
        assert process.code() is None, process.said

    process = tune()
    until_blocks(process, 1)
    assert engines_of(run)
    process.kill(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    expect_no_engines(run)

    process = tune()
    until_blocks(process, blocks_on_disk(run) + 1)
    process.kill(signal.SIGINT)
    assert process.wait(deadline_s=START_S) == 130, process.said
    assert "stopped after the block that was under way; the same command continues the run" in process.said
    assert "Traceback" not in process.said
    expect_no_engines(run)

    process = tune()
    until_blocks(process, blocks_on_disk(run) + 1)
    process.kill(signal.SIGINT)
    process.kill(signal.SIGINT)
    assert process.wait(deadline_s=START_S) == 130, process.said
    assert "Traceback" not in process.said
    expect_no_engines(run)

    process = tune()
    assert process.wait(deadline_s=START_S) == 0, process.said
    assert "resumed: " in process.said
    expect_no_engines(run)
    found = orkester.open_run(run)
    assert len(found.results.teams) == 3
    assert all(result.confirmed is not None for result in found.results.front)
    places = [(block.team, block.phase, block.index) for block in found.blocks]
    assert len(set(places)) == len(places)
    assert not processes_with(str(run))


async def test_a_seed_that_kills_the_cpu_build_is_survived(vllm: VllmEnvironment, tmp_path: Path) -> None:
    if vllm.build != "cpu":
        pytest.skip("only the CPU build dies of a seed")
    befell: list[EngineEvent] = []
    engine = make_engine(vllm, tmp_path, max_num_batched_tokens=64, enable_chunked_prefill=True)
    served = ServedModel(
        model=Model(name=MODEL, source=str(WEIGHTS)),
        weights=WEIGHTS,
        make_engine=lambda: engine,
    )
    pool = Pool(
        {MODEL: served},
        options=EngineOptions(slots=4, context_tokens=512, start_timeout_s=START_S, prefix_caching=False),
        log_dir=tmp_path / "logs",
        meter=UnavailableMeter("a test"),
        deadline_s=60,
        on_event=befell.append,
    )
    async with pool:
        lease = await pool.lease([MODEL])
        model = lease.models[MODEL]
        asked = {"agent": "a", "temperature": 0.5, "max_tokens": 4}
        short = [{"role": "user", "content": "What is 12 + 34?"}]
        long = [{"role": "user", "content": "What is " + " + ".join(["12"] * 40) + "?"}]
        # As a study asks, it does no harm: the engine says that it takes no seed, and none is sent.
        with contextlib.suppress(CallFailed):  # whatever so small a model says to that, or nothing
            await model.chat(long, seed=7, **asked)
        assert await pool.lost_engines(lease) == ()
        assert engine._endpoint is not None
        await poison(engine._endpoint.base_url, long)
        assert await pool.lost_engines(lease) == (MODEL,)
        again = await pool.lease([MODEL])
        assert (await again.models[MODEL].chat(short, **asked)).text
    assert [event.kind for event in befell] == ["started", "died", "started", "stopped"]
    assert "CPU Generator" in "".join(path.read_text() for path in (tmp_path / "logs").glob("*.log"))


async def poison(base_url: str, messages: list[dict[str, str]]) -> None:
    """Ask with a seed, past our client."""
    body = {"model": MODEL, "messages": messages, "max_tokens": 4, "temperature": 0.5, "seed": 7}
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session,
        session.post(f"{base_url}/chat/completions", json=body) as response,
    ):
        assert response.status == 500


def test_an_engine_that_hangs_in_a_block_is_ended_and_the_block_run_again(vllm: VllmEnvironment, folder: Path) -> None:
    del vllm
    run, seen = folder / "hung", list[Event]()

    def stop_once(event: Event) -> None:
        if isinstance(event, BlockProgress) and not any(isinstance(each, BlockProgress) for each in seen):
            for pid in workers_of(run):
                os.kill(pid, signal.SIGSTOP)
        seen.append(event)

    measure = {"examples": 8, "block": 8, "concurrency": 2, "deadline_s": 5}
    study = arithmetic(folder / "hanging", search={"single": {"model": "any"}}, measure=measure, budget={"trials": 1})
    found = orkester.tune(study, run, observer=stop_once)
    (rerun,) = [event for event in seen if isinstance(event, BlockRerun)]
    assert rerun.block == 0
    assert [block.reruns for block in found.blocks if block.phase == "search"] == [1]
    assert found.results.front
    assert [event.reason for event in read_events(run / "engines.jsonl") if event.kind == "died"] == [
        "it did not answer"
    ]
    expect_no_engines(run)


def test_an_unknown_vllm_option_ends_the_study_with_vllms_own_words(vllm: VllmEnvironment, tmp_path: Path) -> None:
    del vllm
    study = arithmetic(tmp_path / "study", engine={"vllm": {"options": {"no-such-option": 3}}})
    with pytest.raises(EngineError) as raised:
        orkester.tune(study, tmp_path / "run")
    first = str(raised.value).splitlines()[0]
    assert "unrecognized arguments: --no-such-option" in first
    assert raised.value.exit_code == 1
    assert orkester.open_run(tmp_path / "run").blocks == ()
    expect_no_engines(tmp_path / "run")
