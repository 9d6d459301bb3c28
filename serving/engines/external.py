"""An OpenAI-compatible endpoint that someone else runs: nothing is started or stopped."""

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
    """Asks ``base_url``; keeps to the rate and concurrency its owner allows.

    Args:
        base_url: with ``/v1``.
        model: the name to send.
        api_key_env: environment variable that holds the key; none is sent if None.
        requests_per_s: most requests a second.
        concurrency: most requests at once.

    Raises:
        InputError: the address has a password in it, which would end up in records.
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
            raise InputError("base_url must not have a user and a password in it; put the key into api_key_env")
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
        """Probe it. See ``Engine.start``; weights, options and log are not used; its version is recorded."""
        del model, weights, log
        key = api_key(self._endpoint)
        await _probe.one_token(
            self._endpoint.base_url, self._endpoint.model, key=key, timeout_s=options.start_timeout_s or START_TIMEOUT_S
        )
        if version := await _probe.version(self._endpoint.base_url):
            return replace(self._endpoint, facts={**self._endpoint.facts, "version": version})
        return self._endpoint

    async def stop(self) -> None:
        """Nothing to stop."""

    def alive(self) -> bool:
        """Always: its owner looks after it."""
        return True


def api_key(endpoint: Endpoint) -> str | None:
    """The key from the environment; None when the endpoint needs none.

    Raises:
        InputError: the variable is not set.
    """
    if endpoint.api_key_env is None:
        return None
    key = os.environ.get(endpoint.api_key_env, "").strip()  # a key read from a file brings its newline along
    if not key:
        raise InputError(f"the environment variable {endpoint.api_key_env} (api_key_env) is not set; it holds the key")
    return key


engine = EnginePlugin(make=ExternalEngine, here=False)
