"""One transfer against a server on this machine that misbehaves in each way we know."""

from __future__ import annotations

import random
import socket
from pathlib import Path
from typing import Any

import pytest

from oildrop.workloads.corpus.download import Patience, Unavailable, WrongBytes, download

BODY = random.Random(1).randbytes(50_000)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "file.part"


@pytest.fixture
def url(served: Any) -> str:
    served.files["file"] = BODY
    return served.url("file")


def test_a_file_arrives_in_one_request(served: Any, url: str, part: Path, patience: Patience) -> None:
    download(url, part, 50_000, patience)
    assert part.read_bytes() == BODY
    assert served.asked == [("/file", None)]


def test_after_a_dropped_connection_only_the_rest_is_asked_for(
    served: Any, url: str, part: Path, patience: Patience, waits: list[float]
) -> None:
    served.drops_after = [20_000, 10_000]
    download(url, part, 50_000, patience)
    assert part.read_bytes() == BODY
    assert served.asked == [("/file", None), ("/file", "bytes=20000-"), ("/file", "bytes=30000-")]
    assert waits == [0.5, 0.5]


def test_a_server_without_ranges_starts_over(served: Any, url: str, part: Path, patience: Patience) -> None:
    served.ranges, served.drops_after = False, [20_000]
    download(url, part, 50_000, patience)
    assert part.read_bytes() == BODY
    assert served.asked[1] == ("/file", "bytes=20000-")


def test_a_server_that_never_gets_further_is_given_up_with_doubling_waits(
    served: Any, url: str, part: Path, patience: Patience, waits: list[float]
) -> None:
    served.ranges, served.drops_after = False, [20_000] * 99
    with pytest.raises(Unavailable, match="closed early, 20,000 of 50,000 bytes after 4 tries in vain"):
        download(url, part, 50_000, patience)
    assert waits == [0.5, 0.5, 1.0, 2.0]
    assert part.read_bytes() == BODY[:20_000]


def test_a_missing_file_is_asked_for_once(served: Any, part: Path, patience: Patience, waits: list[float]) -> None:
    with pytest.raises(Unavailable, match="HTTP 404"):
        download(served.url("nothing"), part, 50_000, patience)
    assert len(served.asked) == 1 and waits == []


def test_a_busy_server_is_asked_again(served: Any, url: str, part: Path, patience: Patience) -> None:
    served.statuses = [503, 429, 500]
    download(url, part, 50_000, patience)
    assert part.read_bytes() == BODY and len(served.asked) == 4


def test_a_silent_server_runs_into_the_time_limit(served: Any, url: str, part: Path) -> None:
    served.pause_s = 0.4
    with pytest.raises(Unavailable, match="timed out, 0 of 50,000 bytes after 1 tries"):
        download(url, part, 50_000, Patience(attempts=1, timeout_s=0.1, sleep=lambda _: None))


def test_a_slow_server_is_waited_for(served: Any, url: str, part: Path, patience: Patience) -> None:
    served.pause_s = 0.02
    download(url, part, 50_000, patience)
    assert part.read_bytes() == BODY and len(served.asked) == 1


@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_of_another_length_is_refused_before_it_is_transferred(
    served: Any, url: str, part: Path, patience: Patience, change: int
) -> None:
    with pytest.raises(WrongBytes, match=f"50,000 bytes offered, {50_000 + change:,} expected"):
        download(url, part, 50_000 + change, patience)
    assert not part.exists()


def test_a_file_of_unstated_length_is_cut_off_when_it_is_too_long(
    served: Any, url: str, part: Path, patience: Patience
) -> None:
    served.states_length = False
    with pytest.raises(WrongBytes, match="more than the 30,000 bytes"):
        download(url, part, 30_000, patience)
    assert not part.exists()


def test_a_range_that_begins_elsewhere_is_not_appended(served: Any, url: str, part: Path, patience: Patience) -> None:
    served.drops_after, served.sends_from = [20_000], 0
    with pytest.raises(Unavailable, match="a range from byte 20000 was asked for and another sent"):
        download(url, part, 50_000, patience)
    assert part.read_bytes() == BODY[:20_000]


def test_a_part_that_the_server_cannot_go_on_with_is_started_over(
    served: Any, url: str, part: Path, patience: Patience
) -> None:
    part.write_bytes(BODY[:40_000])
    served.statuses = [416]
    download(url, part, 50_000, patience)
    assert part.read_bytes() == BODY
    assert served.asked == [("/file", "bytes=40000-"), ("/file", None)]


def test_a_whole_part_needs_no_server_and_too_long_a_part_starts_over(
    served: Any, url: str, part: Path, patience: Patience
) -> None:
    part.write_bytes(BODY)
    download("http://127.0.0.1:1/nothing", part, 50_000, patience)
    part.write_bytes(BODY + b"!")
    download(url, part, 50_000, patience)
    assert part.read_bytes() == BODY and served.asked == [("/file", None)]


def test_where_nobody_listens_nothing_is_waited_for(part: Path, patience: Patience, waits: list[float]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(Unavailable, match="refused"):
        download(f"http://127.0.0.1:{port}/file", part, 10, patience)
    assert waits == []
