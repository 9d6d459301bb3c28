"""The words of a server: which part of its answer they are, what is hidden in them, and which have the same cause."""

import json

import pytest

from orkester.serving.server_words import (
    MAX_CHARACTERS,
    message_in,
    same_cause,
    server_words,
    shortened,
    without_secrets,
)

KEY = "sk-proj-Ab12Cd34Ef56Gh78"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ({"error": {"message": "too long", "code": 400}}, "too long"),
        ({"error": "too long"}, "too long"),
        ({"object": "error", "message": "too long", "code": 400}, "too long"),
        ({"detail": "too long"}, "too long"),
        (
            {"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]},
            "seed: Extra inputs are not permitted",
        ),
        ({"error": {"message": "Unsupported", "param": "seed"}}, "Unsupported (parameter 'seed')"),
        ({"error": {"message": "Unsupported: seed", "param": "seed"}}, "Unsupported: seed"),
        ({"errors": [{"message": "one"}, {"message": "two"}]}, "one; two"),
        ({"error": {"message": "Provider error", "metadata": {"raw": "busy"}}}, "Provider error: busy"),
        ([{"error": {"message": "in a list"}}], "in a list"),
        ({"error": {}}, ""),
        ({"choices": []}, ""),
        (None, ""),
    ],
)
def test_the_message_is_found_in_every_usual_form(error: object, words: str) -> None:
    assert message_in(error) == words
    assert server_words(json.dumps(error).encode()) == (words or json.dumps(error))


def test_a_page_is_its_title_and_text() -> None:
    page = (
        b"<!DOCTYPE html><html><head><title>502</title><style>p {color: red}</style></head><p>Bad\n Gateway</p></html>"
    )
    assert server_words(page) == "an HTML page: 502: Bad Gateway"
    assert server_words(b"\xef\xbb\xbfplain \x1b[31mtext\x00") == "plain �[31mtext�"
    assert server_words(b"") == ""


@pytest.mark.parametrize(
    "text",
    [
        f"Incorrect API key provided: {KEY}",
        "Incorrect API key provided: sk-proj-****************Gh78",
        "Authorization: Bearer abcdefgh12345678",
        "bearer abcdefgh12345678",
        '{"api_key": "abcdefgh"}',
        "x-api-key=abcdefgh",
        "https://name:abcdefgh@host/v1",
        "https://host/v1?key=abcdefgh&x=1",
        "token eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.abcdefgh",
        "hf_abcdefgh12345678",
        "gsk_abcdefgh12345678",
        "AIzaabcdefgh1234567890123",
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str) -> None:
    shown = without_secrets(text)
    assert "[key]" in shown
    assert "abcdefgh" not in shown
    assert "Ab12" not in shown
    assert "Gh78" not in shown
    assert without_secrets(shown) == shown


@pytest.mark.parametrize(
    "text", ["maximum context length is 2048 tokens", "risk-free: task-force", "http://host:80/v1", "pk_layer"]
)
def test_other_words_stay(text: str) -> None:
    assert without_secrets(text) == text


def test_a_known_secret_is_hidden_in_every_form() -> None:
    secret = 'a/b"c d'
    assert without_secrets('a/b"c d a%2Fb%22c%20d a/b\\"c d', [secret]) == "[key] [key] [key]"


def test_long_words_are_cut_after_secrets_are_hidden() -> None:
    text = "x" * (MAX_CHARACTERS - 10) + " " + KEY + " and more" * 100
    shown = shortened(text, [KEY])
    assert len(shown) == MAX_CHARACTERS
    assert shown.endswith("…")
    assert "sk-" not in shown


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("http 400: you requested 4096 tokens", "http 400: you requested 51 tokens", True),
        ("http 400: request req_abc123 failed", "http 400: request req_xyz789 failed", True),
        ("id 123e4567-e89b-12d3-a456-426614174000", "id 223e4567-e89b-12d3-a456-426614174999", True),
        ("http 400: too long", "http 500: too long", False),
        ("http 400: too long", "http 400: unknown seed", False),
    ],
)
def test_numbers_and_ids_make_no_other_cause(one: str, other: str, alike: bool) -> None:
    assert (same_cause(one) == same_cause(other)) is alike
