"""How a request reaches an endpoint: one HTTP exchange, without retries, limits or deadlines of its own."""

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
#: Idle connections are given up before the server does it: vLLM's and llama.cpp's close theirs after 5 s, and a call
#: that meets a closing connection fails.
_KEEP_ALIVE_S = 4.0
#: From this size on (images) aiohttp wants a body as a stream.
_LARGE_BYTES = 2**20


@dataclass(frozen=True)
class Answer:
    """What the server answered, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Unreachable(Exception):
    """There was no connection, or it broke before the whole answer had come."""

    def __init__(self, error: BaseException) -> None:
        while error.__cause__ is not None:
            error = error.__cause__
        super().__init__(f"{type(error).__name__}: {error}")


class Transport(Protocol):
    """Sends requests."""

    def prepare(self) -> None:
        """Do now what the first request would have to. Needs a running event loop."""
        ...

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send a chat completion's request, as JSON, and wait for the whole answer.

        Raises:
            Unreachable: see there.
            ValueError: the answer is not HTTP.
        """
        ...

    async def close(self) -> None:
        """Give connections back; it may be used again."""
        ...


class HttpTransport:
    """aiohttp alone. The ``openai`` package's client takes four times its CPU time, which a team pays for every call.

    Args:
        base_url: with ``/v1``.
        key: sent as a bearer token; none is sent if None.
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
        except aiohttp.ClientResponseError as error:  # its repr has the request's headers, and so the key
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
                # How many calls may be under way is for gates and studies to say.
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_S),
                # No call may depend on those before it.
                cookie_jar=aiohttp.DummyCookieJar(),
                proxy=proxy_for(self._base_url),
            )
        return self._session


class OpenAITransport:
    """A client of the ``openai`` package that the caller has made, and closes."""

    def __init__(self, api: AsyncOpenAI) -> None:
        self._api = api.with_options(max_retries=0, timeout=None)

    def prepare(self) -> None:
        """Nothing to do."""

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """See ``Transport``."""
        import openai

        try:
            # Its typed methods walk the request against its types and build the reply out of a dozen models; of the
            # reply we read a few fields, and check those.
            said = await self._api.post(_PATH, cast_to=bytes, body=json.loads(body), options={"headers": dict(headers)})
        except openai.APIStatusError as error:
            return Answer(error.status_code, error.response.headers, error.response.content)
        except openai.APIConnectionError as error:
            raise Unreachable(error) from None
        except openai.OpenAIError as error:
            raise ValueError(str(error)) from None
        return Answer(200, {}, said)

    async def close(self) -> None:
        """It is the caller's."""
