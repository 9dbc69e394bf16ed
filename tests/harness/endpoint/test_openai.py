"""Bodies that are asked, and what events of several servers say."""

from __future__ import annotations

import json

import pytest

from oildrop.harness.endpoint.openai import (
    Extras,
    MalformedEvent,
    Usage,
    error_text,
    model_names,
    read_piece,
    request_body,
)


def test_what_is_asked() -> None:
    body = json.loads(request_body("completions", "m", "a b", 7, Extras()))
    assert body == {"model": "m", "prompt": "a b", "max_tokens": 7, "temperature": 0, "stream": True,
                    "stream_options": {"include_usage": True}, "ignore_eos": True}  # fmt: skip
    plain = json.loads(request_body("chat", "m", "a b", 7, Extras(usage=False, ignore_eos=False)))
    assert plain == {"model": "m", "messages": [{"role": "user", "content": "a b"}], "max_tokens": 7,
                     "temperature": 0, "stream": True}  # fmt: skip


@pytest.mark.parametrize(
    ("event", "text", "reason"),
    [
        ({"choices": [{"index": 0, "text": " a", "logprobs": None, "finish_reason": None}]}, " a", None),
        ({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}, "", None),
        ({"choices": [{"index": 0, "delta": {"content": "b"}, "finish_reason": None}], "usage": None}, "b", None),
        ({"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]}, "hm", None),
        ({"choices": [{"index": 0, "delta": {"content": None, "reasoning": "so"}}]}, "so", None),
        ({"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}, "", "length"),
        ({"choices": [{"index": 0, "text": "c", "finish_reason": "stop"}]}, "c", "stop"),
    ],
)
def test_text_and_reason(event: dict[str, object], text: str, reason: str | None) -> None:
    piece = read_piece(json.dumps(event).encode())
    assert (piece.text, piece.finish_reason, piece.usage, piece.error) == (text, reason, None, None)


def test_half_of_a_character_is_text() -> None:
    """Some servers split a pair of surrogates between two tokens; only the standard library's parser lets it pass."""
    assert read_piece(b'{"choices": [{"text": " \\ud83d"}]}').text == " \ud83d"


def test_usage_may_stand_alone_or_beside_the_last_text() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assert read_piece(json.dumps({"choices": [], "usage": usage}).encode()).usage == Usage(
        prompt_tokens=3, completion_tokens=4
    )
    beside = read_piece(json.dumps({"choices": [{"text": "x"}], "usage": {"completion_tokens": True}}).encode())
    assert (beside.text, beside.usage) == ("x", Usage(prompt_tokens=None, completion_tokens=None))


@pytest.mark.parametrize("data", [b"{", b"[]", b"7", b'{"object": "pong"}', b'{"choices": [1]}', b"\xff"])
def test_what_is_no_piece_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedEvent):
        read_piece(data)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": {"message": "no  such\\nmodel", "type": "x"}}', "no such model"),
        (b'{"error": "busy"}', "busy"),
        (b'{"detail": "Not Found"}', "Not Found"),
        (b"<h1>Bad\n gateway</h1>", "<h1>Bad gateway</h1>"),
        (b"x" * 500, "x" * 200),
    ],
)
def test_a_servers_words(body: bytes, words: str) -> None:
    assert error_text(body) == words


def test_models() -> None:
    assert model_names(b'{"object": "list", "data": [{"id": "a"}, {"id": "b/c"}]}') == ("a", "b/c")
    for body in (b"", b"[]", b'{"models": []}', b'{"data": [{"name": "a"}]}', b'{"data": null}'):
        with pytest.raises(MalformedEvent):
            model_names(body)
