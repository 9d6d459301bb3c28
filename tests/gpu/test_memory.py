"""Models that share a GPU: resident together where they fit, by turns where they do not."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import quick_folder
from vllms import MODELS, START_S, arithmetic, make_engine

import orkester
from orkester.optim.run.engine_log import read_events
from orkester.serving.catalogue import Model
from orkester.serving.energy import UnavailableMeter
from orkester.serving.engines import EngineOptions
from orkester.serving.environments import VllmEnvironment
from orkester.serving.lease import EngineEvent, ServedModel
from orkester.serving.ledger import Capacity
from orkester.serving.machine import gpus
from orkester.serving.pool import Pool

NAMES = ("arithmetic-80k", "arithmetic-580k")
OPTIONS = EngineOptions(slots=8, context_tokens=256, start_timeout_s=START_S)


def used_bytes() -> int:
    gpu = gpus()[0][0]
    return gpu.memory_bytes - gpu.free_bytes


@pytest.fixture
def folder() -> Iterator[Path]:
    with quick_folder() as path:
        yield path


def pool_of(vllm: VllmEnvironment, folder: Path, models: int, befell: list[EngineEvent]) -> Pool:
    """A pool for both models on a GPU that holds so many of them."""
    served = {
        name: ServedModel(
            model=Model(name=name, source=str(MODELS / name)),
            weights=MODELS / name,
            make_engine=lambda: make_engine(vllm, folder),
        )
        for name in NAMES
    }
    needs = [make_engine(vllm, folder).footprint(Model(name=n, source="-"), MODELS / n, OPTIONS) for n in NAMES]
    asleep = sum(each.asleep_device_bytes or 0 for each in needs)
    awake = sum(each.device_bytes for each in needs)
    return Pool(
        served,
        options=OPTIONS,
        log_dir=folder / "logs",
        meter=UnavailableMeter("a test"),
        deadline_s=60,
        capacity=Capacity(device_bytes=awake if models == len(NAMES) else awake - asleep),
        on_event=befell.append,
    )


async def answer(pool: Pool, name: str) -> str:
    lease = await pool.lease([name])
    reply = await lease.models[name].chat(
        [{"role": "user", "content": "What is 12 + 34?"}], agent="a", temperature=0, max_tokens=8
    )
    return reply.text


async def test_two_models_are_resident_together(vllm: VllmEnvironment, folder: Path) -> None:
    befell: list[EngineEvent] = []
    async with pool_of(vllm, folder, 2, befell) as pool:
        said = [await answer(pool, name) for name in (*NAMES, *NAMES)]
        assert pool.not_running(NAMES) == ()
    assert said[:2] == said[2:]
    assert [event.kind for event in befell] == ["started", "started", "stopped", "stopped"]


async def test_where_one_fits_the_other_sleeps_gives_its_memory_back_and_wakes_as_it_was(
    vllm: VllmEnvironment, folder: Path
) -> None:
    befell: list[EngineEvent] = []
    before = used_bytes()
    async with pool_of(vllm, folder, 1, befell) as pool:
        first = await answer(pool, NAMES[0])
        alone = used_bytes() - before
        other = await answer(pool, NAMES[1])
        both = used_bytes() - before
        assert both < 2 * alone
        assert await answer(pool, NAMES[0]) == first
        assert await answer(pool, NAMES[1]) == other
    kinds = [event.kind for event in befell]
    assert kinds == ["started", "slept", "started", "slept", "woken", "slept", "woken", "stopped", "stopped"]
    wakes = [event.seconds for event in befell if event.kind == "woken"]
    starts = [event.seconds for event in befell if event.kind == "started"]
    assert max(wakes) < min(starts)


def test_a_study_on_the_gpu_ends_with_a_front(vllm: VllmEnvironment, folder: Path) -> None:
    study = arithmetic(folder / "study", models=list(NAMES), engine={"vllm": {"python": str(vllm.python)}})
    run = orkester.tune(study, folder / "run")
    assert run.results.front
    assert all(not result.infeasible for result in run.results.teams)
    befell = read_events(run.path / "engines.jsonl")
    assert sorted({event.model for event in befell if event.kind == "started"}) == sorted(
        event.model for event in befell if event.kind == "started"
    )
