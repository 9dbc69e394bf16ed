"""A server of completions that does what its model's name says, the bad things too; also a program of its own.

`python mock_server.py --pace 0.02` prints its port and serves until its input is closed. The stamps of what it sent, on
the host's monotonic clock, are at GET /stamps, one list a request in the order in which they were answered.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
WORDS = tuple(f" word{number}" for number in range(10))
METRICS = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name="good"} 2.0
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{model_name="good"} 320.0
python_gc_objects_collected_total{generation="0"} 12.0
"""


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(data: str) -> bytes:
    return chunk(f"data: {data}\n\n".encode())


@functools.cache
def piece_of(text: str, reason: str | None, chat: bool) -> str:
    if chat:
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": reason}
    else:
        choice = {"index": 0, "text": text, "finish_reason": reason}
    return json.dumps({"id": "c", "object": "text_completion", "model": "good", "choices": [choice]})


@functools.cache
def event_of(text: str, reason: str | None, chat: bool) -> bytes:
    """Made once, so that a client that is measured does not wait for them."""
    return event(piece_of(text, reason, chat))


class Exchange:
    """One request being answered over `protocol`."""

    def __init__(self, server: MockServer, protocol: Peer, asked: dict[str, Any], chat: bool) -> None:
        self.server, self.protocol, self.asked, self.chat = server, protocol, asked, chat
        self.tokens = int(asked.get("max_tokens", 16))
        self.sent_ns: list[int] = []
        self.loop = asyncio.get_running_loop()

    def piece(self, text: str, reason: str | None = None) -> str:
        return piece_of(text, reason, self.chat)

    def send_piece(self, text: str, reason: str | None = None) -> None:
        self.write(event_of(text, reason, self.chat))

    def usage(self, tokens: int) -> str:
        counts = {"prompt_tokens": len(self.prompt.split()), "completion_tokens": tokens}
        return json.dumps({"id": "c", "object": "text_completion", "model": "good", "choices": [], "usage": counts})

    @property
    def prompt(self) -> str:
        return self.asked["messages"][-1]["content"] if self.chat else self.asked["prompt"]

    def start(self, way: str) -> None:
        if way in ("401", "429", "500"):
            self.refuse(int(way))
        elif way == "no-usage-option" and ("stream_options" in self.asked or "ignore_eos" in self.asked):
            self.refuse(400)
        elif way == "no-stream-options" and "stream_options" in self.asked:
            self.refuse(422)
        elif way == "no-ignore-eos" and "ignore_eos" in self.asked:
            self.refuse(400)
        elif way in ("html", "plain-json"):
            body = b"<html>Welcome</html>" if way == "html" else self.piece(" word").encode()
            kind = b"text/html" if way == "html" else b"application/json"
            self.write(b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (kind, len(body), body))
        elif way == "no-stream":
            self.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 0\r\n\r\n")
        else:
            self.write(HEAD)
            getattr(self, f"way_{way.replace('-', '_')}", self.way_good)()

    def refuse(self, status: int) -> None:
        self.refuse_with(status, f"no, because {status}")

    def refuse_with(self, status: int, message: str) -> None:
        body = json.dumps({"error": {"message": message, "type": "mock"}}).encode()
        head = b"HTTP/1.1 %d No\r\nContent-Type: application/json\r\nRetry-After: 1\r\nContent-Length: %d\r\n\r\n"
        self.write(head % (status, len(body)) + body)

    def write(self, data: bytes) -> None:
        self.protocol.transport.write(data)

    def cut(self) -> None:
        self.protocol.transport.close()

    def token(self, number: int, *, per_event: int = 1) -> None:
        """Send token `number` and, at the server's pace, those after it."""
        if self.protocol.transport.is_closing():
            return
        text = "".join(WORDS[(number + more) % 10] for more in range(per_event))
        self.sent_ns.append(time.monotonic_ns())
        self.send_piece(text)
        if number + per_event >= self.tokens:
            self.end(self.tokens)
        elif self.server.pace_s:
            self.loop.call_later(self.server.pace_s, lambda: self.token(number + per_event, per_event=per_event))
        else:
            self.loop.call_soon(lambda: self.token(number + per_event, per_event=per_event))

    def end(self, tokens: int | None, reason: str = "length", *, done: bool = True) -> None:
        self.send_piece("", reason)
        if tokens is not None and self.asked.get("stream_options", {}).get("include_usage"):
            self.write(event(self.usage(tokens)))
        self.write((event("[DONE]") if done else b"") + b"0\r\n\r\n")
        self.server.stamps.append(self.sent_ns)

    def way_good(self) -> None:
        if self.chat:
            self.send_piece("")  # as servers open a chat: a role and no text
        if self.server.delay_s:
            self.loop.call_later(self.server.delay_s, lambda: self.token(0))
        else:
            self.token(0)

    def way_remembers(self) -> None:
        """A prompt that was asked before is answered at once."""
        known = self.prompt in self.server.prompts
        self.server.prompts.add(self.prompt)
        if known:
            self.token(0)
        else:
            self.way_good()

    def way_doubles(self) -> None:
        self.token(0, per_event=2)

    def way_bulk(self) -> None:
        """All events in one write."""
        pieces = b"".join(event(self.piece(WORDS[number % 10])) for number in range(self.tokens))
        self.write(pieces)
        self.end(self.tokens)

    def way_late_text(self) -> None:
        for _ in range(3):
            self.send_piece("")
        self.token(0)

    def way_comments(self) -> None:
        self.write(chunk(b": still here\r\n\r\nid: 7\r\nretry: 10\r\n"))
        self.token(0)

    def way_no_done(self) -> None:
        self.send_piece(" all")
        self.end(None, done=False)

    def way_no_usage(self) -> None:
        for number in range(self.tokens):
            self.send_piece(WORDS[number % 10])
        self.end(None)

    def way_continuous_usage(self) -> None:
        for number in range(self.tokens):
            piece = json.loads(self.piece(WORDS[number % 10]))
            piece["usage"] = {"prompt_tokens": 3, "completion_tokens": number + 1}
            self.write(event(json.dumps(piece)))
        self.end(self.tokens)

    def way_short(self) -> None:
        """Half of what was asked, said to be all."""
        for number in range(self.tokens // 2):
            self.send_piece(WORDS[number % 10])
        self.end(self.tokens // 2)

    def way_stops(self) -> None:
        for number in range(self.tokens // 2):
            self.send_piece(WORDS[number % 10])
        self.end(self.tokens // 2, "stop")

    def way_aborts(self) -> None:
        for number in range(self.tokens // 2):
            self.send_piece(WORDS[number % 10])
        self.end(None, "abort")

    def way_long(self) -> None:
        for number in range(self.tokens + 3):
            self.send_piece(WORDS[number % 10])
        self.end(self.tokens + 3)

    def way_forever(self) -> None:
        if not self.protocol.transport.is_closing():
            self.send_piece(" again")
            self.loop.call_later(0.001, self.way_forever)

    def way_chatters(self) -> None:
        """Comments and events without text, for ever."""
        if not self.protocol.transport.is_closing():
            self.write(chunk(b": ping\n\n") + event(self.piece("")))
            self.loop.call_later(0.005, self.way_chatters)

    def way_noise(self) -> None:
        """No event at all."""
        self.write(chunk(b"word1 word2\nword3\n\n") + b"0\r\n\r\n")

    def way_bad_chunk(self) -> None:
        """A chunk whose size is no number."""
        self.write(event(self.piece(" begun")) + b"xyz\r\n")

    def way_too_many_requests(self) -> None:
        """Status 200, and a refusal in the middle of the stream."""
        self.send_piece(" begun")
        self.write(event(json.dumps({"error": {"message": "rate limit", "code": 429}})) + b"0\r\n\r\n")

    def way_silent(self) -> None:
        """Never a token, never an end."""

    def way_empty(self) -> None:
        self.end(0)

    def way_cut(self) -> None:
        for number in range(3):
            self.send_piece(WORDS[number])
        self.loop.call_later(0.01, self.cut)

    def way_closes(self) -> None:
        """Closes after each whole answer, without having said so."""
        for number in range(self.tokens):
            self.send_piece(WORDS[number % 10])
        self.end(self.tokens)
        self.cut()

    def way_fades(self) -> None:
        """A whole HTTP answer whose stream has no end."""
        for number in range(3):
            self.send_piece(WORDS[number])
        self.write(b"0\r\n\r\n")

    def way_error_event(self) -> None:
        self.send_piece(" begun")
        self.write(event(json.dumps({"error": {"message": "out of memory", "code": 500}})))
        self.write(b"0\r\n\r\n")

    def way_not_json(self) -> None:
        self.write(event('{"choices": [{"text": " cut o'))
        self.write(b"0\r\n\r\n")


class Peer(asyncio.Protocol):
    """One connection of a client."""

    transport: asyncio.Transport

    def __init__(self, server: MockServer) -> None:
        self.server = server
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.server.connections += 1

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self.buffer.startswith(b"\x16"):  # somebody begins to speak TLS
            self.send(b"plain HTTP only", 400)
            self.transport.close()
            return
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].decode()
            length = next(
                (int(line[15:]) for line in head.split("\r\n") if line.lower().startswith("content-length")), 0
            )
            if len(self.buffer) < end + 4 + length:
                return
            body = self.buffer[end + 4 : end + 4 + length]
            self.buffer = self.buffer[end + 4 + length :]
            self.answer(head, body)

    def answer(self, head: str, body: bytes) -> None:
        self.server.heads.append(head)
        method, path, _ = head.split(" ", 2)
        if method == "POST":
            asked = json.loads(body)
            self.server.asked.append(asked)
            chat = path.endswith("/chat/completions")
            Exchange(self.server, self, asked, chat).start(self.server.way_for(asked))
        elif path.endswith("/models"):
            if self.server.models is None:
                self.send(b"not found", 404)
            else:
                self.send(
                    json.dumps({"object": "list", "data": [{"id": name} for name in self.server.models]}).encode()
                )
        elif path.endswith("/metrics"):
            self.send(METRICS.encode() if self.server.metrics else b"no", 200 if self.server.metrics else 404)
        else:
            self.send(json.dumps(self.server.stamps).encode())

    def send(self, body: bytes, status: int = 200) -> None:
        self.transport.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))


class MockServer:
    """What the server does, and what it saw.

    Attributes:
        way: What it does whatever model is asked for, or in turn, the last for ever; None: what the model's name says.
        pace_s: Time from one token to the next.
        delay_s: Time to the first.
    """

    def __init__(
        self, *way: str, pace_s: float = 0.0, delay_s: float = 0.0, metrics: bool = False,
        models: tuple[str, ...] | None = ("good",), secure: ssl.SSLContext | None = None,
    ) -> None:  # fmt: skip
        self.secure = secure
        self.ways, self.pace_s, self.delay_s, self.metrics, self.models = list(way), pace_s, delay_s, metrics, models
        self.stamps: list[list[int]] = []
        self.heads: list[str] = []
        self.asked: list[dict[str, Any]] = []
        self.prompts: set[str] = set()
        self.connections = 0
        self.port = 0

    async def start(self) -> asyncio.Server:
        server = await asyncio.get_running_loop().create_server(lambda: Peer(self), "127.0.0.1", 0, ssl=self.secure)
        self.port = server.sockets[0].getsockname()[1]
        return server

    def way_for(self, asked: dict[str, Any]) -> str:
        if not self.ways:
            return str(asked.get("model"))
        return self.ways.pop(0) if len(self.ways) > 1 else self.ways[0]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


@contextmanager
def serving(server: MockServer) -> Iterator[MockServer]:
    """The server in a thread of its own."""
    loop = asyncio.new_event_loop()
    listening = loop.run_until_complete(server.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        listening.close()
        for transport in list(getattr(loop, "_transports", {}).values()):
            transport.abort()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


async def program(pace_s: float) -> None:
    server = MockServer("good", pace_s=pace_s)
    await server.start()
    print(server.port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--pace", type=float, default=0.0)
    asyncio.run(program(parser.parse_args().pace))
