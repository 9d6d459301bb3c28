"""Virtual time: graphs take what their calls took, and nothing is waited for but real work."""

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from orkester.evals.running.attempt import Attempt
from orkester.evals.running.replay import Rerun, VirtualLoop, replay, run_in_virtual_time
from orkester.graphs import Team, TeamSettings
from orkester.serving.chat import ChatModel, Reply

VOTE = Team("vote", {"agents": 3, "model": "small", "temperature": 0.7})
DEBATE = Team("debate", {"agents": 2, "rounds": 2, "model": "small", "temperature": 0.7})
CASCADE = Team("cascade", {"first": "small", "then": "large", "votes": 2, "temperature": 0.7, "agreement": 1.0})


@dataclass(frozen=True)
class Timed:
    """A model whose answers and seconds are those of a table, by sample."""

    name: str
    answers: tuple[tuple[str, float], ...]

    async def chat(self, messages: Any, *, sample: int = 0, **settings: Any) -> Reply:
        text, latency_s = self.answers[sample]
        await asyncio.sleep(latency_s)
        return Reply(text=text, input_tokens=1, output_tokens=1, cached_tokens=0, latency_s=latency_s)


def again(team: Team, *, deadline_s: float = 60.0, **answers: tuple[tuple[str, float], ...]) -> Rerun:
    models: Mapping[str, ChatModel] = {name: Timed(name, table) for name, table in answers.items()}
    return Rerun(team=team, question="?", settings=TeamSettings(), models=lambda origin: models, deadline_s=deadline_s)


@pytest.mark.parametrize(
    ("rerun", "answer", "duration_s"),
    [
        (again(VOTE, small=(("a", 2.0), ("b", 7.5), ("b", 1.0))), "b", 7.5),
        (again(CASCADE, small=(("a", 3.0), ("a", 1.0)), large=(("c", 10.0),)), "a", 3.0),
        (again(CASCADE, small=(("a", 3.0), ("b", 1.0)), large=(("c", 10.0),)), "c", 13.0),
        # Each round is as long as its slowest: 2, 5 and 4.
        (again(DEBATE, small=(("a", 1.0), ("b", 2.0), ("a", 5.0), ("b", 3.0), ("c", 4.0), ("c", 4.0))), "c", 11.0),
    ],
    ids=["vote", "cascade", "escalated", "debate"],
)
def test_an_example_takes_what_its_critical_path_takes(rerun: Rerun, answer: str, duration_s: float) -> None:
    (tried,) = replay([rerun])
    assert (tried.answer, tried.failure) == (answer, None)
    assert tried.duration_s == pytest.approx(duration_s)


def test_examples_do_not_share_a_clock() -> None:
    rerun = again(VOTE, small=(("a", 0.1), ("b", 0.2), ("b", 0.3)))
    assert [tried.duration_s for tried in replay([rerun] * 5)] == [pytest.approx(0.3)] * 5


def test_the_deadline_is_in_virtual_time() -> None:
    late, in_time = replay([again(VOTE, deadline_s=s, small=(("a", 1.0), ("a", 500.0), ("a", 2.0))) for s in (20, 501)])
    assert late == Attempt(answer=None, failure="deadline", duration_s=pytest.approx(20.0))
    assert (in_time.answer, in_time.duration_s) == ("a", pytest.approx(500.0))


def test_an_hour_passes_at_once() -> None:
    async def main() -> float:
        async with asyncio.timeout(7200):
            await asyncio.gather(*(asyncio.sleep(3600) for _ in range(100)))
        return asyncio.get_running_loop().time()

    assert run_in_virtual_time(main) == pytest.approx(3600)


def test_a_thread_at_work_is_waited_for_though_a_timer_is_due() -> None:
    release = threading.Event()

    async def main() -> tuple[str, float]:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        loop.call_later(0.05, release.set)  # a real twentieth of a second: the thread is at work
        async with asyncio.timeout(3600):
            found = await asyncio.to_thread(lambda: "back" if release.wait(30) else "late")
            worked_s = loop.time() - begun
            await asyncio.sleep(100)
        return found, worked_s

    found, worked_s = run_in_virtual_time(main)
    assert found == "back"
    assert 0.04 < worked_s < 30


def test_a_thread_without_any_timer_does_not_hang() -> None:
    async def main() -> int:
        return await asyncio.to_thread(lambda: 7)

    assert run_in_virtual_time(main) == 7


def test_a_connection_is_waited_for() -> None:
    async def main() -> bytes:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readline())
            writer.close()

        async with asyncio.timeout(3600), await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hello\n")
            line = await reader.readline()
            writer.close()
            await writer.wait_closed()
            return line

    assert run_in_virtual_time(main) == b"hello\n"


async def test_it_runs_beside_a_loop_and_what_goes_wrong_is_raised() -> None:
    async def main() -> None:
        await asyncio.sleep(1000)
        raise KeyError("here")

    with pytest.raises(KeyError, match="here"):
        run_in_virtual_time(main)


async def test_graphs_are_shared_with_a_real_loop_at_the_same_time() -> None:
    rerun = again(DEBATE, small=tuple((str(i % 2), 0.5 + i) for i in range(6)))
    real: list[str] = []

    async def live() -> None:
        models = {"small": Timed("small", tuple((str(i % 2), 0.0) for i in range(6)))}
        for _ in range(20):
            real.append(await DEBATE.answer("?", models))
            await asyncio.sleep(0)

    virtual, *_ = await asyncio.gather(asyncio.to_thread(replay, [rerun] * 20), live(), live())
    assert real == ["0"] * 40
    assert {tried.answer for tried in virtual} == {"0"}
    assert [tried.duration_s for tried in virtual] == [pytest.approx(1.5 + 3.5 + 5.5)] * 20


def test_its_clock_begins_at_0() -> None:
    loop = VirtualLoop()
    assert loop.time() == 0.0
    loop.close()
