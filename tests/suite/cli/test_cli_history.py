"""`oildrop history`: the sessions of each configuration of a store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from oildrop.results import ingest, views
from oildrop.results.rows import RunRow
from oildrop.suite.cli.main import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def listed(row: Callable[..., RunRow], monkeypatch: pytest.MonkeyPatch) -> list[RunRow]:
    """Ten sessions of two runs, the last five of them half again as slow."""
    rows = [
        row(
            run_id=f"r-{session}-{k}", seed=2 * session + k, session_id=f"day-{session}",
            created_utc=f"2026-11-{10 + session}T09:0{k}:00Z",
            time_s=(20.0 if session < 5 else 30.0) + 0.1 * session + 0.3 * k,
        )
        for session in range(10)
        for k in range(2)
    ]  # fmt: skip
    monkeypatch.setattr(ingest, "refresh", lambda layout: [])
    monkeypatch.setattr(views, "list_runs", lambda layout, benchmark=None: rows[::-1])
    return rows


def test_a_change_is_shown_with_the_session_that_began_it(
    listed: list[RunRow], tmp_path: Path, capsys: Capture
) -> None:
    assert main(["history", "--json", "--store", str(tmp_path)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "oildrop.history/1"
    [found] = document["histories"]
    assert (found["benchmark"], found["metric"], len(found["sessions"])) == ("lm-pretrain", "time_to_target_s", 10)
    assert [change["session_id"] for change in found["changes"]] == ["day-5"]
    assert main(["history", "--store", str(tmp_path)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert found["sentences"][0] in shown


def test_an_empty_store_and_an_unknown_name_are_told(store: Path, tmp_path: Path, capsys: Capture) -> None:
    assert main(["history", "--store", str(tmp_path)]) == 0
    assert "`oildrop run` makes runs" in " ".join(capsys.readouterr().out.split())
    assert main(["history", "lm-pretrian", "--store", str(store)]) == 2
    assert "lm-pretrain" in capsys.readouterr().err
    assert main(["history", "--store", str(store)]) == 0
    assert "0 sessions cannot show a change" in " ".join(capsys.readouterr().out.split())
