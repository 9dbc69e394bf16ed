"""Server-sent events: the standard's own examples, and borders anywhere."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oildrop.harness.endpoint.sse import MAX_EVENT_BYTES, EventStream, MalformedStream


def fed(*parts: bytes) -> list[bytes]:
    stream = EventStream()
    return [data for part in parts for data in stream.feed(part)]


@pytest.mark.parametrize(
    ("text", "events"),
    [
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", [b"YHOO\n+2\n10"]),  # the standard's example
        (b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
         [b"first event", b"second event", b" third event"]),
        (b"data\n\ndata\ndata\n\ndata:", [b"", b"\n"]),
        (b"data:test\n\ndata: test\n\n", [b"test", b"test"]),
        (b"data: a\r\n\r\ndata: b\r\rdata: c\n\n", [b"a", b"b", b"c"]),
        (b"data: a\r\ndata: b\r\n\r\ndata: c\rdata: d\r\r\n", [b"a\nb", b"c\nd"]),
        (b"\xef\xbb\xbfdata: marked\n\n", [b"marked"]),
        (b"event: add\ndata: 1\nretry: 10\nunknown: x\n\n", [b"1"]),
        (b"data: no blank line follows\n", []),
        (b"\n\n\n", []),
    ],
)  # fmt: skip
def test_what_the_standard_says(text: bytes, events: list[bytes]) -> None:
    assert fed(text) == events
    assert fed(*(text[at : at + 1] for at in range(len(text)))) == events


@given(
    payloads=st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20)),
    ends=st.sampled_from(["\n", "\r\n", "\r"]),
    cuts=st.lists(st.integers(0, 400), max_size=12),
)
def test_borders_may_fall_anywhere(payloads: list[str], ends: str, cuts: list[int]) -> None:
    text = "".join(f": c{ends}data: {payload}{ends}{ends}" for payload in payloads).encode() + b"\n"
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    parts = [text[start:stop] for start, stop in pairwise(edges)]
    assert fed(*parts) == [payload.encode() for payload in payloads]


def test_an_event_without_end_is_refused() -> None:
    stream = EventStream()
    with pytest.raises(MalformedStream, match="longer than"):
        for _ in range(20):
            stream.feed(b"data: " + b"x" * (MAX_EVENT_BYTES // 10) + b"\n")
