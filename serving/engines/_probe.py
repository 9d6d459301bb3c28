"""Whether an engine answers."""

from __future__ import annotations

from collections.abc import Mapping

from orkester.errors import EngineError


async def one_token(
    base_url: str, model: str, *, headers: Mapping[str, str] | None = None, timeout_s: float = 60.0
) -> None:
    """Ask for one token and wait for it.

    Raises:
        EngineError: there was no answer, or not one of OpenAI's form; the message quotes it.
    """
    import aiohttp

    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1, "temperature": 0}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s), headers=headers) as session,
            session.post(f"{base_url}/chat/completions", json=body) as response,
        ):
            text = await response.text()
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        reason = str(error) or f"no answer in {timeout_s:g} s"
        raise EngineError(
            f"{base_url} cannot be reached: {reason}. Is the server running, and the address right?"
        ) from error
    if response.status in {401, 403}:
        raise EngineError(
            f"{base_url} refused the key (HTTP {response.status}); set api_key_env to the variable with it"
        )
    if response.status >= 400:
        raise EngineError(f"{base_url} answered HTTP {response.status} for the model {model!r}: {text[:300].strip()}")
