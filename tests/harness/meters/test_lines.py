"""Lines from programs, serial lines and network addresses, with everything cut where it hurts."""

import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from oildrop.harness.meters import lines as lines_module
from oildrop.harness.meters.interface import MeterError
from oildrop.harness.meters.lines import Changes, Lines, of_address, of_program


def soon(take: Callable[[], list[str]], count: int) -> list[str]:
    found: list[str] = []
    end_s = time.monotonic() + 10
    while len(found) < count and time.monotonic() < end_s:
        found += take()
        time.sleep(0.005)
    return found


def replayed(*parts: bytes | BaseException) -> Lines:
    rest = list(parts)

    def read(count: int) -> bytes:
        if not rest:
            raise BlockingIOError
        part = rest.pop(0)
        if isinstance(part, BaseException):
            raise part
        return part

    return Lines(read, lambda: None, "the instrument")


def test_a_line_cut_between_two_reads_is_whole() -> None:
    lines = replayed(b"one\ntw", BlockingIOError(), b"o\r\nthr")
    assert lines.take() == ["one"]
    assert lines.take() == ["two"]
    assert lines.take() == []


def test_an_ended_source_gives_its_last_lines_first() -> None:
    lines = replayed(b"last\n", b"", b"")
    assert lines.take() == ["last"]
    with pytest.raises(MeterError, match="the instrument has ended"):
        lines.take()


def test_an_unplugged_source_says_so() -> None:
    with pytest.raises(MeterError, match="the instrument cannot be read any more \\(Input/output error\\)"):
        replayed(OSError(5, "Input/output error")).take()


def test_a_source_without_line_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "LONGEST_LINE_BYTES", 10)
    with pytest.raises(MeterError, match="11 bytes without an end of line"):
        replayed(b"x" * 11).take()


def test_a_program_is_read_and_ended() -> None:
    code = "import sys,time\nprint('a', flush=True)\nprint('b', flush=True)\ntime.sleep(60)"
    lines = of_program([sys.executable, "-c", code], "the program")
    assert soon(lines.take, 2) == ["a", "b"]
    lines.close()
    lines.close()


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(MeterError, match="the program cannot be started"):
        of_program(["/nowhere/macmon"], "the program")


def test_a_serial_line(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    lines = of_address(os.ttyname(theirs), "the meter", baud=115200)
    assert lines.take() == []
    os.write(ours, b"12.5\n13")
    assert soon(lines.take, 1) == ["12.5"]
    lines.close()
    os.close(ours)
    os.close(theirs)


def test_a_serial_line_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(MeterError, match="cannot be opened"):
        of_address(str(tmp_path / "ttyUSB9"), "the meter")
    (tmp_path / "file").touch()
    with pytest.raises(MeterError, match="is not a serial line"):
        of_address(str(tmp_path / "file"), "the meter")
    with pytest.raises(MeterError, match="no speed of 12345 baud"):
        of_address(str(tmp_path / "file"), "the meter", baud=12345)


def test_a_network_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        lines = of_address(f"tcp://127.0.0.1:{server.getsockname()[1]}", "the meter")
        peer, _ = server.accept()
        peer.sendall(b"1\n2\n")
        assert soon(lines.take, 2) == ["1", "2"]
        peer.close()
        with pytest.raises(MeterError, match="the meter has ended"):
            soon(lines.take, 1)
        lines.close()


def test_an_address_that_does_not_answer_or_is_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(MeterError, match="does not answer"):
        of_address(f"tcp://127.0.0.1:{port}", "the meter")
    for address in ("tcp://127.0.0.1", "tcp://:5", "tcp://127.0.0.1:many"):
        with pytest.raises(MeterError, match=r"tcp://host:port|does not answer"):
            of_address(address, "the meter")


def test_the_period_is_that_of_changes_not_of_lines() -> None:
    now = iter([0.0, 2.0, 4.2, 6.0])
    changes = Changes(clock=lambda: next(now))
    for value in (1.0, 1.0, 2.0):
        changes.note(value)
    assert changes.period_s is None
    for value in (2.0, 3.0, 3.0, 1.0):
        changes.note(value)
    assert changes.period_s == pytest.approx(2.0)
