"""The contract of engines: the tests that every engine must pass. Subclass it in a test module."""

import asyncio
import json
import os
import pickle
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from orkester.errors import EngineError
from orkester.serving.catalogue import Model
from orkester.serving.engines import Endpoint, Engine, EngineOptions

#: The secret in the environment while a contract runs. No record may contain it.
SECRET = "sk-that-nobody-may-see"

Start = Callable[[], Coroutine[None, None, Endpoint]]

_PARENT = """
import asyncio, json, pickle, sys

async def main():
    engine, arguments = pickle.load(sys.stdin.buffer)
    endpoint = await engine.start(*arguments)
    print(json.dumps(endpoint.pids), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


class EngineContract:
    """The contract of all engines. For an engine that starts processes, subclass ``LifecycleContract`` instead.

    A subclass defines the class-scoped fixture ``make``, which returns a function that makes a new engine; the
    class-scoped fixtures ``model`` and ``weights``, if the engine needs them; and the fixture ``broken``: an engine
    that cannot start, with its model and its weights.
    """

    options = EngineOptions(slots=2, context_tokens=128, threads=1, start_timeout_s=60)
    #: The maximum seconds of a start in a new process.
    start_s = 60.0

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls) -> Model:
        return Model(name="small", source="none")

    @pytest.fixture(scope="class")
    @classmethod
    def weights(cls) -> Path | None:
        return None

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _secret(cls) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ORKESTER_TEST_KEY", SECRET)
            yield

    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """The folder for the files of ``endpoint``."""
        return tmp_path_factory.mktemp("engine")

    @pytest.fixture(scope="class")
    @classmethod
    def endpoint(
        cls, make: Callable[[], Engine], model: Model, weights: Path | None, folder: Path
    ) -> Iterator[Endpoint]:
        """The endpoint of one engine, which all tests share that do not stop the engine."""
        engine = make()
        with running_loop() as loop:  # in a thread, because an engine may answer from the process that started it
            try:
                start = engine.start(model, weights, cls.options, folder / "logs" / "engine.log")
                yield asyncio.run_coroutine_threadsafe(start, loop).result()
            finally:
                asyncio.run_coroutine_threadsafe(engine.stop(), loop).result()

    @pytest.fixture
    async def engine(self, make: Callable[[], Engine]) -> AsyncIterator[Engine]:
        """A new engine for one test. It is stopped at the end of the test in any case."""
        engine = make()
        yield engine
        await engine.stop()

    @pytest.fixture
    def start(self, engine: Engine, model: Model, weights: Path | None, tmp_path: Path) -> Start:
        """A function that starts ``engine``."""
        return lambda: engine.start(model, weights, self.options, tmp_path / "engine.log")

    async def test_it_answers_chat_completions_at_its_address(self, endpoint: Endpoint) -> None:
        status, reply = await ask(endpoint, "What is 2 + 3?")
        assert status == 200
        assert endpoint.base_url.endswith("/v1")
        message = reply["choices"][0]["message"]
        assert message["role"] == "assistant"
        assert message["content"].strip()

    async def test_it_counts_tokens(self, endpoint: Endpoint) -> None:
        _, reply = await ask(endpoint, "What is 2 + 3?")
        usage = reply["usage"]
        assert usage["prompt_tokens"] > 0
        assert usage["completion_tokens"] > 0

    async def test_it_answers_several_at_once(self, endpoint: Endpoint) -> None:
        replies = await asyncio.gather(*(ask(endpoint, f"What is {i} + 3?") for i in range(6)))
        assert [status for status, _ in replies] == [200] * 6

    async def test_a_greedy_answer_is_always_the_same(self, endpoint: Endpoint) -> None:
        texts = {(await ask(endpoint, "What is 2 + 3?"))[1]["choices"][0]["message"]["content"] for _ in range(3)}
        assert len(texts) == 1

    async def test_a_seed_gives_repeatable_answers_where_the_engine_says_so(self, endpoint: Endpoint) -> None:
        if not endpoint.takes_seed:
            pytest.skip("this engine takes no seed")
        replies = [await ask(endpoint, "What is 2 + 3?", temperature=1.0, seed=7) for _ in range(3)]
        assert [status for status, _ in replies] == [200] * 3
        assert len({reply["choices"][0]["message"]["content"] for _, reply in replies}) == 1

    def test_its_facts_are_plain_json_that_name_the_engine(self, endpoint: Endpoint) -> None:
        facts = dict(endpoint.facts)
        assert json.loads(json.dumps(facts)) == facts
        assert facts["engine"]

    async def test_nothing_that_is_recorded_has_a_secret(self, endpoint: Endpoint, folder: Path) -> None:
        await ask(endpoint, "What is 2 + 3?")
        assert SECRET not in repr(endpoint)
        assert not [path for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]

    async def test_it_can_be_stopped_at_any_time_and_started_again(self, start: Start, engine: Engine) -> None:
        await engine.stop()
        await start()
        assert engine.alive()
        await engine.stop()
        await engine.stop()
        status, _ = await ask(await start(), "What is 2 + 3?")
        assert status == 200
        assert engine.alive()

    async def test_what_cannot_start_says_so(self, broken: tuple[Engine, Model, Path | None], tmp_path: Path) -> None:
        engine, model, weights = broken
        with pytest.raises(EngineError):
            await engine.start(model, weights, self.options, tmp_path / "engine.log")
        await engine.stop()


class LifecycleContract(EngineContract):
    """The contract of engines that start processes on this machine."""

    def test_it_names_its_processes(self, endpoint: Endpoint) -> None:
        assert endpoint.pids
        assert all(running(pid) for pid in endpoint.pids)

    async def test_nothing_is_left_after_stop(self, start: Start, engine: Engine) -> None:
        before = children()
        assert not engine.alive()
        endpoint = await start()
        assert engine.alive()
        await engine.stop()
        assert not engine.alive()
        assert not [pid for pid in endpoint.pids if running(pid)]
        assert children() <= before
        with pytest.raises(aiohttp.ClientConnectionError):
            await ask(endpoint, "What is 2 + 3?")

    def test_it_listens_on_this_machine_alone(self, endpoint: Endpoint) -> None:
        addresses = {address for pid in endpoint.pids for address in listening(pid)}
        assert addresses == {"127.0.0.1"}

    def test_what_its_processes_print_goes_to_its_log(self, endpoint: Endpoint, folder: Path) -> None:
        # If the output went to a pipe that nobody reads, the pipe would become full and block the engine.
        log = folder / "logs" / "engine.log"
        outputs = {Path(f"/proc/{pid}/fd/{fd}").resolve() for pid in endpoint.pids for fd in (1, 2)}
        assert outputs == {log.resolve()}

    async def test_a_killed_process_is_not_alive_and_can_be_replaced(self, start: Start, engine: Engine) -> None:
        endpoint = await start()
        for pid in endpoint.pids:
            os.kill(pid, signal.SIGKILL)
        await until(lambda: not engine.alive())
        await engine.stop()
        status, _ = await ask(await start(), "What is 2 + 3?")
        assert status == 200
        assert engine.alive()

    async def test_what_cannot_start_says_so(self, broken: tuple[Engine, Model, Path | None], tmp_path: Path) -> None:
        engine, model, weights = broken
        log = tmp_path / "logs" / "engine.log"
        before = children()
        with pytest.raises(EngineError) as raised:
            await engine.start(model, weights, self.options, log)
        log_lines = [line.strip() for line in log.read_text().splitlines() if line.strip()]
        assert log_lines
        assert log_lines[-1] in str(raised.value)
        assert str(raised.value).endswith(str(log))
        assert not engine.alive()
        assert children() <= before

    async def test_a_start_that_takes_too_long_is_given_up(
        self, engine: Engine, model: Model, weights: Path | None, tmp_path: Path
    ) -> None:
        before = children()
        short_timeout = EngineOptions(slots=2, context_tokens=128, threads=1, start_timeout_s=0.02)
        log = tmp_path / "engine.log"
        with pytest.raises(EngineError, match=r"not ready after 0\.02 s") as raised:
            await engine.start(model, weights, short_timeout, log)
        assert str(raised.value).endswith(str(log))
        assert not engine.alive()
        assert children() <= before

    async def test_a_start_that_is_cancelled_leaves_nothing(self, start: Start, engine: Engine) -> None:
        before = children()
        starting = asyncio.create_task(start())
        await until(lambda: bool(children() - before))
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await engine.stop()
        assert not engine.alive()
        assert children() <= before

    def test_it_ends_when_its_parent_is_killed(
        self, engine: Engine, model: Model, weights: Path | None, tmp_path: Path
    ) -> None:
        job = pickle.dumps((engine, (model, weights, self.options, tmp_path / "engine.log")))
        with subprocess.Popen([sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
            assert parent.stdin is not None
            assert parent.stdout is not None
            try:
                parent.stdin.write(job)
                parent.stdin.close()
                ready, _, _ = select.select([parent.stdout], [], [], self.start_s)
                assert ready, "the engine did not start in time"
                pids = json.loads(parent.stdout.readline())
                assert pids
                assert all(running(pid) for pid in pids)
            finally:
                parent.kill()
        deadline = time.monotonic() + 20
        while any(running(pid) for pid in pids):
            assert time.monotonic() < deadline, f"the processes {pids} still run after the end of their parent"
            select.select([], [], [], 0.02)


@contextmanager
def running_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Run an event loop in a new thread.

    Yields:
        The loop.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def ask(
    endpoint: Endpoint, question: str, *, temperature: float = 0.0, seed: int | None = None
) -> tuple[int, dict[str, Any]]:
    """Send one chat completion request, without Orkester's client.

    Args:
        endpoint: The endpoint.
        question: The question.
        temperature: The sampling temperature.
        seed: The seed; None to send none.

    Returns:
        The HTTP status, and the body of the response.
    """
    body: dict[str, Any] = {
        "model": endpoint.model,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": 8,
        "temperature": temperature,
    }
    if seed is not None:
        body["seed"] = seed
    key = os.environ.get(endpoint.api_key_env or "")
    headers = {"Authorization": f"Bearer {key}"} if key else None
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60), headers=headers) as session,
        session.post(f"{endpoint.base_url}/chat/completions", json=body) as response,
    ):
        return response.status, await response.json()


async def until(condition: Callable[[], bool], *, deadline_s: float = 20.0) -> None:
    """Wait until a condition is true.

    Args:
        condition: The condition, which is checked again and again.
        deadline_s: The maximum number of seconds.

    Raises:
        TimeoutError: The condition was not true in time.
    """
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110 - processes set no asyncio events
            await asyncio.sleep(0.005)


def running(pid: int) -> bool:
    """Whether a process runs. A process that has ended, but was not waited for, does not run.

    Args:
        pid: The id of the process.
    """
    state = _stat(pid)
    return bool(state) and state[0] not in {"Z", "X"}


def children() -> set[int]:
    """The ids of the running child processes of this process."""
    pids = {int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()}
    return {pid for pid in pids if (stat := _stat(pid)) and stat[1] == str(os.getpid()) and stat[0] not in {"Z", "X"}}


def listening(pid: int) -> set[str]:
    """The addresses on which a process listens for TCP connections.

    Args:
        pid: The id of the process.
    """
    sockets = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            sockets.add(target[8:-1])
    addresses = set()
    for table, width in (("tcp", 8), ("tcp6", 32)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == "0A" and inode in sockets:
                number = bytes.fromhex(local[:width])
                addresses.add(".".join(str(byte) for byte in reversed(number)) if width == 8 else local[:width])
    return addresses


def _stat(pid: int) -> list[str]:
    """The state, the parent and the following fields of a process; empty when the process does not exist."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
