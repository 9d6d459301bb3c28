"""Studies on endpoints that someone else runs and that answer in odd ways: no odd answer ends a study."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from serving.servers import served
from support import ROOT, write_study

import orkester
from orkester.errors import EngineError, InputError
from orkester.evals.records.block import Call

#: One model alone, at two temperatures.
SEARCH: dict[str, Any] = {"single": {"model": "any", "temperature": [0.0, 0.05]}}
Answer = Callable[[dict[str, Any], int], web.StreamResponse | None]


class FaultyServer:
    """A server that adds two numbers, except where ``answer`` has another answer. It counts its requests from 1 on."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.requests: list[dict[str, Any]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        return self._answer(body, len(self.requests)) or right(body)


def right(body: dict[str, Any], **changes: Any) -> web.Response:
    """The right answer as a completion; ``changes`` are merged into its choice."""
    numbers = re.search(r"(\d+) \+ (\d+)", str(body["messages"][-1]["content"]))
    text = str(int(numbers[1]) + int(numbers[2])) if numbers else "Hello"
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", **changes}
    usage = {"prompt_tokens": 10, "completion_tokens": 3}
    return web.json_response({"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage})


def in_parts(body: dict[str, Any]) -> web.Response:
    """The right answer as a list of content parts."""
    text = json.loads(right(body).body)["choices"][0]["message"]["content"]  # type: ignore[arg-type]
    return right(body, message={"role": "assistant", "content": [{"type": "text", "text": text}]})


def error(status: int, words: str = "not now", **headers: str) -> web.Response:
    return web.json_response(
        {"error": {"message": words}}, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


def error_in_200(code: int = 502) -> web.Response:
    return web.json_response({"error": {"message": "Upstream overloaded", "code": code}})


def soon() -> str:
    """A date that has just passed, so that a test need not wait."""
    return format_datetime(datetime.now(UTC) - timedelta(seconds=1), usegmt=True)


async def tune(folder: Path, answer: Answer, **changes: Any) -> tuple[orkester.Run, FaultyServer]:
    """Tune the study on a server."""
    server = FaultyServer(answer)
    async with served(server.handle) as url:
        return await tune_at(folder, url, **changes), server


async def tune_at(folder: Path, url: str, **changes: Any) -> orkester.Run:
    defaults: dict[str, Any] = {
        "engine": {"base_url": url},
        "models": ["small"],
        "search": SEARCH,
        "objectives": {"quality": "maximize", "output_tokens": "minimize"},
        "measure": {"examples": 8, "block": 4, "deadline_s": 20},
        "budget": {"trials": 2},
    }
    path = write_study(folder / "study", **{**defaults, **changes})
    return await asyncio.to_thread(orkester.tune, path, folder / "run")


def calls(run: orkester.Run) -> list[Call]:
    return [call for block in run.blocks for example in block.examples for call in example.calls]


def once(number: int, answer: Callable[[], web.Response]) -> Answer:
    return lambda _, count: answer() if count == number else None


@pytest.mark.parametrize(
    "answer",
    [
        once(1, lambda: error(429, Retry_After="0")),
        once(1, lambda: error(503)),
        once(1, lambda: error(408)),
        once(1, error_in_200),
        once(1, lambda: web.Response(text="<html>502</html>", content_type="text/html")),
        once(6, error_in_200),
        once(6, lambda: error(429, Retry_After=soon())),
        once(6, lambda: error(429, retry_after_ms="1")),
        once(6, lambda: error(425)),
        once(6, lambda: web.json_response({"error": "overloaded"})),
        once(6, lambda: web.json_response({"object": "error", "message": "busy"})),
        once(6, lambda: web.json_response({"choices": []})),
        lambda body, _: in_parts(body),
        lambda body, _: web.Response(body=b"\xef\xbb\xbf" + bytes(right(body).body), content_type="application/json"),  # type: ignore[arg-type]
    ],
)
async def test_an_answer_that_says_nothing_about_the_request_costs_no_example(answer: Answer, quick_path: Path) -> None:
    run, _ = await tune(quick_path, answer)
    assert len(run.results.teams) == 2
    assert all(not result.infeasible for result in run.results.teams)
    assert all(
        result.search is not None and result.search.estimates["quality"].value == 1 for result in run.results.front
    )
    assert run.results.front


async def test_one_empty_reply_does_not_end_the_search_and_neither_does_a_resume(quick_path: Path) -> None:
    server = FaultyServer(lambda body, count: right(body, message={"content": ""}) if count == 3 else None)
    search = {"single": {"model": "any", "temperature": [0.0, 0.4]}}
    async with served(server.handle) as url:
        first = await tune_at(quick_path, url, search=search, budget={"trials": 1})
        assert [bool(result.infeasible) for result in first.results.teams] == [True]
        run = await tune_at(quick_path, url, search=search, budget={"trials": 9})
    assert len(run.results.teams) == 9
    assert sum(bool(result.infeasible) for result in run.results.teams) == 1
    assert run.results.front


async def test_a_temperature_that_the_server_refuses_leaves_the_others(quick_path: Path) -> None:
    run, server = await tune(
        quick_path,
        lambda body, _: error(422, "`temperature` must be strictly positive") if not body["temperature"] else None,
    )
    assert [body["temperature"] for body in server.requests[:2]] == [0.0, 0.05]
    assert {body["max_tokens"] for body in server.requests} == {16}  # those of the study, also in the first request
    by_temperature = {result.team.knobs["temperature"]: result for result in run.results.teams}
    assert "http 422: `temperature` must be strictly positive; search only" in by_temperature[0.0].infeasible
    assert [result.team.knobs["temperature"] for result in run.results.front] == [0.05]


async def test_a_refused_parameter_ends_the_start_with_an_entry_that_works(quick_path: Path) -> None:
    def answer(body: dict[str, Any], _: int) -> web.Response | None:
        return error(400, "Unrecognized request argument supplied: seed") if "seed" in body else None

    with pytest.raises(EngineError, match="Unrecognized request argument supplied: seed; in the study file") as raised:
        await tune(quick_path, answer)
    said = str(raised.value)
    entry = yaml.safe_load(said[said.index("{") :])
    run, server = await tune(quick_path, answer, models=[entry])  # the same folder: nothing was measured in it
    assert run.results.front
    assert all("seed" not in body for body in server.requests[1:])
    assert {json.dumps(block.engines["small"]["request"]) for block in run.blocks} == {'{"drop": ["seed"]}'}
    manifest = yaml.safe_load((quick_path / "run" / "study.yaml").read_text())
    assert manifest["study"]["models"]["small"]["request"] == {"drop": ["seed"]}
    with pytest.raises(InputError, match="is the run of another study"):
        await tune(quick_path, answer, models=[{"small": {"request": {"drop": ["seed", "stop"]}}}])


async def test_requests_are_renamed_and_extended_also_those_of_a_saved_team(quick_path: Path) -> None:
    request = {"drop": ["temperature"], "rename": {"max_tokens": "max_completion_tokens"}, "extra": {"top_p": 0.5}}

    def answer(body: dict[str, Any], _: int) -> web.Response | None:
        wrong = {"max_tokens", "temperature"} & set(body)
        return error(400, f"Unsupported: {wrong}") if wrong or body["top_p"] != 0.5 else None

    server = FaultyServer(answer)
    async with served(server.handle) as url:
        run = await tune_at(
            quick_path, url, models=[{"small": {"request": request}}], search={"single": {"model": "any"}}
        )
        (member,) = run.results.front
        saved = orkester.load_team(quick_path / "run" / "teams" / f"{member.team.id}.json")
        assert await saved.answer("What is 20 + 22?") == "42"
    assert {body["max_completion_tokens"] for body in server.requests} == {16, 1}


async def test_the_servers_words_are_in_the_records_the_reasons_and_the_report(
    quick_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", "sk-that-nobody-may-see-1")

    def answer(_: dict[str, Any], count: int) -> web.Response | None:
        words = f"This model's maximum context length is 2048 tokens, and the request has {2048 + count}"
        return error(400, f"{words} (sk-that-nobody-may-see-1)") if count > 1 else None

    server = FaultyServer(answer)
    async with served(server.handle) as url:
        run = await tune_at(quick_path, url, engine={"base_url": url, "api_key_env": "THE_KEY"})
    said = "This model's maximum context length is 2048 tokens, and the request has "
    assert all(call.failure_message and call.failure_message.startswith(said) for call in calls(run))
    for result in run.results.teams:
        assert result.search is not None
        assert len(result.search.failures) == 1  # the numbers differ, the cause is one
        assert f"4 × http 400: {said}" in result.infeasible
    report = (quick_path / "run" / "report.html").read_text()
    assert report.count('<td class="team">http 400: ') == 1
    assert "maximum context length is 2048 tokens" in report
    for path in (quick_path / "run").rglob("*"):
        assert not path.is_file() or b"nobody-may-see" not in path.read_bytes(), path


@pytest.mark.parametrize("name", ["mysecret12", "NO_SUCH_VARIABLE"])
def test_a_key_that_is_not_in_the_environment_is_said_before_anything_is_written(name: str, tmp_path: Path) -> None:
    path = write_study(
        tmp_path / "study",
        engine={"base_url": "http://127.0.0.1:1/v1", "api_key_env": name},
        objectives={"quality": "maximize"},
    )
    with pytest.raises(InputError, match="is not set") as raised:
        orkester.tune(path, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert "mysecret12" not in str(raised.value)


# -- cases that are kept outside of the repository --------------------------------------------------------------------

#: The folder of the cases: a server, and a study for each case.
CASES = Path(os.environ.get("ORKESTER_CASES") or ROOT.parent / "shared" / "cases")
#: For each case, the quality of the best team; None where no team is feasible.
EXPECTED: dict[str, tuple[int, float | None]] = {
    "01-search-gives-up": (20, 1.0),
    "02-start-429": (2, 1.0),
    "03-temperature-0-probe": (12, 1.0),
    "04-retry-after-date": (2, 1.0),
    "05-error-in-200": (2, 1.0),
    "06-content-parts": (2, 1.0),
    "08-no-reason-shown": (2, None),
}


@contextmanager
def case_at_work(name: str, folder: Path) -> Iterator[Path]:
    """The study of a case with its server, which is started anew because it counts its requests."""
    study = yaml.safe_load((CASES / name / "study.yaml").read_text())
    (folder / "failing").mkdir()
    for path in (CASES / name).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    port = _free_port()
    study["engine"]["base_url"] = f"http://127.0.0.1:{port}/v1"
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    with subprocess.Popen([sys.executable, CASES / "server.py", str(port)], cwd=folder) as server:
        try:
            _wait_for(f"http://127.0.0.1:{port}/v1/models")
            yield folder / "study.yaml"
        finally:
            server.kill()


def _free_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_for(url: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(200):
        try:
            opener.open(url, timeout=1).close()
        except OSError:
            time.sleep(0.05)  # another process starts; there is no event to wait for
        else:
            return
    raise AssertionError("the server of the cases did not start")


needs_cases = pytest.mark.skipif(not (CASES / "server.py").is_file(), reason="the cases are not beside the checkout")


@needs_cases
@pytest.mark.parametrize("name", EXPECTED)
def test_a_case_is_right(name: str, quick_path: Path) -> None:
    teams, quality = EXPECTED[name]
    with case_at_work(name, quick_path) as path:
        run = orkester.tune(path, quick_path / "run")
    assert len(run.results.teams) == teams
    best = [result.search.estimates["quality"].value for result in run.results.front if result.search is not None]
    assert (max(best) if best else None) == quality
    if quality is None:
        assert all("maximum context length is 2048 tokens" in result.infeasible for result in run.results.teams)


@needs_cases
def test_the_case_of_a_refused_seed_is_right(quick_path: Path) -> None:
    with case_at_work("07-seed-refused", quick_path) as path:
        with pytest.raises(EngineError, match=r"supplied: seed; .*\{noseed: \{request: \{drop: \[seed\]\}\}\}"):
            orkester.tune(path, quick_path / "run")
        study = yaml.safe_load(path.read_text())
        path.write_text(yaml.safe_dump({**study, "models": [{"noseed": {"request": {"drop": ["seed"]}}}]}))
        run = orkester.tune(path, quick_path / "run")
    assert run.results.front
