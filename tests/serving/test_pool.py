"""The pool, on fake engines in processes of their own."""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path

import pytest
from contracts.engines import children, running, until

from orkester.errors import CallFailed, EngineError, EngineLost
from orkester.serving.catalogue import Model
from orkester.serving.chat import ChatModel
from orkester.serving.energy import EstimateMeter
from orkester.serving.engines import Endpoint, EngineOptions, ExternalEngine, FakeEngine, FakeScript, Fault
from orkester.serving.pool import MAX_RESTARTS, Pool, Served


class Watched(FakeEngine):
    """A fake engine whose starts can be counted and told apart, and made to fail."""

    starting = 0

    def __init__(self, *, fails: Callable[[int], bool] = lambda start: False, **script: object) -> None:
        super().__init__(FakeScript(**script))  # type: ignore[arg-type]
        self.fails = fails
        self.started = 0
        self.stopped = 0
        self.endpoint: Endpoint | None = None

    async def start(self, model: Model, weights: Path | None, options: EngineOptions, log: Path) -> Endpoint:
        assert Watched.starting == 0, "two engines start at the same time"
        Watched.starting += 1
        try:
            self.started += 1
            if self.fails(self.started):
                raise EngineError("it is said to fail")
            self.endpoint = await super().start(model, weights, options, log)
            return self.endpoint
        finally:
            Watched.starting -= 1

    async def stop(self) -> None:
        self.stopped += 1
        await super().stop()

    async def die(self) -> None:
        assert self.endpoint is not None
        os.kill(self.endpoint.pids[0], signal.SIGKILL)
        await until(lambda: not self.alive())


def pool_of(engines: Mapping[str, object], folder: Path, meter: EstimateMeter | None = None) -> Pool:
    return Pool(
        {
            name: Served(model=Model(name=name, source="none"), weights=None, engine=engine)
            for name, engine in engines.items()
        },  # type: ignore[arg-type]
        options=EngineOptions(),
        log_dir=folder / "logs",
        meter=meter or EstimateMeter(),
        deadline_s=20,
    )


async def ask(model: ChatModel) -> str:
    reply = await model.chat(
        [{"role": "user", "content": "What is 2 + 3?"}], agent="solver", temperature=0.0, max_tokens=8
    )
    return reply.text


async def test_engines_start_one_after_the_other_when_leased_and_once(tmp_path: Path) -> None:
    engines = {name: Watched() for name in ("small", "large", "unused")}
    async with pool_of(engines, tmp_path) as pool:
        assert pool.missing(["small", "large"]) == ("small", "large")
        leases = await asyncio.gather(*(pool.lease(["small", "large"]) for _ in range(3)))
        assert pool.missing(["small", "large"]) == ()
        assert [await ask(model) for model in leases[0].values()]
        assert all(lease == leases[0] for lease in leases)
        assert list(leases[0]) == ["small", "large"]
        assert pool.starts == {"small": 1, "large": 1}
        assert set(pool.start_s) == {"small", "large"}
        assert all(seconds > 0 for seconds in pool.start_s.values())
        assert pool.facts(["large"])["large"]["engine"] == "fake"
        assert (tmp_path / "logs" / "small.log").exists()
    assert [engine.started for engine in engines.values()] == [1, 1, 0]


async def test_a_dead_engine_is_noticed_started_again_and_counted(tmp_path: Path) -> None:
    engine = Watched()
    meter = EstimateMeter()
    async with pool_of({"small": engine}, tmp_path, meter) as pool:
        await pool.lease(["small"])
        assert pool.dead(["small"]) == ()
        first = meter.read()
        await engine.die()
        assert pool.dead(["small"]) == pool.missing(["small"]) == ("small",)
        leased = await pool.lease(["small"])
        assert pool.dead(["small"]) == ()
        assert await ask(leased["small"])
        assert pool.starts == {"small": 2}
        second = meter.read()
        assert first is not None
        assert second is not None
        assert second.energy_j["engine:small"] > first.energy_j["engine:small"]  # the new process is counted


async def test_an_engine_that_was_never_leased_is_not_dead(tmp_path: Path) -> None:
    async with pool_of({"small": Watched()}, tmp_path) as pool:
        assert pool.dead(["small"]) == ()


async def test_an_engine_that_dies_too_often_is_given_up(tmp_path: Path) -> None:
    engine = Watched()
    async with pool_of({"small": engine, "large": Watched()}, tmp_path) as pool:
        for _ in range(1 + MAX_RESTARTS):
            await pool.lease(["small"])
            await engine.die()
        with pytest.raises(EngineLost, match=f"small died {1 + MAX_RESTARTS} times and is given up") as raised:
            await pool.lease(["small"])
        assert str(tmp_path / "logs" / "small.log") in str(raised.value)
        assert engine.started == 1 + MAX_RESTARTS
        assert await ask((await pool.lease(["large"]))["large"])  # the others go on


async def test_an_engine_that_does_not_come_back_is_given_up(tmp_path: Path) -> None:
    engine = Watched(fails=lambda start: start > 1)
    async with pool_of({"small": engine}, tmp_path) as pool:
        await pool.lease(["small"])
        await engine.die()
        with pytest.raises(EngineLost, match="after its death, it is said to fail"):
            await pool.lease(["small"])


async def test_an_engine_that_does_not_start_at_first_is_an_error_of_another_kind(tmp_path: Path) -> None:
    async with pool_of({"small": Watched(fails=lambda start: True)}, tmp_path) as pool:
        with pytest.raises(EngineError) as raised:
            await pool.lease(["small"])
        assert not isinstance(raised.value, EngineLost)


async def test_a_fault_that_ends_the_process_is_a_death(tmp_path: Path) -> None:
    engine = Watched(faults=[Fault(kind="die", times=1)])
    async with pool_of({"small": engine}, tmp_path) as pool:
        leased = await pool.lease(["small"])
        with pytest.raises(CallFailed, match="connection"):
            await ask(leased["small"])
        await until(lambda: pool.dead(["small"]) == ("small",))


@pytest.mark.parametrize("ending", [None, ValueError, KeyboardInterrupt, asyncio.CancelledError])
async def test_all_are_stopped_however_it_ends(ending: type[BaseException] | None, tmp_path: Path) -> None:
    before = children()
    engines = {name: Watched() for name in ("small", "large")}
    with pytest.raises(ending) if ending else nullcontext():
        async with pool_of(engines, tmp_path) as pool:
            leased = await pool.lease(list(engines))
            await asyncio.gather(*(ask(model) for model in leased.values()))
            if ending is not None:
                raise ending
    assert not [pid for engine in engines.values() if engine.endpoint for pid in engine.endpoint.pids if running(pid)]
    assert children() <= before


async def test_all_are_stopped_when_one_does_not_start(tmp_path: Path) -> None:
    before = children()
    engines = {"small": Watched(), "large": Watched(fails=lambda start: True)}
    with pytest.raises(EngineError):
        async with pool_of(engines, tmp_path) as pool:
            await pool.lease(["small", "large"])
    assert children() <= before


async def test_all_are_stopped_when_one_cannot_be_stopped(tmp_path: Path) -> None:
    class Stubborn(Watched):
        async def stop(self) -> None:
            await super().stop()
            raise RuntimeError("it will not")

    before = children()
    engines = {"first": Stubborn(), "second": Watched(), "third": Stubborn(), "fourth": Watched()}
    with pytest.raises(RuntimeError, match="it will not"):
        async with pool_of(engines, tmp_path) as pool:
            await pool.lease(list(engines))
    assert [engine.stopped for engine in engines.values()] == [1, 1, 1, 1]
    assert children() <= before


async def test_what_starts_while_the_study_is_interrupted_is_stopped_too(tmp_path: Path) -> None:
    before = children()

    async def study() -> None:
        async with pool_of({"small": Watched()}, tmp_path) as pool:
            await pool.lease(["small"])

    task = asyncio.create_task(study())
    await until(lambda: bool(children() - before))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert children() <= before


async def test_models_at_one_address_share_its_limits(tmp_path: Path) -> None:
    # The server answers after 30 ms; were the limit each model's own, two calls would be under way at once.
    behind = FakeEngine(FakeScript(latency_s=0.03))
    try:
        endpoint = await behind.start(Model(name="x", source="none"), None, EngineOptions(), tmp_path / "behind.log")
        engines = {name: ExternalEngine(endpoint.base_url, model=name, concurrency=1) for name in ("small", "large")}
        async with pool_of(engines, tmp_path) as pool:
            leased = await pool.lease(["small", "large"])
            loop = asyncio.get_running_loop()
            start = loop.time()
            await asyncio.gather(*(ask(leased[name]) for name in ("small", "large") for _ in range(3)))
            assert loop.time() - start >= 6 * 0.03
    finally:
        await behind.stop()


async def test_an_endpoint_elsewhere_that_stops_answering_is_noticed(tmp_path: Path) -> None:
    behind = FakeEngine(FakeScript())
    try:
        endpoint = await behind.start(Model(name="x", source="none"), None, EngineOptions(), tmp_path / "behind.log")
        own = Watched()
        engines = {"small": ExternalEngine(endpoint.base_url, model="small"), "large": own}
        async with pool_of(engines, tmp_path) as pool:
            await pool.lease(["small", "large"])
            await pool.check_elsewhere(["small", "large"])
            assert own.started == 1  # our own are not probed
            await behind.stop()
            await pool.check_elsewhere(["large"])
            with pytest.raises(EngineError, match="cannot be reached"):
                await pool.check_elsewhere(["small", "large"])
    finally:
        await behind.stop()
