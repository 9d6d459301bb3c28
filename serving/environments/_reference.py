"""llama.cpp's answers for a GGUF file, as the reference for a conversion of the file."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orkester.errors import ModelError

_SERVER = Path(__file__).parents[1] / "engines" / "_llamacpp_server.py"
#: Questions that the arithmetic models can read with their small vocabulary, and that are usual for any other model.
_QUESTIONS = ("What is 12 + 34?", "What is 50 - 27?")
_ANSWER_TOKENS = 24
_TIMEOUT_S = 300.0


def reference(weights: Path, log: Path) -> Mapping[str, Any]:
    """Return llama.cpp's answers to a few texts at temperature 0, as tokens.

    Args:
        weights: The GGUF file.
        log: The file that takes llama.cpp's output.

    Returns:
        ``bos``: the token that llama.cpp puts before every prompt, or None. ``texts``: for each text, the ``text``, the
        tokens of its ``prompt``, and the tokens of the ``answer``.

    Raises:
        ModelError: llama.cpp cannot read the weights.
    """
    options = {
        "name": "reference",
        "weights": str(weights),
        "slots": 1,
        "context_tokens": 512,
        "threads": 1,
        "prefix_caching": False,
        "chat_template": "",
    }
    with (
        log.open("wb") as sink,
        subprocess.Popen(
            [sys.executable, str(_SERVER), json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=sink,
            start_new_session=True,
        ) as server,
    ):
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            line = server.stdout.readline()
            if not line:
                lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-6:]
                raise ModelError(f"llama.cpp cannot read {weights}:" + "".join(f"\n  {each}" for each in lines))
            host = urlsplit(json.loads(line)["address"]).netloc
            return _answers(host)
        except (OSError, http.client.HTTPException, KeyError, ValueError) as error:
            raise ModelError(f"llama.cpp did not answer with {weights}: {error}") from error
        finally:
            server.stdin.close()  # this ends the server
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()


def _answers(host: str) -> Mapping[str, Any]:
    plain, prompt = (_tokens(host, _QUESTIONS[0], special=special) for special in (False, True))
    bos = prompt[0] if prompt[1:] == plain else None
    chats = [[{"role": "user", "content": question}] for question in _QUESTIONS]
    texts = [_QUESTIONS[0], *(_post(host, "/apply-template", messages=messages)["prompt"] for messages in chats)]
    return {"bos": bos, "texts": [_answer(host, text, bos) for text in texts]}


def _answer(host: str, text: str, bos: int | None) -> Mapping[str, Any]:
    tokens = _tokens(host, text, special=False)
    prompt = tokens if bos is None or tokens[0] == bos else [bos, *tokens]
    reply = _post(host, "/completion", prompt=prompt, n_predict=_ANSWER_TOKENS, temperature=0, return_tokens=True)
    return {"text": text, "prompt": prompt, "answer": reply["tokens"]}


def _tokens(host: str, text: str, *, special: bool) -> list[int]:
    tokens: list[int] = _post(host, "/tokenize", content=text, add_special=special, parse_special=True)["tokens"]
    return tokens


def _post(host: str, path: str, **body: object) -> Any:
    connection = http.client.HTTPConnection(host, timeout=_TIMEOUT_S)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()
