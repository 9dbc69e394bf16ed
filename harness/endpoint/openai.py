"""The OpenAI API's streaming completions: bodies of requests, and what each event of an answer says; pure.

Source: OpenAI API reference, "Create completion" and "Create chat completion" with their streaming objects, and the
parameters that vLLM, SGLang and llama.cpp's server add to them (`ignore_eos`), read 2026-11-25.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from pydantic_core import from_json

Api = Literal["completions", "chat"]

DONE = b"[DONE]"
PATHS: dict[str, str] = {"completions": "/completions", "chat": "/chat/completions"}


class MalformedEvent(ValueError):
    """An event is no piece of a completion."""


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What is asked beyond the API's core; a server that refuses one is asked without it.

    Attributes:
        usage: Ask for the server's own count of tokens in the last event.
        ignore_eos: Ask to go on after the model's end of sequence, so that each answer is as long as was asked.
    """

    usage: bool = True
    ignore_eos: bool = True


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens as the server counted them; None where it does not say."""

    prompt_tokens: int | None
    completion_tokens: int | None


class Piece(NamedTuple):
    """What one event brings.

    Attributes:
        text: New text, reasoning included; empty for an event that only opens, counts or ends.
        finish_reason: Why the answer ended: `stop` by the model, `length` at what was asked for; None before.
        usage: The server's count.
        error: What went wrong in the server, in its words.
    """

    text: str = ""
    finish_reason: str | None = None
    usage: Usage | None = None
    error: str | None = None


def request_body(api: Api, model: str, prompt: str, output_tokens: int, extras: Extras) -> bytes:
    """The body that asks for `output_tokens` tokens after `prompt`, greedily and streamed."""
    asked: dict[str, Any] = {"model": model}
    if api == "chat":
        asked["messages"] = [{"role": "user", "content": prompt}]
    else:
        asked["prompt"] = prompt
    asked |= {"max_tokens": output_tokens, "temperature": 0, "stream": True}
    if extras.usage:
        asked["stream_options"] = {"include_usage": True}
    if extras.ignore_eos:
        asked["ignore_eos"] = True
    return json.dumps(asked, separators=(",", ":")).encode()


def read_piece(data: bytes) -> Piece:
    """What the event with this data says. Raises MalformedEvent."""
    event = _parsed(data)
    if not isinstance(event, dict):
        raise MalformedEvent(f"{data[:80]!r} is no object")
    if event.get("error"):
        return Piece(error=_error_text(event["error"]))
    choices, told = event.get("choices"), event.get("usage")
    if choices is None and "usage" not in event:
        raise MalformedEvent(f"{data[:80]!r} has neither choices nor usage")
    usage = None if told is None else _usage(told)
    if not choices:
        return Piece(usage=usage)
    if not isinstance(choices, list) or not isinstance(choices[0], dict):
        raise MalformedEvent(f"{data[:80]!r} has no list of choices")
    reason = choices[0].get("finish_reason")
    return Piece(_text(choices[0]), None if reason is None else str(reason), usage)


def model_names(body: bytes) -> tuple[str, ...]:
    """Models in the answer to GET /v1/models. Raises MalformedEvent."""
    try:
        names = [str(model["id"]) for model in json.loads(body)["data"]]
    except (ValueError, TypeError, KeyError) as error:
        raise MalformedEvent(f"{body[:80]!r} is no list of models") from error
    return tuple(names)


def error_text(body: bytes) -> str:
    """The server's words in the body of an answer that is an error, at most 200 characters of them."""
    try:
        said = json.loads(body)
    except ValueError:
        return " ".join(body.decode("utf-8", "replace").split())[:200]
    return _error_text(said.get("error", said.get("detail", said)) if isinstance(said, dict) else said)


def _parsed(data: bytes) -> Any:
    """The value. The standard library has the last word: pydantic's parser is four times as fast and stricter."""
    try:
        return from_json(data)
    except ValueError:
        pass
    try:
        return json.loads(data.decode())
    except ValueError as error:
        raise MalformedEvent(f"{data[:80]!r} is no JSON") from error


def _text(choice: dict[str, Any]) -> str:
    """New text of a choice: completions have it flat, chats in `delta`, reasoning beside it."""
    delta = choice.get("delta")
    found = choice if not isinstance(delta, dict) else delta
    for name in ("content", "text", "reasoning_content", "reasoning"):
        text = found.get(name)
        if isinstance(text, str) and text:
            return text
    return ""


def _usage(found: Any) -> Usage | None:
    if not isinstance(found, dict):
        return None
    return Usage(
        prompt_tokens=_count(found.get("prompt_tokens")), completion_tokens=_count(found.get("completion_tokens"))
    )


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _error_text(error: Any) -> str:
    text = error.get("message", error) if isinstance(error, dict) else error
    return " ".join(str(text).split())[:200]
