"""Several ranks heard at once."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from oildrop.harness.messages import Emitter, open_channel
from oildrop.harness.ranks.hub import Hub


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub()
    yield made
    made.close()


def heard(hub: Hub, count: int) -> list[tuple[int, str, object]]:
    found: list[tuple[int, str, object]] = []
    while len(found) < count:
        found += [(rank, message.key, message.value) for rank, message in hub.wait(1.0)]
    return found


def test_each_message_comes_with_the_rank_that_sent_it(hub: Hub) -> None:
    emitters = {rank: Emitter(open_channel(hub.address, rank)) for rank in (1, 0)}
    for rank, emitter in emitters.items():
        emitter.emit("heartbeat", 10 + rank)
        emitter.flush()
    assert sorted(heard(hub, 2)) == [(0, "heartbeat", 10), (1, "heartbeat", 11)]


def test_a_long_message_arrives_whole(hub: Hub) -> None:
    emitter = Emitter(open_channel(hub.address, 4))
    emitter.emit("runtime", "x" * 1_000_000)
    sender = threading.Thread(target=emitter.flush)
    sender.start()
    ((rank, _, value),) = heard(hub, 1)
    sender.join()
    assert (rank, value) == (4, "x" * 1_000_000)


def test_a_rank_tells_only_what_it_is_asked_to(hub: Hub) -> None:
    emitter = Emitter(open_channel(hub.address, 1), only=frozenset({"heartbeat"}))
    emitter.emit("run_start")
    emitter.emit("heartbeat", 3)
    emitter.flush()
    assert heard(hub, 1) == [(1, "heartbeat", 3)]


def test_it_is_closed_once_the_launcher_has_ended_and_all_is_read(hub: Hub) -> None:
    status: list[int | None] = [None]
    hub.started(lambda: status[0])
    descriptor = open_channel(hub.address, 0)
    hub.wait(1.0)
    assert not hub.closed
    status[0] = 0
    Emitter(descriptor).emit("lost", 1)  # never flushed
    assert not hub.closed
    os.close(descriptor)
    while not hub.closed:
        hub.wait(1.0)
    assert hub.closed


def test_who_names_no_rank_is_refused(hub: Hub) -> None:
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(hub.address)
        stranger.sendall(b'[1,"outcome","ok",{}]\n')
        hub.wait(1.0)
        with pytest.raises(ValueError, match="no rank was named"):
            hub.wait(1.0)


def test_nobody_else_can_reach_the_socket_and_nothing_of_it_is_left() -> None:
    hub = Hub()
    folder = Path(hub.address).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    hub.close()
    assert not folder.exists()
    with pytest.raises(OSError):
        open_channel(hub.address, 0)
