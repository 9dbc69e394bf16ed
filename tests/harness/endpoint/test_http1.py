"""HTTP/1.1 answers: whole, in pieces, and wrong; compared with the standard library's own parser."""

from __future__ import annotations

import http.client
import io
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oildrop.harness.endpoint.http1 import MAX_HEAD_BYTES, AnswerParser, MalformedAnswer, request_bytes

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\nx-a: 2\r\n\r\n"


class Fake:
    """A socket as http.client reads it."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self.data)


def by_library(data: bytes) -> tuple[int, bytes]:
    response = http.client.HTTPResponse(Fake(data))  # type: ignore[arg-type]
    response.begin()
    return response.status, response.read()


def chunks(bodies: list[bytes]) -> bytes:
    return CHUNKED + b"".join(b"%X;n=1\r\n%b\r\n" % (len(body), body) for body in bodies if body) + b"0\r\n"


@given(
    bodies=st.lists(st.binary(max_size=30), max_size=8),
    trailers=st.sampled_from([b"\r\n", b"T: 1\r\nU: 2\r\n\r\n"]),
    cuts=st.lists(st.integers(0, 500), max_size=20),
)
def test_chunks_cut_anywhere_give_the_body(bodies: list[bytes], trailers: bytes, cuts: list[int]) -> None:
    data = chunks(bodies) + trailers
    parser = AnswerParser()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    body = b"".join(parser.feed(data[start:stop]) for start, stop in pairwise(edges))
    assert parser.done and parser.head is not None
    assert (parser.head.status, body) == by_library(data) == (200, b"".join(bodies))
    assert parser.head.headers["x-a"] == "1, 2"


@given(body=st.binary(max_size=40), extra=st.binary(max_size=5), at=st.integers(0, 120))
def test_a_length_tells_where_the_answer_ends(body: bytes, extra: bytes, at: int) -> None:
    data = b"HTTP/1.1 503 Busy\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    parser = AnswerParser()
    whole = data + extra
    cut = min(at, len(data))
    got = parser.feed(whole[:cut]) + parser.feed(whole[cut:])
    assert (parser.done, got, parser.rest) == (True, body, extra)
    assert parser.head is not None and parser.head.status == by_library(data)[0] == 503


def test_an_answer_without_a_length_ends_with_the_connection() -> None:
    parser = AnswerParser()
    assert parser.feed(b"HTTP/1.0 200 OK\r\n\r\nab") + parser.feed(b"c") == b"abc"
    assert not parser.done
    parser.closed()
    assert parser.done


def test_a_connection_closed_within_chunks_is_no_end() -> None:
    parser = AnswerParser()
    parser.feed(CHUNKED + b"5\r\nab")
    parser.closed()
    assert not parser.done


def test_interim_answers_are_passed_over() -> None:
    parser = AnswerParser()
    assert parser.feed(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 None\r\n\r\n") == b""
    assert parser.done and parser.head is not None and parser.head.status == 204


@pytest.mark.parametrize(
    ("first", "header", "stays"),
    [("1.1", "", True), ("1.1", "Connection: Close\r\n", False), ("1.0", "", False),
     ("1.0", "Connection: keep-alive\r\n", True)],
)  # fmt: skip
def test_whether_the_connection_stays(first: str, header: str, stays: bool) -> None:
    parser = AnswerParser()
    parser.feed(f"HTTP/{first} 200 OK\r\n{header}Content-Length: 0\r\n\r\n".encode())
    assert parser.head is not None and parser.head.keeps_alive is stays


@pytest.mark.parametrize(
    "data",
    [b"SSH-2.0-OpenSSH\r\n", b"HTTP/2 200\r\n\r\n", b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", CHUNKED + b"zz\r\n",
     b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * MAX_HEAD_BYTES,
     CHUNKED + b"1" * (MAX_HEAD_BYTES + 1)],
)  # fmt: skip
def test_what_is_no_answer_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        AnswerParser().feed(data)


def test_a_request_as_bytes() -> None:
    assert request_bytes("POST", "/v1/completions", "h:1", {"A": "b"}, b"{}") == (
        b"POST /v1/completions HTTP/1.1\r\nHost: h:1\r\nA: b\r\n"
        b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )
