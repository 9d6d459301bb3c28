"""The external engine: an OpenAI-compatible endpoint that someone else runs. It is never started or stopped here."""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from orkester.errors import InputError

from ..catalogue import Model
from ..server_words import without_secrets
from . import _probe
from ._base import START_TIMEOUT_S, Endpoint, EngineOptions, EnginePlugin, PlainEngine

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_USUAL_NAME = re.compile(r"[A-Z_]+[A-Z0-9_]*", re.ASCII)
_HEXADECIMAL = re.compile(r"(?=.*[0-9])[0-9A-Fa-f]{16,}")
_KEY_LENGTH, _KEY_DIGITS = 20, 3


class ExternalEngine(PlainEngine):
    """An endpoint that someone else runs, with the rate and the concurrency that its owner allows.

    Args:
        base_url: The endpoint's address, ending with ``/v1``.
        model: The model's name in requests.
        api_key_env: The name of the environment variable with the key; None to send no key.
        requests_per_s: The most requests per second; None for no limit.
        concurrency: The most requests at the same time; None for no limit.
        temperatures: The temperatures that the study asks the model for, at least one. The request that checks the
            endpoint has the first one that the server takes.
        max_tokens: The most tokens of the reply to that request.
        rng: The random source for the waits before retries of that request.
        sleep: Waits for a number of seconds.

    Raises:
        InputError: The address contains a password, which would be written to records, or ``api_key_env`` is not the
            name of a variable.
    """

    def __init__(
        self,
        base_url: str,
        *,
        model: str,
        api_key_env: str | None = None,
        requests_per_s: float | None = None,
        concurrency: int | None = None,
        temperatures: Sequence[float] = (0.0,),
        max_tokens: int = 1,
        rng: random.Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if fault := variable_name_fault(api_key_env):
            raise InputError(f"api_key_env {fault}")
        if "@" in urlsplit(base_url).netloc:
            raise InputError(
                "base_url must not contain a user and a password; put the key into an environment variable and name "
                "the variable in api_key_env"
            )
        self._temperatures = tuple(temperatures)
        self._max_tokens = max_tokens
        self._rng = rng
        self._sleep = sleep
        self._endpoint = Endpoint(
            base_url=base_url.rstrip("/"),
            model=model,
            takes_seed=True,
            facts={"engine": "external", "base_url": base_url.rstrip("/"), "model": model},
            api_key_env=api_key_env,
            requests_per_s=requests_per_s,
            concurrency=concurrency,
        )

    async def start(self, model: Model, weights: Path | None, options: EngineOptions, log: Path) -> Endpoint:
        """Send one request, to check that the endpoint answers, and record the server's version.

        See ``Engine.start``. The weights and the log are not used, and of the options only the time limit.
        """
        del weights, log
        await _probe.first_reply(
            self._endpoint.base_url,
            self._endpoint.model,
            key=api_key(self._endpoint),
            timeout_s=options.start_timeout_s or START_TIMEOUT_S,
            temperatures=self._temperatures,
            max_tokens=self._max_tokens,
            seed=0 if self._endpoint.takes_seed else None,
            changes=model.request,
            rng=self._rng,
            sleep=self._sleep,
        )
        if version := await _probe.version(self._endpoint.base_url):
            return replace(self._endpoint, facts={**self._endpoint.facts, "version": version})
        return self._endpoint

    async def stop(self) -> None:
        """Do nothing: the endpoint's owner runs it."""

    def alive(self) -> bool:
        """Return True: the endpoint's owner runs it."""
        return True


def variable_name_fault(name: object) -> str:
    """Check that a text can be the name of an environment variable and does not look like a key.

    Args:
        name: The value of ``api_key_env``; None if there is none.

    Returns:
        What is wrong; empty if nothing is. It never repeats the value, which may be a key.
    """
    if name is None:
        return ""
    sound = isinstance(name, str) and _VARIABLE.fullmatch(name)
    if sound and (name in os.environ or not _looks_like_a_key(str(name))):
        return ""
    return (
        "takes the name of the environment variable that has the key, such as OPENAI_API_KEY; the given value is not "
        "such a name and is not shown here, because it may be the key itself. If it is, set the variable to it instead"
    )


def _looks_like_a_key(name: str) -> bool:
    """Whether a text that could be a variable's name is more likely a key: it has many digits among small letters."""
    if without_secrets(name) != name or _HEXADECIMAL.fullmatch(name):
        return True
    digits = sum(character.isdigit() for character in name)
    small = any(character.islower() for character in name)
    return len(name) >= _KEY_LENGTH and digits >= _KEY_DIGITS and (small or "_" not in name)


def api_key(endpoint: Endpoint) -> str | None:
    """Read the API key of an endpoint from the environment.

    Args:
        endpoint: The endpoint, which names the environment variable.

    Returns:
        The key, or None if the endpoint needs no key.

    Raises:
        InputError: The variable is not set.
    """
    return key_in_environment(endpoint.api_key_env)


def key_in_environment(name: str | None) -> str | None:
    """Read an API key from an environment variable.

    Args:
        name: The name of the variable; None for no key.

    Returns:
        The key, or None if there is no name.

    Raises:
        InputError: The variable is not set. The message has its name only if it can hardly be the key itself.
    """
    if name is None:
        return None
    key = os.environ.get(name, "").strip()  # a key that was read from a file may end with a newline
    if not key:
        shown = f"the environment variable {name} (api_key_env) is not set"
        if not _USUAL_NAME.fullmatch(name):
            shown = (
                "the environment variable that api_key_env names is not set (the name is not shown here, because it "
                "may be the key itself)"
            )
        raise InputError(f"{shown}; set it to the endpoint's key")
    return key


engine = EnginePlugin(make=ExternalEngine, local=False)
