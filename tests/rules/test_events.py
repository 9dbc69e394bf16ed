"""The event codec: what is written can be read, and every kind of damage is named."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oildrop.rules.events import GENESIS, Event, encode_event, line_sha256, read_log

VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), st.text()
)


def make_log(count: int) -> list[bytes]:
    lines, head = [], GENESIS
    for seq in range(count):
        line = encode_event(Event(seq=seq, t_ns=seq * 10, utc="u", proc="p", key="k", value=seq, prev=head))
        lines.append(line)
        head = line_sha256(line)
    return lines


def joined(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


@given(value=VALUES, meta=st.dictionaries(st.text(), VALUES, max_size=4))
def test_an_event_is_read_as_it_was_written(value: object, meta: dict[str, object]) -> None:
    event = Event(seq=0, t_ns=5, utc="u", proc="p", key="k", value=value, meta=meta)
    line = encode_event(event)
    assert b"\n" not in line
    assert read_log(line + b"\n").events == (event,)


def test_prev_is_the_sha256_of_the_line_before() -> None:
    first, second = make_log(2)
    assert json.loads(second)["prev"] == hashlib.sha256(first).hexdigest()


@given(cut=st.integers(0, 2000))
def test_a_log_cut_anywhere_is_valid_up_to_its_last_whole_line(cut: int) -> None:
    whole = joined(make_log(8))
    data = whole[: min(cut, len(whole))]
    reading = read_log(data)
    assert reading.problems == ()
    assert len(reading.events) == data.count(b"\n")
    assert reading.clipped_bytes == len(data) - (data.rfind(b"\n") + 1)


@pytest.mark.parametrize("index", range(4))
def test_a_dropped_line_is_found(index: int) -> None:
    lines = make_log(5)
    del lines[index]
    problems = read_log(joined(lines)).problems
    assert problems and f"line {index + 1} " in problems[0]


def test_swapped_lines_are_found() -> None:
    lines = make_log(5)
    lines[2], lines[3] = lines[3], lines[2]
    assert any("line 3 " in problem for problem in read_log(joined(lines)).problems)


@given(st.data())
def test_one_changed_byte_is_found(data: st.DataObject) -> None:
    log = bytearray(joined(make_log(4)))
    last_line = log.rindex(b"\n", 0, len(log) - 1)
    place = data.draw(st.integers(0, last_line))  # The last line's hash is in the seal.
    log[place] ^= data.draw(st.integers(1, 255))
    assert read_log(bytes(log)).problems


def test_nan_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode_event(Event(seq=0, t_ns=0, utc="u", proc="p", key="k", value=float("nan")))
