"""Small requests to an engine: to check that it answers, to warm it up, and to control it."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from orkester.errors import CallFailed, EngineError

from .._retries import REFUSALS, HttpFault, completion_or_fault, with_retries
from ..request_changes import RequestChanges, remedy
from ..server_words import shortened
from ._base import proxy_for

_UNCHANGED = RequestChanges()
#: aiohttp understands 0 as no time limit.
_LEAST_TIMEOUT_S = 0.001

_VERSION_TIMEOUT_S = 5.0


async def first_reply(
    base_url: str,
    model: str,
    *,
    key: str | None = None,
    timeout_s: float = 60.0,
    temperatures: Sequence[float] = (0.0,),
    max_tokens: int = 1,
    seed: int | None = None,
    changes: RequestChanges = _UNCHANGED,
    rng: random.Random | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Send a request to an endpoint and wait for the reply, with the same retries as the chat client.

    If the server refuses a temperature, the next one is tried: the others can be measured.

    Args:
        base_url: The endpoint's address, ending with ``/v1``.
        model: The model's name in the request.
        key: The key to send as a bearer token; it is removed from error messages. None to send no key.
        timeout_s: The time limit for the whole answer, with retries.
        temperatures: The temperatures that the server will be asked for, at least one.
        max_tokens: The most tokens of the reply.
        seed: The seed of the request; None for none.
        changes: Changes to the request.
        rng: The random source for the waits before retries.
        sleep: Waits for a number of seconds.
        clock: Monotonic seconds.

    Raises:
        EngineError: There was no answer, or the answer does not have OpenAI's form; the message quotes it.
    """
    secrets = (key,) if key else ()
    refusal: CallFailed | None = None
    for temperature in temperatures:
        request: dict[str, Any] = {
            "model": model,
            "messages": [{"role": "user", "content": "Hi"}],
            "max_tokens": max_tokens,
            "temperature": temperature,
        }
        if seed is not None:
            request["seed"] = seed
        body = json.dumps(changes.apply(request)).encode()

        async def attempt(remaining_s: float, body: bytes = body) -> object:
            return await _completion(base_url, body, key, secrets, remaining_s, timeout_s)

        try:
            await with_retries(attempt, deadline_s=timeout_s, rng=rng or random.Random(), sleep=sleep, clock=clock)
        except CallFailed as error:
            refusal = refusal or error
            if error.kind not in REFUSALS or "temperature" not in error.detail:
                refusal = error
                break
        else:
            return
    assert refusal is not None
    raise _engine_error(refusal, base_url, model, changes) from None


async def _completion(
    base_url: str, body: bytes, key: str | None, secrets: Sequence[str], remaining_s: float, timeout_s: float
) -> object:
    """One attempt: the completion as parsed JSON, or an ``HttpFault``."""
    import aiohttp

    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    limit = aiohttp.ClientTimeout(total=max(remaining_s, _LEAST_TIMEOUT_S))
    try:
        async with (
            aiohttp.ClientSession(timeout=limit, headers=headers, proxy=proxy_for(base_url)) as session,
            session.post(f"{base_url}/chat/completions", data=body) as response,
        ):
            text = await response.read()
    except TimeoutError:
        return HttpFault(kind="timeout", detail=f"no answer in {timeout_s:g} s", temporary=False)
    except aiohttp.ClientResponseError as error:  # the error's repr has the request's headers, and so the key
        return HttpFault(kind="bad reply", detail=shortened(error.message, secrets), temporary=False)
    except (aiohttp.ClientError, OSError) as error:
        return HttpFault(kind="connection", detail=shortened(str(error), secrets), temporary=True)
    return completion_or_fault(response.status, response.headers, text, secrets=secrets, now=lambda: datetime.now(UTC))


def _engine_error(error: CallFailed, base_url: str, model: str, changes: RequestChanges) -> EngineError:
    """The message for the user about an endpoint that cannot be used."""
    if error.kind in {"connection", "timeout"}:
        return EngineError(
            f"{base_url} cannot be reached: {error.detail or error.kind}. Is the server running, and is the address "
            "right?"
        )
    status = error.kind.removeprefix("http ")
    words = f": {error.detail}" if error.detail else ""
    if status in {"401", "403"}:
        return EngineError(
            f"{base_url} refused the key (HTTP {status}); set api_key_env to the name of the environment variable that "
            f"has the key{words and f'. The server answered{words}'}"
        )
    if status != error.kind:
        if better := remedy(error.detail, model, changes) if error.kind in REFUSALS else "":
            words = f"{words.removesuffix('.')}; {better}"
        return EngineError(f"{base_url} answered HTTP {status} for the model {model!r}{words}")
    if not error.detail.startswith("the reply"):  # the words of a JSON error
        return EngineError(f"{base_url} answered with an error for the model {model!r}{words}")
    return EngineError(
        f"{base_url} is not an OpenAI-compatible endpoint, or the address lacks /v1 at its end; the server "
        f"answered{words}"
    )


async def greedy_answer(base_url: str, model: str, prompt: str, *, max_tokens: int, timeout_s: float) -> str:
    """Request the answer in which each token is the most likely one (temperature 0).

    Args:
        base_url: The endpoint's address, ending with ``/v1``.
        model: The model's name in the request.
        prompt: The question.
        max_tokens: The most tokens of the answer.
        timeout_s: The time limit for the whole answer.

    Returns:
        The answer.

    Raises:
        EngineError: There was no answer.
    """
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": max_tokens,
        "temperature": 0,
    }
    text = await send_request("POST", f"{base_url}/chat/completions", body=body, timeout_s=timeout_s)
    if not _has_choices(text):
        raise EngineError(f"{base_url} sent an answer without choices")
    return str(json.loads(text)["choices"][0]["message"]["content"])


async def warm_up(base_url: str, model: str, *, requests: int, timeout_s: float) -> None:
    """Send several requests at once, so that the engine's one-time work is done before a team is measured.

    Args:
        base_url: The endpoint's address, ending with ``/v1``.
        model: The model's name in the requests.
        requests: The number of requests.
        timeout_s: The time limit for each answer.

    Raises:
        EngineError: A request was not answered.
    """
    bodies = [
        {
            "model": model,
            "messages": [{"role": "user", "content": f"Hi {number}"}],
            "max_tokens": 2,
            "temperature": 0.7,
        }
        for number in range(requests)
    ]
    url = f"{base_url}/chat/completions"
    await asyncio.gather(*(send_request("POST", url, body=body, timeout_s=timeout_s) for body in bodies))


async def version(base_url: str) -> str:
    """Read the version of a vLLM server.

    Args:
        base_url: The endpoint's address, ending with ``/v1``.

    Returns:
        ``vllm VERSION``, or an empty text for a server that does not report a version.
    """
    url = f"{base_url.removesuffix('/v1')}/version"
    try:
        reply = json.loads(await send_request("GET", url, timeout_s=_VERSION_TIMEOUT_S))
        return f"vllm {reply['version']}" if isinstance(reply["version"], str) else ""
    except (EngineError, ValueError, KeyError, TypeError):
        return ""


async def send_request(method: str, url: str, *, body: object = None, timeout_s: float) -> str:
    """Send one request without a key.

    Args:
        method: The HTTP method.
        url: The whole address.
        body: The request's body, which is sent as JSON; None for no body.
        timeout_s: The time limit for the whole answer.

    Returns:
        The body of the answer.

    Raises:
        EngineError: There was no answer, or its HTTP status is an error.
    """
    import aiohttp

    limit = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit, proxy=proxy_for(url)) as session,
            session.request(method, url, json=body) as response,
        ):
            text = await response.text(errors="replace")
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise EngineError(f"{url}: {str(error) or f'no answer in {timeout_s:g} s'}") from error
    if response.status >= 400:
        raise EngineError(f"{url} answered HTTP {response.status}: {' '.join(text.split())[:300]}")
    return text


def _has_choices(text: str) -> bool:
    try:
        reply = json.loads(text)
    except ValueError:
        return False
    return isinstance(reply, dict) and isinstance(reply.get("choices"), list) and bool(reply["choices"])
