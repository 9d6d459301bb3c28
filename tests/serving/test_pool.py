"""The pool, on fake engines in processes of their own."""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path

import pytest

from orkester.errors import CallFailed, EngineError, EngineLost
from orkester.serving.catalogue import Model
from orkester.serving.chat import ChatModel
from orkester.serving.energy import EstimateMeter
from orkester.serving.engines import Endpoint, EngineOptions, ExternalEngine, FakeEngine, FakeScript, Fault
from orkester.serving.lease import EngineEvent, ServedModel
from orkester.serving.ledger import Capacity
from orkester.serving.pool import MAX_DEATHS, Pool
from orkester.testing.engine_contract import children, running, until


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


def pool_of(
    engines: Mapping[str, object],
    folder: Path,
    *,
    meter: EstimateMeter | None = None,
    deadline_s: float = 20,
    **settings: object,
) -> Pool:
    return Pool(
        {
            name: ServedModel(
                model=Model(name=name, source="none"), weights=None, make_engine=lambda engine=engine: engine
            )
            for name, engine in engines.items()
        },  # type: ignore[arg-type]
        options=EngineOptions(),
        log_dir=folder / "logs",
        meter=meter or EstimateMeter(),
        deadline_s=deadline_s,
        **settings,  # type: ignore[arg-type]
    )


async def ask(model: ChatModel) -> str:
    reply = await model.chat(
        [{"role": "user", "content": "What is 2 + 3?"}], agent="solver", temperature=0.0, max_tokens=8
    )
    return reply.text


async def test_engines_start_one_after_the_other_when_leased_and_once(tmp_path: Path) -> None:
    engines = {name: Watched() for name in ("small", "large", "unused")}
    events: list[EngineEvent] = []
    async with pool_of(engines, tmp_path, on_event=events.append) as pool:
        assert pool.not_running(["small", "large"]) == ("small", "large")
        leases = await asyncio.gather(*(pool.lease(["small", "large"]) for _ in range(3)))
        assert pool.not_running(["small", "large"]) == ()
        assert [await ask(model) for model in leases[0].models.values()]
        assert all(lease.models == leases[0].models for lease in leases)
        assert list(leases[0].models) == ["small", "large"]
        assert [(event.kind, event.model) for event in events] == [("started", "small"), ("started", "large")]
        assert all(event.seconds > 0 for event in events)
        assert leases[0].facts["large"]["engine"] == "fake"
        assert (tmp_path / "logs" / "small.log").exists()
    assert [engine.started for engine in engines.values()] == [1, 1, 0]
    assert [event.kind for event in events[2:]] == ["stopped", "stopped"]


async def test_a_dead_engine_is_noticed_started_again_and_counted(tmp_path: Path) -> None:
    engine = Watched()
    meter = EstimateMeter()
    events: list[EngineEvent] = []
    async with pool_of({"small": engine}, tmp_path, meter=meter, on_event=events.append) as pool:
        lease = await pool.lease(["small"])
        assert await pool.lost_engines(lease) == ()
        first = meter.read()
        await engine.die()
        assert pool.not_running(["small"]) == ("small",)
        assert await pool.lost_engines(lease) == ("small",)
        lease = await pool.lease(["small"])
        assert await pool.lost_engines(lease) == ()
        assert await ask(lease.models["small"])
        assert [event.kind for event in events] == ["started", "died", "started"]
        second = meter.read()
        assert first is not None
        assert second is not None
        assert second.energy_j["engine:small"] > first.energy_j["engine:small"]  # the new process is counted


async def test_a_death_that_nobody_asked_about_is_found_by_the_next_lease(tmp_path: Path) -> None:
    engine = Watched()
    events: list[EngineEvent] = []
    async with pool_of({"small": engine}, tmp_path, on_event=events.append) as pool:
        await pool.lease(["small"])
        await engine.die()
        assert await ask((await pool.lease(["small"])).models["small"])
    assert [event.kind for event in events] == ["started", "died", "started", "stopped"]


async def test_an_engine_that_hangs_is_ended_and_started_again(tmp_path: Path) -> None:
    engine = Watched(faults=[Fault(kind="freeze", times=1)])
    events: list[EngineEvent] = []
    async with pool_of({"small": engine}, tmp_path, deadline_s=0.3, on_event=events.append) as pool:
        lease = await pool.lease(["small"])
        pids = engine.endpoint.pids if engine.endpoint else ()
        with pytest.raises(CallFailed, match="timeout"):
            await ask(lease.models["small"])
        assert engine.alive()
        assert await pool.lost_engines(lease) == ("small",)
        assert not any(running(pid) for pid in pids)
        assert events[-1].reason == "it did not answer"
        await pool.lease(["small"])
        assert engine.started == 2


async def test_an_engine_that_dies_too_often_is_given_up(tmp_path: Path) -> None:
    engine = Watched()
    async with pool_of({"small": engine, "large": Watched()}, tmp_path) as pool:
        for _ in range(MAX_DEATHS):
            await pool.lease(["small"])
            await engine.die()
        with pytest.raises(EngineLost, match=f"small died {MAX_DEATHS} times and is not started again") as raised:
            await pool.lease(["small"])
        assert str(tmp_path / "logs" / "small.log") in str(raised.value)
        assert engine.started == MAX_DEATHS
        assert await ask((await pool.lease(["large"])).models["large"])  # the others go on


async def test_an_engine_that_does_not_come_back_is_given_up(tmp_path: Path) -> None:
    engine = Watched(fails=lambda start: start > 1)
    async with pool_of({"small": engine}, tmp_path) as pool:
        await pool.lease(["small"])
        await engine.die()
        with pytest.raises(EngineLost, match="the engine of small died and did not start again: it is said to fail"):
            await pool.lease(["small"])


async def test_one_that_made_room_and_does_not_come_back_costs_its_teams_and_not_the_study(tmp_path: Path) -> None:
    engines = {
        "small": Watched(memory_bytes=8 * GIB, fails=lambda start: start > 1),
        "large": Watched(memory_bytes=8 * GIB),
    }
    async with pool_of(engines, tmp_path, capacity=ONE_AT_A_TIME) as pool:
        await pool.lease(["small"])
        await pool.lease(["large"])
        with pytest.raises(EngineLost, match="the engine of small did not start again: it is said to fail"):
            await pool.lease(["small"])
        assert await ask((await pool.lease(["large"])).models["large"])


async def test_an_engine_that_does_not_start_at_first_is_an_error_of_another_kind(tmp_path: Path) -> None:
    async with pool_of({"small": Watched(fails=lambda start: True)}, tmp_path) as pool:
        with pytest.raises(EngineError) as raised:
            await pool.lease(["small"])
        assert not isinstance(raised.value, EngineLost)


async def test_a_fault_that_ends_the_process_is_a_death(tmp_path: Path) -> None:
    engine = Watched(faults=[Fault(kind="die", times=1)])
    async with pool_of({"small": engine}, tmp_path) as pool:
        lease = await pool.lease(["small"])
        with pytest.raises(CallFailed, match="connection"):
            await ask(lease.models["small"])
        await until(lambda: not engine.alive())
        assert await pool.lost_engines(lease) == ("small",)


@pytest.mark.parametrize("ending", [None, ValueError, KeyboardInterrupt, asyncio.CancelledError])
async def test_all_are_stopped_however_it_ends(ending: type[BaseException] | None, tmp_path: Path) -> None:
    before = children()
    engines = {name: Watched() for name in ("small", "large")}
    with pytest.raises(ending) if ending else nullcontext():
        async with pool_of(engines, tmp_path) as pool:
            lease = await pool.lease(list(engines))
            await asyncio.gather(*(ask(model) for model in lease.models.values()))
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
            leased = (await pool.lease(["small", "large"])).models
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
            lease = await pool.lease(["small", "large"])
            assert await pool.lost_engines(lease) == ()
            assert own.started == 1  # our own are not started again to see whether they answer
            await behind.stop()
            assert await pool.lost_engines(await pool.lease(["large"])) == ()
            with pytest.raises(EngineError, match="cannot be reached"):
                await pool.lost_engines(lease)
    finally:
        await behind.stop()


# -- memory -----------------------------------------------------------------------------------------------------------

GIB = 2**30
ONE_AT_A_TIME = Capacity(device_bytes=10 * GIB, host_bytes=100 * GIB)


def history(events: list[EngineEvent]) -> list[tuple[str, str]]:
    return [(event.kind, event.model) for event in events]


async def test_engines_that_fit_together_stay(tmp_path: Path) -> None:
    engines = {name: Watched(memory_bytes=4 * GIB, sleeps=True) for name in ("small", "large")}
    events: list[EngineEvent] = []
    async with pool_of(engines, tmp_path, capacity=ONE_AT_A_TIME, on_event=events.append) as pool:
        assert pool.fits([(["small"], {}), (["large"], {})])
        for _ in range(3):
            await pool.lease(["small"])
            await pool.lease(["large"])
        assert history(events) == [("started", "small"), ("started", "large")]


async def test_an_engine_sleeps_when_another_needs_its_place_and_is_woken(tmp_path: Path) -> None:
    engines = {name: Watched(memory_bytes=8 * GIB, sleeps=True) for name in ("small", "large")}
    events: list[EngineEvent] = []
    async with pool_of(engines, tmp_path, capacity=ONE_AT_A_TIME, on_event=events.append) as pool:
        assert not pool.fits([(["small"], {}), (["large"], {})])
        first = (await pool.lease(["small"])).models["small"]
        answer = await ask(first)
        await pool.lease(["large"])
        with pytest.raises(CallFailed, match="503"):
            await ask(first)
        assert pool.not_running(["small"]) == ("small",)
        assert await ask((await pool.lease(["small"])).models["small"]) == answer
        assert history(events) == [
            ("started", "small"),
            ("slept", "small"),
            ("started", "large"),
            ("slept", "large"),
            ("woken", "small"),
        ]


async def test_one_that_cannot_sleep_is_stopped_and_started_again(tmp_path: Path) -> None:
    engines = {name: Watched(memory_bytes=8 * GIB) for name in ("small", "large")}
    events: list[EngineEvent] = []
    async with pool_of(engines, tmp_path, capacity=ONE_AT_A_TIME, on_event=events.append) as pool:
        for name in ("small", "large", "small"):
            assert await ask((await pool.lease([name])).models[name])
        assert history(events) == [
            ("started", "small"),
            ("stopped", "small"),
            ("started", "large"),
            ("stopped", "large"),
            ("started", "small"),
        ]
        assert events[1].reason == "to make room"


async def test_an_engine_that_wakes_with_other_answers_is_started_anew(tmp_path: Path) -> None:
    confused = Watched(memory_bytes=8 * GIB, sleeps=True, faults=[Fault(kind="wrong_wake")])
    engines = {"small": confused, "large": Watched(memory_bytes=8 * GIB, sleeps=True)}
    events: list[EngineEvent] = []
    async with pool_of(engines, tmp_path, capacity=ONE_AT_A_TIME, on_event=events.append) as pool:
        answer = await ask((await pool.lease(["small"])).models["small"])
        await pool.lease(["large"])
        assert await ask((await pool.lease(["small"])).models["small"]) == answer
        assert history(events)[-3:] == [("restarted", "small"), ("stopped", "small"), ("started", "small")]
        assert "'!!!!!!' instead of" in events[-3].reason


async def test_one_that_died_asleep_is_started_again(tmp_path: Path) -> None:
    engines = {name: Watched(memory_bytes=8 * GIB, sleeps=True) for name in ("small", "large")}
    async with pool_of(engines, tmp_path, capacity=ONE_AT_A_TIME) as pool:
        await pool.lease(["small"])
        await pool.lease(["large"])
        await engines["small"].die()
        assert await ask((await pool.lease(["small"])).models["small"])
        assert engines["small"].started == 2


async def test_those_leased_longest_ago_make_room(tmp_path: Path) -> None:
    engines = {name: Watched(memory_bytes=4 * GIB, sleeps=True) for name in ("a", "b", "c")}
    events: list[EngineEvent] = []
    async with pool_of(engines, tmp_path, capacity=ONE_AT_A_TIME, on_event=events.append) as pool:
        for name in ("a", "b", "a", "c"):
            await pool.lease([name])
        assert ("slept", "b") in history(events)
        assert pool.not_running(["a", "b", "c"]) == ("b",)


async def test_models_of_one_team_that_do_not_fit_together_are_no_team(tmp_path: Path) -> None:
    engines = {name: Watched(memory_bytes=8 * GIB, sleeps=True) for name in ("small", "large")}
    async with pool_of(engines, tmp_path, capacity=ONE_AT_A_TIME) as pool:
        shortage = r"16\.0 GiB of GPU memory needed \(as scripted 16\.0 GiB\), 10\.0 GiB available"
        with pytest.raises(EngineLost, match=f"small and large do not fit .*: {shortage}"):
            await pool.lease(["small", "large"])
        assert await ask((await pool.lease(["small"])).models["small"])


async def test_a_model_that_can_never_fit_is_said_before_anything_starts(tmp_path: Path) -> None:
    engines = {"small": Watched(memory_bytes=GIB), "huge": Watched(memory_bytes=20 * GIB)}
    async with pool_of(engines, tmp_path, capacity=ONE_AT_A_TIME) as pool:
        with pytest.raises(
            EngineError, match=r"huge does not fit into memory: 20\.0 GiB of GPU memory needed .* smaller model"
        ):
            pool.check_memory()
    assert [engine.started for engine in engines.values()] == [0, 0]


# -- options that are searched ----------------------------------------------------------------------------------------


async def test_each_configuration_of_options_has_an_engine_that_starts_once(tmp_path: Path) -> None:
    made: list[Watched] = []

    def make() -> Watched:
        made.append(Watched())
        return made[-1]

    events: list[EngineEvent] = []
    served = {"small": ServedModel(model=Model(name="small", source="none"), weights=None, make_engine=make)}
    pool = Pool(
        served,
        options=EngineOptions(slots=7),
        log_dir=tmp_path,
        meter=EstimateMeter(),
        deadline_s=20,
        on_event=events.append,
    )
    async with pool:
        for value in (2, 4, 2, 4):
            lease = await pool.lease(["small"], {"max_num_active_seqs": value})
            assert lease.facts["small"]["max_num_active_seqs"] == value
            assert lease.facts["small"]["slots"] == 7
            assert await ask(lease.models["small"])
    assert [engine.started for engine in made] == [1, 1]
    assert [(event.kind, event.options) for event in events[:2]] == [
        ("started", {"max_num_active_seqs": 2}),
        ("started", {"max_num_active_seqs": 4}),
    ]
    assert {path.name for path in tmp_path.glob("*.log")} == {
        "small-max_num_active_seqs=2.log",
        "small-max_num_active_seqs=4.log",
    }


async def test_options_that_an_engine_does_not_take_are_about_the_team(tmp_path: Path) -> None:
    async with pool_of({"small": Watched(fails=lambda start: True)}, tmp_path) as pool:
        with pytest.raises(EngineLost, match="it is said to fail"):
            await pool.lease(["small"], {"kv_cache_dtype": "fp8"})


async def test_a_lease_says_how_busy_its_engines_are(tmp_path: Path) -> None:
    engines = {name: Watched(latency_s=0.2) for name in ("small", "large")}
    async with pool_of(engines, tmp_path) as pool:
        lease = await pool.lease(["small", "large"])
        asking = [asyncio.create_task(ask(lease.models["small"])) for _ in range(3)]
        await asyncio.sleep(0.05)
        said = await lease.metrics()
        assert {name: one.running for name, one in said.items()} == {"small": 3, "large": 0}
        assert await lease.reset_prefix_caches() == {"small": False, "large": False}
        await asyncio.gather(*asking)
