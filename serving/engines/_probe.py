"""Small requests to an engine: to check that it answers, to warm it up, and to control it."""

from __future__ import annotations

import asyncio
import json

from orkester.errors import EngineError

from ._base import proxy_for

_VERSION_TIMEOUT_S = 5.0


async def one_token(base_url: str, model: str, *, key: str | None = None, timeout_s: float = 60.0) -> None:
    """Ask an endpoint for one token and wait for it.

    Args:
        base_url: The endpoint's address, ending with ``/v1``.
        model: The model's name in the request.
        key: The key to send as a bearer token; it is removed from error messages. None to send no key.
        timeout_s: The time limit for the whole answer.

    Raises:
        EngineError: There was no answer, or the answer does not have OpenAI's form; the message quotes it.
    """
    import aiohttp

    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1, "temperature": 0}
    headers = {"Authorization": f"Bearer {key}"} if key else None
    limit = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit, headers=headers, proxy=proxy_for(base_url)) as session,
            session.post(f"{base_url}/chat/completions", json=body) as response,
        ):
            text = await response.text(errors="replace")
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        reason = str(error) or f"no answer in {timeout_s:g} s"
        raise EngineError(
            f"{base_url} cannot be reached: {reason}. Is the server running, and is the address right?"
        ) from error
    answer = " ".join((text.replace(key, "[key]") if key else text).split())[:300]
    if response.status in {401, 403}:
        raise EngineError(
            f"{base_url} refused the key (HTTP {response.status}); set api_key_env to the name of the environment "
            "variable that has the key"
        )
    if response.status >= 400:
        raise EngineError(f"{base_url} answered HTTP {response.status} for the model {model!r}: {answer}")
    if not _has_choices(text):
        raise EngineError(
            f"{base_url} is not an OpenAI-compatible endpoint, or the address lacks /v1 at its end; the server "
            f"answered: {answer}"
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
