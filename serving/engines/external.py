"""The external engine: an OpenAI-compatible endpoint that someone else runs. It is never started or stopped here."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from orkester.errors import InputError

from ..catalogue import Model
from . import _probe
from ._base import START_TIMEOUT_S, Endpoint, EngineOptions, EnginePlugin, PlainEngine


class ExternalEngine(PlainEngine):
    """An endpoint that someone else runs, with the rate and the concurrency that its owner allows.

    Args:
        base_url: The endpoint's address, ending with ``/v1``.
        model: The model's name in requests.
        api_key_env: The name of the environment variable with the key; None to send no key.
        requests_per_s: The most requests per second; None for no limit.
        concurrency: The most requests at the same time; None for no limit.

    Raises:
        InputError: The address contains a password, which would be written to records.
    """

    def __init__(
        self,
        base_url: str,
        *,
        model: str,
        api_key_env: str | None = None,
        requests_per_s: float | None = None,
        concurrency: int | None = None,
    ) -> None:
        if "@" in urlsplit(base_url).netloc:
            raise InputError(
                "base_url must not contain a user and a password; put the key into an environment variable and name "
                "the variable in api_key_env"
            )
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
        """Ask for one token, to check that the endpoint answers, and record the server's version.

        See ``Engine.start``. The model, the weights and the log are not used, and of the options only the time limit.
        """
        del model, weights, log
        key = api_key(self._endpoint)
        await _probe.one_token(
            self._endpoint.base_url, self._endpoint.model, key=key, timeout_s=options.start_timeout_s or START_TIMEOUT_S
        )
        if version := await _probe.version(self._endpoint.base_url):
            return replace(self._endpoint, facts={**self._endpoint.facts, "version": version})
        return self._endpoint

    async def stop(self) -> None:
        """Do nothing: the endpoint's owner runs it."""

    def alive(self) -> bool:
        """Return True: the endpoint's owner runs it."""
        return True


def api_key(endpoint: Endpoint) -> str | None:
    """Read the API key of an endpoint from the environment.

    Args:
        endpoint: The endpoint, which names the environment variable.

    Returns:
        The key, or None if the endpoint needs no key.

    Raises:
        InputError: The variable is not set.
    """
    if endpoint.api_key_env is None:
        return None
    key = os.environ.get(endpoint.api_key_env, "").strip()  # a key that was read from a file may end with a newline
    if not key:
        raise InputError(
            f"the environment variable {endpoint.api_key_env} (api_key_env) is not set; set it to the endpoint's key"
        )
    return key


engine = EnginePlugin(make=ExternalEngine, local=False)
