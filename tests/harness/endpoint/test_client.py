"""The client against a server that does every bad thing: each request has a word for how it ended."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest
from mock_server import MockServer, serving

from oildrop.harness.endpoint.address import parse_address
from oildrop.harness.endpoint.answer import SPARE_PIECES, Answer
from oildrop.harness.endpoint.client import Client, Connection, Inbox
from oildrop.harness.endpoint.openai import PATHS, Api, Extras, request_body
from oildrop.harness.endpoint.outcomes import TIMEOUT


def asked(
    url: str, ways: list[str], *, api: Api = "completions", tokens: int = 8, limit_s: float = 5.0
) -> list[Answer]:
    """One request for each way, one after the other on one client."""

    async def all_of_them() -> list[Answer]:
        client = Client(address=parse_address(url), limit_s=limit_s)
        answers = []
        for way in ways:
            answer = Answer(asked_tokens=tokens)
            await client.ask("POST", PATHS[api], answer, request_body(api, way, "any words", tokens, Extras()))
            answers.append(answer)
        client.close()
        return answers

    return asyncio.run(all_of_them())


@pytest.mark.parametrize("api", ["completions", "chat"])
@pytest.mark.parametrize(
    ("way", "outcome", "pieces"),
    [
        ("good", "ok", 8), ("doubles", "ok", 4), ("bulk", "ok", 8), ("late-text", "ok", 8), ("comments", "ok", 8),
        ("no-done", "ok", 1), ("no-usage", "ok", 8), ("continuous-usage", "ok", 8), ("short", "ok", 4),
        ("stops", "ok", 4), ("long", "ok", 11), ("empty", "empty", 0), ("cut", "cut", 3), ("fades", "cut", 3),
        ("error-event", "server_error", 1), ("aborts", "server_error", 4), ("not-json", "malformed", 0),
        ("html", "malformed", 0),
        ("plain-json", "malformed", 0), ("no-stream", "malformed", 0),
        ("401", "http_401", 0), ("429", "http_429", 0), ("500", "http_500", 0),
        ("forever", "too_long", 8 + SPARE_PIECES + 1), ("noise", "malformed", 0), ("bad-chunk", "malformed", 0),
        ("too-many-requests", "server_error", 1),
    ],
)  # fmt: skip
def test_every_way_to_answer_has_a_word(api: Api, way: str, outcome: str, pieces: int) -> None:
    with serving(MockServer()) as server:
        before, answer, after = asked(server.url, ["good", way, "good"], api=api)
    assert (answer.outcome, len(answer.stamps_ns)) == (outcome, pieces)
    assert (before.outcome, after.outcome) == ("ok", "ok")  # a bad answer spoils none of its neighbours
    assert len(server.asked) == 3  # and nothing is sent twice


def test_a_server_may_close_after_each_answer() -> None:
    with serving(MockServer()) as server:
        (answer,) = asked(server.url, ["closes"])
    assert (answer.outcome, len(answer.stamps_ns)) == ("ok", 8)


def test_usage_finish_reason_and_words_of_an_error_are_read() -> None:
    with serving(MockServer()) as server:
        good, stops, refused, broken = asked(server.url, ["good", "stops", "429", "error-event"])
    assert good.usage is not None
    assert (good.usage.prompt_tokens, good.usage.completion_tokens, good.finish_reason) == (2, 8, "length")
    assert stops.ended_by_model and not good.ended_by_model
    assert refused.words == "no, because 429"
    assert broken.words == "out of memory"


@pytest.mark.parametrize("way", ["silent", "chatters"])
def test_a_server_that_never_answers_is_left_after_the_limit(way: str) -> None:
    with serving(MockServer(way)) as server:
        (answer,) = asked(server.url, [way], limit_s=0.2)
    assert (answer.outcome, answer.stamps_ns) == ("timeout", [])


def test_wall_clocks_play_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the server's nor this machine's: here it jumps back by an hour at each look."""
    jumps = iter(range(10**9, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(jumps)))
    with serving(MockServer(pace_s=0.005)) as server:
        (answer,) = asked(server.url, ["good"])
    assert answer.outcome == "ok"
    assert answer.stamps_ns == sorted(answer.stamps_ns) and answer.issued_ns < answer.stamps_ns[0]


def test_time_to_connect_is_taken_off_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = Client._connect

    async def slowly(client: Client) -> Connection:
        await asyncio.sleep(0.5)
        return await connect(client)

    monkeypatch.setattr(Client, "_connect", slowly)
    with serving(MockServer()) as server:
        begun_s = time.monotonic()
        [answer] = asked(server.url, ["silent"], limit_s=0.7)
    assert answer.outcome == "timeout"
    assert time.monotonic() - begun_s < 1.1


WHOLE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 49\r\n\r\n"
    b'data: {"choices":[{"text":" a"}]}\n\ndata: [DONE]'
)


class Silent(asyncio.Transport):
    """Takes everything and says nothing."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def abort(self) -> None:
        pass


def open_requests(count: int) -> tuple[list[Connection], list[Answer]]:
    """Connections of one client, each with a request on its way."""
    inbox, connections, answers = Inbox(), [], [Answer(asked_tokens=1) for _ in range(count)]
    for answer in answers:
        connections.append(Connection(inbox))
        connections[-1].connection_made(Silent())
        connections[-1].send(b"GET", answer)
    return connections, answers


def test_what_comes_together_is_stamped_before_any_of_it_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(100, 200))
    monkeypatch.setattr(time, "monotonic_ns", lambda: next(ticks))

    async def all_at_once() -> list[Answer]:
        connections, answers = open_requests(3)
        for connection in connections:
            connection.data_received(WHOLE + b"\n\n")
        assert [answer.outcome for answer in answers] == [None] * 3
        while any(answer.outcome is None for answer in answers):
            await asyncio.sleep(0)
        return answers

    assert [answer.stamps_ns for answer in asyncio.run(all_at_once())] == [[100], [101], [102]]


@pytest.mark.parametrize("end", ["limit", "cut"])
def test_what_came_before_the_limit_or_the_end_of_the_connection_counts(end: str) -> None:
    async def ended() -> Answer:
        (connection,), (answer,) = open_requests(1)
        connection.data_received(WHOLE + b"\n\n")
        if end == "limit":
            connection.give_up(TIMEOUT)
        else:
            connection.connection_lost(None)
        return answer

    assert asyncio.run(ended()).outcome == "ok"


def test_nobody_listens() -> None:
    with socket.socket() as held:  # bound and not listening: nobody else can take the port meanwhile
        held.bind(("127.0.0.1", 0))
        (answer,) = asked(f"http://127.0.0.1:{held.getsockname()[1]}", ["good"])
        (by_name,) = asked(f"http://localhost:{held.getsockname()[1]}", ["good"])
    assert (answer.outcome, by_name.outcome) == ("refused", "refused")


def test_a_name_without_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", fails)
    (answer,) = asked("http://no-such-host.example", ["good"])
    assert answer.outcome == "dns"


def test_a_server_without_encryption_is_no_https_server() -> None:
    with serving(MockServer()) as server:
        (answer,) = asked(server.url.replace("http://", "https://"), ["good"])
    assert answer.outcome == "tls"
    assert issubclass(ssl.SSLCertVerificationError, ssl.SSLError)  # as is a certificate that nobody signed


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_an_encrypted_server_is_asked_where_its_certificate_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(certificate, key)
    with serving(MockServer(secure=secure)) as server:
        url = f"https://localhost:{server.port}/v1"
        (untrusted,) = asked(url, ["good"])
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        first, second = asked(url, ["good", "good"])
    assert untrusted.outcome == "tls"
    assert (first.outcome, second.outcome, len(second.stamps_ns)) == ("ok", "ok", 8)


def test_one_connection_serves_one_request_after_another() -> None:
    with serving(MockServer()) as server:
        asked(server.url, ["good"] * 5)
    assert server.connections == 1


def test_the_environment_names_no_proxy_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with serving(MockServer()) as server:
        (answer,) = asked(server.url, ["good"])
    assert answer.outcome == "ok"
    assert server.heads[0].startswith("POST /v1/completions HTTP/1.1")


def test_a_key_is_sent_and_shown_nowhere() -> None:
    async def ask(url: str) -> Client:
        client = Client(address=parse_address(url), limit_s=5.0, headers={"Authorization": "Bearer k-123456"})
        await client.ask(
            "POST", "/completions", Answer(asked_tokens=1), request_body("completions", "good", "a", 1, Extras())
        )
        client.close()
        return client

    with serving(MockServer()) as server:
        client = asyncio.run(ask(server.url))
    assert "Authorization: Bearer k-123456" in server.heads[0]
    assert "k-123456" not in repr(client)


def test_stamps_follow_the_servers_own() -> None:
    with serving(MockServer(pace_s=0.01)) as server:
        (answer,) = asked(server.url, ["good"])
    (sent,) = server.stamps
    assert len(sent) == len(answer.stamps_ns) == 8
    assert all(came > went for came, went in zip(answer.stamps_ns, sent, strict=True))
    assert answer.issued_ns < sent[0]
    # Seven gaps of 10 ms at least: a client that stamps whole answers at once would have none.
    assert answer.stamps_ns[-1] - answer.stamps_ns[0] > 60e6
