"""Sends a request to an endpoint in one HTTP exchange. Retries, rate limits and deadlines are the chat client's job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Protocol

from .engines import proxy_for

if TYPE_CHECKING:
    from aiohttp import ClientSession
    from openai import AsyncOpenAI

_PATH = "/chat/completions"
#: Idle connections are closed before the server closes them: the servers of vLLM and llama.cpp do so after 5 s, and a
#: call fails if it uses a connection that is being closed.
_KEEP_ALIVE_S = 4.0
#: From this size on (requests with images), aiohttp needs the body as a stream.
_LARGE_BYTES = 2**20


@dataclass(frozen=True)
class Answer:
    """The server's answer, with any HTTP status."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Unreachable(Exception):
    """There was no connection, or the connection broke before the whole answer arrived."""

    def __init__(self, error: BaseException) -> None:
        while error.__cause__ is not None:
            error = error.__cause__
        super().__init__(f"{type(error).__name__}: {error}")


class Transport(Protocol):
    """Sends requests."""

    def prepare(self) -> None:
        """Do the preparation that the first request would otherwise do. A running event loop is needed."""
        ...

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send the request of a chat completion, and wait for the whole answer.

        Args:
            body: The request as JSON.
            headers: HTTP headers for this request.

        Returns:
            The answer, with any status.

        Raises:
            Unreachable: There was no connection, or the connection broke.
            ValueError: The answer is not HTTP.
        """
        ...

    async def close(self) -> None:
        """Close the connections. The transport may be used again afterwards."""
        ...


class HttpTransport:
    """A transport that uses aiohttp directly.

    The client of the ``openai`` package needs four times the CPU time for each call.

    Args:
        base_url: The endpoint's address, ending with ``/v1``.
        key: The key to send as a bearer token; None to send no key.
    """

    def __init__(self, base_url: str, key: str | None) -> None:
        self._base_url = base_url
        self._url = base_url.rstrip("/") + _PATH
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._session: ClientSession | None = None

    def prepare(self) -> None:
        """See ``Transport``."""
        self._open()

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """See ``Transport``."""
        import aiohttp

        data = body if len(body) < _LARGE_BYTES else BytesIO(body)
        try:
            async with self._open().post(self._url, data=data, headers=headers) as response:
                return Answer(response.status, response.headers, await response.read())
        except aiohttp.ClientResponseError as error:  # the error's repr has the request's headers, and so the key
            raise ValueError(error.message) from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(error) from None

    async def close(self) -> None:
        """See ``Transport``."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> ClientSession:
        if self._session is None:
            import aiohttp

            self._session = aiohttp.ClientSession(
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(),
                # The number of concurrent calls is limited elsewhere: by the client's gate and by the study.
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_S),
                # A call must not depend on earlier calls.
                cookie_jar=aiohttp.DummyCookieJar(),
                proxy=proxy_for(self._base_url),
            )
        return self._session


class OpenAITransport:
    """A transport over a client of the ``openai`` package. The caller creates and closes that client."""

    def __init__(self, api: AsyncOpenAI) -> None:
        self._api = api.with_options(max_retries=0, timeout=None)

    def prepare(self) -> None:
        """Do nothing: the caller's client needs no preparation."""

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """See ``Transport``."""
        import openai

        try:
            # The client's typed methods check the whole request and build the reply from a dozen models. That is not
            # needed here: only a few fields of the reply are read, and they are checked when they are read.
            content = await self._api.post(
                _PATH, cast_to=bytes, body=json.loads(body), options={"headers": dict(headers)}
            )
        except openai.APIStatusError as error:
            return Answer(error.status_code, error.response.headers, error.response.content)
        except openai.APIConnectionError as error:
            raise Unreachable(error) from None
        except openai.OpenAIError as error:
            raise ValueError(str(error)) from None
        return Answer(200, {}, content)

    async def close(self) -> None:
        """Do nothing: the caller closes the client."""
