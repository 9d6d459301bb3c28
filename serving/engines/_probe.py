"""Whether an engine answers."""

from __future__ import annotations

import asyncio
import json

from orkester.errors import EngineError

from ._base import proxy_for

_VERSION_TIMEOUT_S = 5.0


async def one_token(base_url: str, model: str, *, key: str | None = None, timeout_s: float = 60.0) -> None:
    """Ask for one token and wait for it.

    Args:
        base_url: with ``/v1``.
        model: the name to send.
        key: sent as a bearer token, and taken out of what the server says; none is sent if None.
        timeout_s: for the whole answer.

    Raises:
        EngineError: there was no answer, or not one of OpenAI's form; the message quotes it.
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
            f"{base_url} cannot be reached: {reason}. Is the server running, and the address right?"
        ) from error
    said = " ".join((text.replace(key, "[key]") if key else text).split())[:300]
    if response.status in {401, 403}:
        raise EngineError(
            f"{base_url} refused the key (HTTP {response.status}); set api_key_env to the variable with it"
        )
    if response.status >= 400:
        raise EngineError(f"{base_url} answered HTTP {response.status} for the model {model!r}: {said}")
    if not _has_choices(text):
        raise EngineError(
            f"{base_url} is not an OpenAI-compatible endpoint, or /v1 is missing at its end; it answered: {said}"
        )


async def greedy(base_url: str, model: str, prompt: str, *, max_tokens: int, timeout_s: float) -> str:
    """What a model answers to a prompt when it takes the likeliest token each time.

    Raises:
        EngineError: there was no answer.
    """
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": max_tokens,
        "temperature": 0,
    }
    said = await control("POST", f"{base_url}/chat/completions", body=body, timeout_s=timeout_s)
    if not _has_choices(said):
        raise EngineError(f"{base_url} answered without choices")
    return str(json.loads(said)["choices"][0]["message"]["content"])


async def warm_up(base_url: str, model: str, *, requests: int, timeout_s: float) -> None:
    """Have an engine answer so many requests at once, sampled: what it does for the first time belongs to no team.

    Raises:
        EngineError: one was not answered.
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
    await asyncio.gather(*(control("POST", url, body=body, timeout_s=timeout_s) for body in bodies))


async def version(base_url: str) -> str:
    """What a server says of its version, as vLLM does; empty when it says nothing."""
    try:
        said = json.loads(await control("GET", f"{base_url.removesuffix('/v1')}/version", timeout_s=_VERSION_TIMEOUT_S))
        return f"vllm {said['version']}" if isinstance(said["version"], str) else ""
    except (EngineError, ValueError, KeyError, TypeError):
        return ""


async def control(method: str, url: str, *, body: object = None, timeout_s: float) -> str:
    """One request that needs no key; the body of its answer.

    Raises:
        EngineError: there was none, or one that says that it failed.
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
