"""Messages between two processes: what is sent arrives, and what is no message is refused before it does harm."""

from __future__ import annotations

import json
import mmap
import pickle
import socket
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import pytest

from oildrop.rules.errors import OildropError
from oildrop.workloads.link import Link, LinkLost, Mailbox


def ends(area: mmap.mmap | None = None, parts: int = 1) -> tuple[Link, Connection]:
    here, there = socket.socketpair()
    return Link(Connection(here.detach()), area, parts), Connection(there.detach())


ARRAYS = (
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.zeros((2, 0, 5), dtype=np.uint16),
    np.arange(24, dtype=np.int32).reshape(2, 3, 4).transpose(2, 0, 1),
)


@pytest.mark.parametrize("shared", [False, True])
def test_a_message_arrives_as_it_was_sent(shared: bool) -> None:
    area = mmap.mmap(-1, 4096) if shared else None
    here, there = ends(area, 2)
    other = Link(there, area, 2)
    for number in range(3):
        here.send("done", {"number": number, "reason": "ü"}, ARRAYS[:1], [array + number for array in ARRAYS])
        come = other.receive()
        assert (come.kind, come.values) == ("done", {"number": number, "reason": "ü"})
        assert np.array_equal(come.arrays[0], ARRAYS[0])
        for found, sent in zip(come.beside, ARRAYS, strict=True):
            assert found.dtype == sent.dtype and np.array_equal(found, sent + number)


def test_two_parts_of_the_pages_hold_two_messages_at_once() -> None:
    area = mmap.mmap(-1, 4096)
    here, there = ends(area, 2)
    other = Link(there, area, 2)
    here.send("done", {}, (), [np.full(5, 1, dtype=np.int32)])
    here.send("done", {}, (), [np.full(5, 2, dtype=np.int32)])
    first, second = other.receive(), other.receive()
    assert first.beside[0].tolist() == [1] * 5 and second.beside[0].tolist() == [2] * 5


def header(**changes: Any) -> bytes:
    whole = {"kind": "done", "values": {}, "arrays": [], "beside": [], "sent_ns": 0} | changes
    return json.dumps(whole).encode()


class Trap:
    """Unpickled, it would say that it was."""

    sprung = False

    def __reduce__(self) -> Any:
        return (setattr, (Trap, "sprung", True))


@pytest.mark.parametrize(
    "frames",
    [
        [b"GET / HTTP/1.1"],
        [b"[1, 2]"],
        [pickle.dumps(Trap())],
        [header(kind=None, arrays=7)],
        [header(arrays=[["|O", [1]]]), b"12345678"],
        [header(arrays=[["<f4", [-1]]])],
        [header(arrays=[["<f4", [2] * 9]])],
        [header(arrays=[["<f4", [2]]]), b"1234"],
        [header(beside=[["<f4", [2]]], place=0)],
        [b"{}"],
    ],
)
def test_what_is_no_message_is_refused(frames: list[bytes]) -> None:
    here, there = ends()
    for frame in frames:
        there.send_bytes(frame)
    with pytest.raises(OildropError, match="no message of Oildrop's"):
        here.receive()
    assert not Trap.sprung


def test_more_bytes_than_an_array_has_are_not_read() -> None:
    here, there = ends()
    there.send_bytes(header(arrays=[["<f4", [2]]]))
    there.send_bytes(b"1" * 100_000)
    with pytest.raises(LinkLost):
        here.receive()


def test_pages_that_are_too_small_are_refused() -> None:
    here, there = ends(mmap.mmap(-1, 4096))
    there.send_bytes(header(beside=[["<f4", [5000]]], place=0))
    with pytest.raises(OildropError, match="no message"):
        here.receive()


def test_a_mailbox_takes_messages_while_nobody_asks() -> None:
    here, there = ends()
    other = Link(there)
    mail = Mailbox(here)
    assert not mail.has_mail()
    large = np.zeros(4_000_000, dtype=np.float32)  # more than a socket holds: somebody must be reading
    other.send("done", {"number": 1}, [large])
    other.send("done", {"number": 2})
    assert [mail.take().values["number"] for _ in range(2)] == [1, 2]
    other.close()
    with pytest.raises(LinkLost):
        mail.take()
    assert mail.has_mail()
