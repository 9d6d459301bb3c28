"""What single engines do beside the contract."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from serving.servers import completion, served

from orkester.errors import EngineError, InputError
from orkester.serving.catalogue import Model
from orkester.serving.engines import Endpoint, EngineOptions, ExternalEngine, FakeEngine, FakeScript, Fault
from orkester.serving.engines._child import ChildServer
from orkester.serving.request_changes import RequestChanges
from orkester.testing.engine_contract import ask

KEY = "sk-that-nobody-may-see"
MODEL = Model(name="small", source="none")


async def start_external(
    base_url: str, *, key: str | None = None, timeout_s: float = 10.0, model: Model = MODEL, **settings: Any
) -> Endpoint:
    engine = ExternalEngine(base_url, model="small", api_key_env=key, **{"sleep": no_sleep, **settings})
    return await engine.start(model, None, EngineOptions(start_timeout_s=timeout_s), Path("unused.log"))


async def no_sleep(seconds: float) -> None:
    assert seconds >= 0


@pytest.mark.parametrize(
    ("said", "version"),
    [({"version": "0.24.0"}, "vllm 0.24.0"), (None, None), ({"version": 3}, None), ([], None), ("0.24.0", None)],
)
async def test_what_version_someone_elses_vllm_has_is_recorded(said: object, version: str | None) -> None:
    async def handler(_: web.Request) -> web.Response:
        return completion()  # without the metrics that ours sends along

    async with served(handler, version=said) as url:
        endpoint = await start_external(url)
    assert endpoint.facts.get("version") == version


async def test_an_external_endpoint_is_asked_for_one_token_with_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", f"{KEY}\n")  # a file that was read has a newline at its end
    asked: list[tuple[str, str, int]] = []

    async def handler(request: web.Request) -> web.Response:
        body = await request.json()
        asked.append((request.path, request.headers["Authorization"], body["max_tokens"]))
        return completion(None)

    async with served(handler) as url:
        endpoint = await start_external(url + "/", key="THE_KEY")
    assert asked == [("/v1/chat/completions", f"Bearer {KEY}", 1)]
    assert endpoint.base_url == url
    assert KEY not in repr(endpoint)


async def test_an_endpoint_that_is_busy_at_the_start_is_asked_again() -> None:
    waits: list[float] = []
    answers = [
        web.Response(status=429, headers={"Retry-After": "5"}),
        web.Response(text="<html>503</html>", content_type="text/html"),
        web.json_response({"error": {"code": 502, "message": "overloaded"}}),
        completion(),
    ]

    async def handler(_: web.Request) -> web.Response:
        return answers.pop(0)

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async with served(handler) as url:
        await start_external(url, sleep=sleep)
    assert answers == []
    assert len(waits) == 3
    assert waits[0] == 5


async def test_the_first_request_is_one_of_the_study() -> None:
    asked: list[dict[str, Any]] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(await request.json())
        cold = asked[-1]["temperature"] < 0.5
        return web.json_response({"detail": "temperature is too low"}, status=422) if cold else completion()

    model = replace(MODEL, request=RequestChanges(rename={"max_tokens": "most"}, extra={"top_p": 1}))
    async with served(handler) as url:
        await start_external(url, model=model, temperatures=(0.1, 0.3, 0.7, 0.9), max_tokens=33)
    assert [body["temperature"] for body in asked] == [0.1, 0.3, 0.7]
    assert all(body["most"] == 33 and body["top_p"] == 1 and "max_tokens" not in body for body in asked)
    assert all(body["seed"] == 0 for body in asked)


async def test_a_server_that_refuses_every_temperature_is_answered_with_a_remedy() -> None:
    async def handler(request: web.Request) -> web.Response:
        heat = (await request.json())["temperature"]
        return web.json_response({"error": f"'temperature' does not support {heat}."}, status=400)

    async with served(handler) as url:
        with pytest.raises(EngineError) as raised:
            await start_external(url, temperatures=(0.0, 0.5))
    assert str(raised.value) == (
        f"{url} answered HTTP 400 for the model 'small': 'temperature' does not support 0.0; search only temperatures "
        "that the server takes, or in the study file, write under models instead of the name: "
        "{small: {request: {drop: [temperature]}}}"
    )


@pytest.mark.parametrize(
    "name",
    [
        *("sk-abcdef", "sk-proj-Ab12Cd34Ef56", "gsk_abcdefgh12345678", "AIzaSyA1234567890abcdefghijklmno", "Bearer x"),
        *("0123456789abcdef" * 2, "a0b1c2d3e4f5a6b7c8d9e0f1", "A1B2C3D4E5F6G7H8I9J0K1"),
        *("$OPENAI_API_KEY", "KEY NAME", "9KEY", ""),
    ],
)
async def test_a_key_in_the_place_of_its_variables_name_is_refused_and_not_repeated(name: str) -> None:
    with pytest.raises(InputError, match="takes the name of the environment variable") as raised:
        await start_external("http://127.0.0.1:1/v1", key=name)
    assert not name or name not in str(raised.value)


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "KEY", "_KEY", "AZURE_OPENAI_KEY_SWEDEN_CENTRAL_2026"])
async def test_other_names_of_variables_are_taken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match=f"the environment variable {name} "):
        await start_external("http://127.0.0.1:1/v1", key=name)


async def test_a_name_that_may_be_a_key_is_not_repeated() -> None:
    with pytest.raises(InputError, match="that api_key_env names is not set") as raised:
        await start_external("http://127.0.0.1:1/v1", key="mysecret12")
    assert "mysecret12" not in str(raised.value)


async def test_a_variable_that_is_set_is_taken_whatever_it_looks_like(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("a0b1c2d3e4f5a6b7c8d9e0f1", KEY)

    async def handler(_: web.Request) -> web.Response:
        return completion()

    async with served(handler) as url:
        assert (await start_external(url, key="a0b1c2d3e4f5a6b7c8d9e0f1")).base_url == url


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_names_the_setting(status: int) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status)

    async with served(handler) as url:
        with pytest.raises(EngineError, match=rf"refused the key \(HTTP {status}\); set api_key_env"):
            await start_external(url)


async def test_an_absent_key_is_a_mistake_of_the_asker() -> None:
    with pytest.raises(InputError, match=r"NO_SUCH_VARIABLE.*is not set"):
        await start_external("http://127.0.0.1:1/v1", key="NO_SUCH_VARIABLE")


async def test_nobody_at_the_address() -> None:
    with pytest.raises(EngineError, match=r"http://127\.0\.0\.1:1/v1 cannot be reached.*Is the server running"):
        await start_external("http://127.0.0.1:1/v1")


async def test_an_endpoint_that_never_answers_is_given_up() -> None:
    forever = asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        await forever.wait()
        raise AssertionError

    async with served(handler) as url:
        with pytest.raises(EngineError, match=r"cannot be reached: no answer in 0\.2 s"):
            await start_external(url, timeout_s=0.2)
        forever.set()


@pytest.mark.parametrize(
    "reply",
    [
        web.Response(text="<html>a landing page</html>", content_type="text/html"),
        web.Response(text="not JSON", content_type="application/json"),
        web.Response(body=b"\xff\xfe\xfd", content_type="application/json", charset="utf-8"),
        web.json_response([1, 2]),
        web.json_response({"models": []}),
        web.json_response({"choices": []}),
        web.json_response({"choices": "none"}),
    ],
    ids=["html", "not-json", "not-utf-8", "a-list", "another-form", "no-choices", "wrong-choices"],
)
async def test_an_answer_of_another_form_is_no_engine(reply: web.Response) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=reply.body, headers={"Content-Type": reply.headers["Content-Type"]})

    async with served(handler) as url:
        with pytest.raises(EngineError, match="not an OpenAI-compatible"):
            await start_external(url)


async def test_a_server_that_echoes_the_key_does_not_bring_it_into_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", KEY)

    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=400, text=f"bad request with {request.headers['Authorization']}")

    async with served(handler) as url:
        with pytest.raises(EngineError, match=r"HTTP 400.*bad request with Bearer") as raised:
            await start_external(url, key="THE_KEY")
    assert KEY not in str(raised.value)


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(InputError, match="api_key_env") as raised:
        ExternalEngine(f"https://user:{KEY}@example.org/v1", model="small")
    assert KEY not in str(raised.value)


async def test_a_child_that_ignores_its_closed_input_is_ended(tmp_path: Path) -> None:
    script = tmp_path / "stubborn.py"
    script.write_text(
        "import json, signal\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(json.dumps({'address': 'http://127.0.0.1:1'}), flush=True)\n"
        "while True: signal.pause()\n"
    )
    child = ChildServer("the stubborn one")
    await child.start([str(script)], {}, log=tmp_path / "log", timeout_s=30)
    assert await child.stop(drain_s=0.05) == -9
    assert not child.alive()


async def test_a_log_is_added_to_and_its_end_is_told(tmp_path: Path) -> None:
    script = tmp_path / "dying.py"
    script.write_text("import sys\nfor i in range(40): print('line', i, file=sys.stderr)\nsys.exit(3)\n")
    log = tmp_path / "log"
    log.write_text("from an earlier start\n")
    with pytest.raises(EngineError) as raised:
        await ChildServer("the dying one").start([str(script)], {}, log=log, timeout_s=30)
    assert log.read_text().startswith("from an earlier start\n")
    message = str(raised.value)
    assert "the dying one ended while starting (exit code 3)" in message
    assert "line 28\n" in message
    assert "line 39\n" in message
    assert "line 27\n" not in message


class TestFakeScript:
    @staticmethod
    async def texts(script: FakeScript, folder: Path, questions: list[str], *, temperature: float = 0.0) -> list[str]:
        engine = FakeEngine(script, folder=folder)
        try:
            endpoint = await engine.start(MODEL, None, EngineOptions(), folder / "log")
            replies = [await ask(endpoint, question, temperature=temperature, seed=1) for question in questions]
            return [reply["choices"][0]["message"]["content"] for _, reply in replies]
        finally:
            await engine.stop()

    async def test_answers_are_right_as_often_as_asked_and_the_same_in_every_process(self, tmp_path: Path) -> None:
        rows = [{"question": f"What is {i} + {i}?", "answer": [str(2 * i), "another"]} for i in range(120)]
        (tmp_path / "data.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
        script = FakeScript(data="data.jsonl", accuracy={"small": 0.75, "large": 0.1})
        questions = [str(row["question"]) for row in rows]
        first = await self.texts(script, tmp_path, questions)
        right = sum(text == row["answer"][0] for text, row in zip(first, rows, strict=True))
        assert 0.6 < right / len(rows) < 0.9
        assert all(text == row["answer"][0] or "wrong" in text for text, row in zip(first, rows, strict=True))
        assert await self.texts(script, tmp_path, questions) == first

    async def test_a_fault_happens_to_whom_and_as_often_as_the_script_says(self, tmp_path: Path) -> None:
        script = FakeScript(
            faults=[Fault(kind="400", models=["large"]), Fault(kind="503", times=2), Fault(kind="429", times=1)]
        )
        engine = FakeEngine(script)
        try:
            endpoint = await engine.start(MODEL, None, EngineOptions(), tmp_path / "log")
            statuses = [(await ask(endpoint, "What is 2 + 3?"))[0] for _ in range(5)]
        finally:
            await engine.stop()
        assert statuses == [503, 503, 429, 200, 200]

    async def test_a_data_file_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        engine = FakeEngine(FakeScript(data="absent.jsonl"), folder=tmp_path)
        with pytest.raises(EngineError, match=r"absent\.jsonl"):
            await engine.start(MODEL, None, EngineOptions(), tmp_path / "log")
