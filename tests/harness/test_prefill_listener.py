"""The way to another machine, on this one: who is let in, what is said of who is not, and how the clocks stand."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from importlib.metadata import version
from multiprocessing.connection import Client
from typing import Any

import pytest

from oildrop.harness import prefill_listener
from oildrop.harness.prefill_elsewhere import ADDRESS, KEY, key_of, parse_place, reach, read_clock
from oildrop.harness.prefill_listener import listen, refusal
from oildrop.rules.errors import Unsupported, UsageError
from oildrop.workloads.link import PROTOCOL, Link, Message

SECRET = "a secret of two machines"
HELLO = {"protocol": PROTOCOL, "oildrop": version("oildrop"), "backend": "torch-cpu"}


class Listening:
    """A listener in a thread, for so many connections."""

    def __init__(self, connections: int) -> None:
        self.told: list[str] = []
        self._left = connections
        self._ready = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        assert self._ready.wait(10)
        self.address = self.told[0].split()[2]

    def _run(self) -> None:
        listen(("127.0.0.1", 0), SECRET.encode(), "torch-cpu", self._tell, until=self._until)

    def _tell(self, line: str) -> None:
        self.told.append(line)
        self._ready.set()

    def _until(self) -> bool:
        self._left -= 1
        return self._left == 0

    def environment(self, key: str = SECRET) -> dict[str, str]:
        return {ADDRESS: self.address, KEY: key}


@pytest.fixture
def listening() -> Iterator[Listening]:
    found = Listening(1)
    yield found
    found.thread.join(20)
    assert not found.thread.is_alive()


def test_another_secret_is_refused_and_named_by_neither_end(listening: Listening) -> None:
    with pytest.raises(Unsupported, match=f"has another secret; set the same {KEY} on both") as caught:
        reach("torch-cpu", listening.environment("another of enough characters"))
    listening.thread.join(20)
    assert listening.told[1:] == ["refused: another secret"]
    assert SECRET not in str(caught.value) and listening.address not in str(caught.value)


def test_another_backend_is_refused_with_the_setting_that_mends_it(listening: Listening) -> None:
    with pytest.raises(Unsupported, match=r"backend is torch-cpu .* set execution\.prefill_backend=torch-cpu"):
        reach("jax-cpu", listening.environment())


def test_another_version_is_refused(listening: Listening) -> None:
    place = parse_place(ADDRESS, listening.address)
    link = Link(Client(place, authkey=SECRET.encode()))
    link.send("hello", {**HELLO, "oildrop": "0.0.1"})
    answer = link.receive()
    assert answer.kind == "unsupported" and "install the same Oildrop on both" in answer.values["reason"]


@pytest.mark.parametrize(
    ("hello", "said"),
    [
        (Message(kind="hello", values=HELLO), None),
        (Message(kind="hello", values={**HELLO, "protocol": 0}), "protocol is 1"),
        (Message(kind="hello"), "protocol is 1 .* and None in the run"),
        (Message(kind="prefill"), "does not say what it is"),
    ],
)
def test_who_is_let_in(hello: Message, said: str | None) -> None:
    import re

    why = refusal(hello, "torch-cpu")
    assert why is None if said is None else re.search(said, str(why))


def test_who_knocks_and_says_nothing_is_let_go(listening: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefill_listener, "HELLO_WAIT_S", 0.1)
    with Client(parse_place(ADDRESS, listening.address), authkey=SECRET.encode()):
        listening.thread.join(20)
    assert listening.told[1:] == ["refused: said nothing"]


def test_where_nobody_listens_the_command_that_mends_it_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Unsupported, match=r"nobody answers .* start `oildrop prefill serve` there") as caught:
        reach("torch-cpu", {ADDRESS: f"127.0.0.1:{port}", KEY: SECRET})
    assert str(port) not in str(caught.value)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({KEY: SECRET}, f"{ADDRESS} is not set"),
        ({ADDRESS: "here", KEY: SECRET}, f"{ADDRESS} is no HOST:PORT"),
        ({ADDRESS: "here:99999", KEY: SECRET}, "a port from 0 to 65535"),
        ({ADDRESS: "here:1"}, f"{KEY} holds 0 characters, at least 16"),
        ({ADDRESS: "here:1", KEY: "short"}, f"{KEY} holds 5 characters"),
    ],
)
def test_what_the_environment_lacks_is_named(environment: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        reach("torch-cpu", environment)


def test_an_address_of_the_newer_kind_is_taken_apart() -> None:
    assert parse_place("--listen", "[::1]:7070") == ("::1", 7070)
    assert key_of({KEY: f" {SECRET}\n"}) == SECRET.encode()


class Clocks:
    """This clock moves by 1,000 ns on each way and by 3,000 on every fifth; the other is 5,000,000 ns ahead."""

    def __init__(self) -> None:
        self.at, self.ways = 0, 0

    def now(self) -> int:
        return self.at

    def ask(self) -> int:
        self._go()
        theirs = self.at + 5_000_000
        self._go()
        return theirs

    def _go(self) -> None:
        self.ways += 1
        self.at += 3000 if self.ways % 5 == 0 else 1000


def test_the_shortest_exchange_bounds_the_clocks() -> None:
    clocks: Any = Clocks()
    found = read_clock(clocks.ask, clocks.now)
    assert (found.ahead_ns, found.bound_ns) == (5_000_000, 1000)


def test_an_answer_that_is_slow_on_one_way_alone_stays_within_the_bound() -> None:
    at = iter(range(0, 10**9, 9000))
    sent: list[int] = []

    def now() -> int:
        sent.append(next(at))
        return sent[-1]

    # Read at once when it was asked, the answer took all of the 9,000 ns.
    found = read_clock(lambda: sent[-1] + 100, now)
    assert abs(found.ahead_ns - 100) <= found.bound_ns == 4500
