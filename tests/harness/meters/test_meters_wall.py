"""The outside meter: its file, its lines, and what it says when they go wrong."""

import os
import socket
import time
from pathlib import Path

import pytest

from oildrop.harness.meters.interface import MeterError
from oildrop.harness.meters.lines import Lines
from oildrop.harness.meters.wall import BadLine, WallMeter, WallReading, open_wall, parse_csv, parse_json
from oildrop.harness.meters.wall_file import WallMeterFile, read_wall_meter

FILE = """
schema = "oildrop.meter/1"
name = "rack-3"
address = "tcp://127.0.0.1:{port}"
model = "Imaginary WT-1"
certificate = "calibration 2026-117 of 2026-05-04"
uncertainty = 0.005
power_limit_w = 2000
"""


def replayed(*texts: str, file: WallMeterFile | None = None) -> WallMeter:
    """A meter that sends one text a sample."""
    rest: list[bytes | None] = []
    for text in texts:
        rest += [text.encode(), None]

    def read(count: int) -> bytes:
        piece = rest.pop(0) if rest else b""
        if piece is None:
            raise BlockingIOError
        return piece

    return WallMeter(file or WallMeterFile(name="m", address="tcp://h:1"), Lines(read, lambda: None, "the meter"))


def values(meter: WallMeter) -> dict[str, float]:
    readings = meter.sample()
    assert {(r.device, r.scope) for r in readings} <= {("m", "wall")}
    return {reading.quantity: reading.value for reading in readings}


def test_lines_of_both_formats() -> None:
    assert parse_json('{"time_s": 12.5, "power_w": 403.1, "energy_j": 5021}') == WallReading(12.5, 403.1, 5021.0)
    assert parse_json('{"power_w": 403.1, "time_s": null}') == WallReading(None, 403.1, None)
    assert parse_csv("12.5, 403.1, 5021") == WallReading(12.5, 403.1, 5021.0)
    assert parse_csv(",403.1") == WallReading(None, 403.1, None)
    assert parse_csv("1,2,") == WallReading(1.0, 2.0, None)


@pytest.mark.parametrize("line", ["", "x", "[1]", '{"watts": 3}', '{"power_w": "much"}', '{"power_w": NaN}'])
def test_a_bad_line_of_json(line: str) -> None:
    with pytest.raises(BadLine):
        parse_json(line)


@pytest.mark.parametrize("line", ["", "1", "1,2,3,4", "1,", "1,much", "1,inf"])
def test_a_bad_line_of_csv(line: str) -> None:
    with pytest.raises(BadLine):
        parse_csv(line)


def test_power_is_the_mean_since_the_last_sample_and_energy_counts_from_the_first() -> None:
    meter = replayed(
        '{"power_w": 100, "energy_j": 7000}\n',
        '{"power_w": 200, "energy_j": 7020}\n{"power_w": 300, "energy_j": 7050}\n{"pow',
        'er_w": 400}\n',
    )
    assert values(meter) == {"power_w": 100.0, "energy_j": 0.0}
    assert values(meter) == {"power_w": 250.0, "energy_j": 50.0}
    assert values(meter) == {"power_w": 400.0}
    with pytest.raises(MeterError, match="the meter has ended"):
        meter.sample()


def test_comments_repeats_and_a_half_first_line_are_left_out() -> None:
    file = WallMeterFile(name="m", address="tcp://h:1", format="csv")
    meter = replayed("03.1,99\n# started\n", "1,100\n1,100\n", "1,100\n", file=file)
    assert values(meter) == {"power_w": 99.0}
    assert values(meter) == {"power_w": 100.0}
    assert values(meter) == {}


def test_a_meter_that_speaks_another_language_ends_with_an_example() -> None:
    meter = replayed("P=403\n" * 4, "P=404\n")
    assert values(meter) == {}
    with pytest.raises(MeterError, match="5 lines in a row are no readings, the last because 'P=404' is not JSON"):
        meter.sample()


def test_by_network_with_its_certificate(tmp_path: Path) -> None:
    path = tmp_path / "rack.toml"
    with socket.create_server(("127.0.0.1", 0)) as server:
        path.write_text(FILE.format(port=server.getsockname()[1]))
        (meter,) = open_wall({"OILDROP_METER": str(path)})
        peer, _ = server.accept()
        peer.sendall(b'{"power_w": 403.5}\n')
        end_s = time.monotonic() + 10
        while not (readings := meter.sample()) and time.monotonic() < end_s:
            time.sleep(0.005)
        peer.close()
    assert [tuple(reading) for reading in readings] == [("power_w", "rack-3", "wall", 403.5)]
    info = meter.info()
    assert (info.status, info.scope, info.uncertainty, info.power_limit_w) == ("measured", "wall", 0.005, 2000)
    assert info.certificate == "calibration 2026-117 of 2026-05-04" and "127.0.0.1" not in repr(info)
    meter.close()


def test_two_meters_and_one_that_does_not_answer(tmp_path: Path) -> None:
    paths = [tmp_path / "a.toml", tmp_path / "b.toml"]
    for path in paths:
        path.write_text(FILE.format(port=1))

    def connect(address: str, source: str, baud: int) -> Lines:
        if connect.calls:  # type: ignore[attr-defined]
            raise MeterError(f"{source} does not answer")
        connect.calls += 1  # type: ignore[attr-defined]
        return Lines(lambda count: b"", lambda: None, source)

    connect.calls = 0  # type: ignore[attr-defined]
    meters = open_wall({"OILDROP_METER": os.pathsep.join(map(str, paths))}, connect)
    assert [meter.info().status for meter in meters] == ["measured", "not_measured"]
    assert meters[1].info().reason == "the outside meter rack-3 does not answer"
    assert open_wall({}) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = 'm'", 'must begin with schema = "oildrop.meter/1"'),
        ("schema = 'oildrop.meter/1'\nname = 'm'", "lacks 'address'"),
        ("schema = 'oildrop.meter/1'\nname = 3\naddress = 'x'", "name is 3, it must be a text"),
        ("schema = 'oildrop.meter/1'\nname = 'm'\naddress = 'x'\nbaud = 'fast'", "it must be a number over 0"),
        ("schema = 'oildrop.meter/1'\nname = 'm'\naddress = 'x'\nuncertainty = 1", "a share under 1"),
        ("schema = 'oildrop.meter/1'\nname = 'm'\naddress = 'x'\nuncertainty = 0", "a number over 0"),
        ("schema = 'oildrop.meter/1'\nname = 'm'\naddress = 'x'\nformat = 'xml'", "it may be json or csv"),
        ("schema = 'oildrop.meter/1'\nwatts = 3", "holds 'watts'; it may hold name, address"),
        ("name = ", "is not TOML"),
    ],
)
def test_a_file_that_says_something_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "m.toml"
    path.write_text(text)
    with pytest.raises(MeterError) as caught:
        read_wall_meter(path)
    assert message in str(caught.value) and str(tmp_path) not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    (meter,) = open_wall({"OILDROP_METER": str(tmp_path / "none.toml")})
    assert "none.toml cannot be read (No such file or directory)" in (meter.info().reason or "")
