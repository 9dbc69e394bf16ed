"""A recorded trace as a meter: what it plays, and that nobody can take it for a measurement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from oildrop.harness.meters.interface import MeterError
from oildrop.harness.meters.open_meters import measures_energy
from oildrop.harness.meters.replay_file import open_replays

HEAD = {"schema": "oildrop.replay/1", "device": "trace-0", "scope": "node", "update_period_s": 0.1}
POINTS = [{"t_s": 0, "power_w": 10, "energy_j": 0}, {"t_s": 2, "power_w": 30, "energy_j": 40}]


def trace(tmp_path: Path, *lines: Any) -> dict[str, str]:
    path = tmp_path / "trace.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return {"OILDROP_REPLAY": str(path)}


def test_values_lie_on_lines_between_the_points_until_the_trace_ends(tmp_path: Path) -> None:
    now = [100.0]
    (meter,) = open_replays(trace(tmp_path, HEAD, *POINTS), lambda: now[0])
    assert {r.quantity: r.value for r in meter.sample()} == {"power_w": 10, "energy_j": 0}
    now[0] = 101.5
    assert {r.quantity: r.value for r in meter.sample()} == {"power_w": 25, "energy_j": 30}
    now[0] = 102.1
    with pytest.raises(MeterError, match="the recorded trace has ended after 2 s"):
        meter.sample()


def test_it_is_modelled_and_says_that_it_is_a_replay(tmp_path: Path) -> None:
    (meter,) = open_replays(trace(tmp_path, HEAD, *POINTS))
    info = meter.info()
    assert (info.name, info.status, info.scope, info.device) == ("replay", "modelled", "node", "trace-0")
    assert "replay" in str(info.method) and measures_energy(meter)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (("not json",), "is not JSON Lines"),
        (({"schema": "other/1"},), "must begin with"),
        (({**HEAD, "scope": "rack"}, *POINTS), "it must be one of device, package"),
        ((HEAD, POINTS[0]), "has 1 points, it must have 2"),
        ((HEAD, {"t_s": 0}, {"t_s": 1}), "a point holds t_s and power_w or energy_j"),
        ((HEAD, POINTS[0], {"t_s": 1, "power_w": "x", "energy_j": 1}), "line 3"),
        ((HEAD, POINTS[1], POINTS[0]), "must begin at 0 and increase"),
    ],
)
def test_a_bad_trace_measures_nothing_and_says_why(tmp_path: Path, lines: Any, reason: str) -> None:
    (meter,) = open_replays(trace(tmp_path, *lines))
    assert meter.info().status == "not_measured" and reason in str(meter.info().reason)


def test_a_missing_file_and_no_file(tmp_path: Path) -> None:
    (meter,) = open_replays({"OILDROP_REPLAY": str(tmp_path / "none.jsonl")})
    assert "cannot be read" in str(meter.info().reason)
    assert open_replays({}) == []
