"""Commands that read or mend a store, over real bundles of runs that failed."""

from __future__ import annotations

import csv
import json
import os
from concurrent.futures import ThreadPoolExecutor
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from oildrop.rules.catalogue import metrics_of
from oildrop.suite.cli.main import main

Capture = pytest.CaptureFixture[str]
IDS = ["20260103-lost", "20260102-cancelled", "20260101-crash"]  # newest first


def document(capsys: Capture, *words: str, code: int = 0) -> Any:
    assert main([*words, "--json"]) == code
    shown = capsys.readouterr()
    return json.loads(shown.out)


def text(capsys: Capture, *words: str, code: int = 0) -> str:
    assert main(list(words)) == code
    return capsys.readouterr().out


def test_runs_takes_in_what_the_index_lacks(store: Path, capsys: Capture) -> None:
    (store / "oildrop.duckdb").unlink()
    assert [run["run_id"] for run in document(capsys, "runs", "--store", str(store))["runs"]] == IDS


def test_runs_lists_every_run_newest_first_with_outcome_and_reason(store: Path, capsys: Capture) -> None:
    found = document(capsys, "runs", "--store", str(store))
    assert found["schema"] == "oildrop.runs/1"
    assert found["store"] == str(store)
    assert [run["run_id"] for run in found["runs"]] == IDS
    assert [run["outcome"] for run in found["runs"]] == ["lost", "cancelled", "crash"]
    assert found["runs"][2]["reason"] == "exit status 3"
    [summary] = found["summary"]
    assert (summary["runs"], summary["ok"], summary["estimate"]) == (3, 0, None)


def test_runs_for_people_show_shape_word_and_reason(store: Path, capsys: Capture) -> None:
    shown = text(capsys, "runs", "--store", str(store))
    line = next(line for line in shown.splitlines() if line.startswith("20260101-crash"))
    assert "✖ crash" in line and "lm-pretrain nano" in line and "exit status 3" in line
    assert f"3 runs in {store}" in shown


def test_runs_filter_by_outcome_benchmark_and_number(store: Path, capsys: Capture) -> None:
    place = ("--store", str(store))
    assert [run["run_id"] for run in document(capsys, "runs", "--outcome", "crash", *place)["runs"]] == [IDS[2]]
    assert [run["run_id"] for run in document(capsys, "runs", "--limit", "1", *place)["runs"]] == [IDS[0]]
    assert len(document(capsys, "runs", "--benchmark", "lm-pretrain", *place)["runs"]) == 3
    assert "no such runs" in text(capsys, "runs", "--outcome", "oom", *place)


def test_runs_of_an_unknown_benchmark_offer_the_nearest(store: Path, capsys: Capture) -> None:
    assert main(["runs", "--benchmark", "lm-pretrian", "--store", str(store)]) == 2
    assert "lm-pretrain" in capsys.readouterr().err


def test_reading_a_store_that_is_not_there_makes_none(tmp_path: Path, capsys: Capture) -> None:
    assert document(capsys, "runs", "--store", str(tmp_path / "none"))["runs"] == []
    assert "oildrop run" in text(capsys, "runs", "--store", str(tmp_path / "none"))
    assert main(["show", "last", "--store", str(tmp_path / "none")]) == 2
    assert not (tmp_path / "none").exists()


def test_the_store_is_found_by_its_variable(store: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OILDROP_STORE", str(store))
    assert len(document(capsys, "runs")["runs"]) == 3


def test_show_gives_all_that_is_known_of_a_run(store: Path, capsys: Capture) -> None:
    found = document(capsys, "show", "20260101", "--store", str(store))
    assert found["schema"] == "oildrop.run/1"
    assert found["run"]["run_id"] == IDS[2]
    assert {metric["name"] for metric in found["run"]["metrics"]} >= set(metrics_of("to_target"))
    assert found["meaning"] == "ended by an error"
    assert found["system"]["cpu"]["model"] == "Example CPU"
    assert found["sealed"] and len(found["bundle_id"]) == 64
    assert found["page"].endswith(f"#run-{IDS[2]}")
    assert found["phases"][0]["name"] == "data"


def test_show_for_people_names_reasons_phases_page_and_command(store: Path, capsys: Capture) -> None:
    shown = text(capsys, "show", IDS[2], "--store", str(store))
    assert shown.startswith("✖ crash: ended by an error\nreason: exit status 3\n")
    assert "Phases: data 1 s, compile 1 s" in shown
    assert "To repeat it: oildrop run lm-pretrain --note 'two words'" in shown
    metric = next(line for line in shown.splitlines() if line.startswith("time_to_target_s "))
    assert "not_measured" in metric and "time_to_target/" in metric


def test_show_last_is_the_newest(store: Path, capsys: Capture) -> None:
    assert document(capsys, "show", "last", "--store", str(store))["run"]["run_id"] == IDS[0]


def test_an_unknown_run_offers_the_nearest(store: Path, capsys: Capture) -> None:
    assert main(["show", "20260101-crsh", "--store", str(store)]) == 2
    assert IDS[2] in capsys.readouterr().err


def test_check_of_a_sealed_run_is_0_however_it_ended(store: Path, capsys: Capture) -> None:
    found = document(capsys, "check", IDS[2], "--store", str(store))
    assert found["schema"] == "oildrop.check/1"
    assert (found["integrity"], found["outcome"], found["stored_outcome"]) == ("intact", "crash", "crash")
    assert found["problems"] == []


def test_check_of_an_unsealed_run_is_1(store: Path, capsys: Capture) -> None:
    found = document(capsys, "check", IDS[0], "--store", str(store), code=1)
    assert (found["integrity"], found["outcome"], found["sealed"]) == ("unsealed", "lost", False)


def test_check_takes_a_bundle_by_its_path(store: Path, capsys: Capture) -> None:
    found = document(capsys, "check", str(store / "runs" / IDS[2]))
    assert (found["integrity"], found["stored_outcome"]) == ("intact", None)


@pytest.mark.parametrize("name", ["events.jsonl", "spec.json", "system.json", "seal.json"])
def test_check_names_the_file_that_was_changed(store: Path, name: str, capsys: Capture) -> None:
    path = store / "runs" / IDS[2] / name
    data = path.read_bytes()
    place = data.index(b"0")
    path.write_bytes(data[:place] + b"1" + data[place + 1 :])
    assert main(["check", str(path.parent)]) == 1
    shown = capsys.readouterr().out
    assert "integrity: broken" in shown
    assert name in shown


def test_check_says_what_to_do_about_each_finding(store: Path, capsys: Capture) -> None:
    (store / "runs" / IDS[2] / "extra.txt").write_text("x")
    shown = text(capsys, "check", str(store / "runs" / IDS[2]), code=1)
    assert "extra.txt" in shown
    assert "broken R0" in shown and "what to do:" in shown and "evidence:" in shown


def test_check_of_a_path_that_is_not_there_is_a_wrong_call(capsys: Capture) -> None:
    assert main(["check", "./nowhere/at-all"]) == 2
    assert "./nowhere/at-all" in capsys.readouterr().err


def test_check_of_a_whole_run_id_needs_no_index(store: Path, capsys: Capture) -> None:
    (store / "oildrop.duckdb").unlink()
    assert document(capsys, "check", IDS[2], "--store", str(store))["integrity"] == "intact"
    (store / "oildrop.duckdb").write_bytes(b"damaged")
    assert document(capsys, "check", IDS[2], "--store", str(store))["integrity"] == "intact"
    assert main(["check", "last", "--store", str(store)]) == 1
    assert "oildrop rebuild" in capsys.readouterr().err


def test_rebuild_restores_a_truncated_index(store: Path, capsys: Capture) -> None:
    index = store / "oildrop.duckdb"
    index.write_bytes(index.read_bytes()[:5000])
    assert main(["runs", "--store", str(store)]) == 1
    assert "oildrop rebuild" in capsys.readouterr().err
    assert document(capsys, "rebuild", "--store", str(store)) == {
        "schema": "oildrop.rebuild/1",
        "store": str(store),
        "runs": 3,
    }
    assert [run["run_id"] for run in document(capsys, "runs", "--store", str(store))["runs"]] == IDS


def test_ingest_takes_bundles_once(store: Path, tmp_path: Path, capsys: Capture) -> None:
    bundle = str(store / "runs" / IDS[2])
    for _ in range(2):
        found = document(capsys, "ingest", bundle, "--store", str(tmp_path / "mine"))
        assert [run["run_id"] for run in found["runs"]] == [IDS[2]]
    assert os.listdir(tmp_path / "mine" / "runs") == [IDS[2]]
    assert "1 bundle in" in text(capsys, "ingest", bundle, "--store", str(tmp_path / "mine"))


def test_export_writes_what_it_says(store: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "runs.csv"
    words = ("export", "all", "--format", "csv", "--out", str(out), "--store", str(store))
    assert document(capsys, *words)["run_ids"] == IDS
    assert [row["run_id"] for row in csv.DictReader(out.read_text().splitlines())] == IDS
    assert main(list(words)) == 2
    assert str(out) in capsys.readouterr().err


def test_an_exported_bundle_checks_elsewhere(store: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "one.tar.gz"
    text(capsys, "export", "last", IDS[2], "--format", "bundle", "--out", str(tmp_path / "two"), "--store", str(store))
    assert sorted(os.listdir(tmp_path / "two")) == [IDS[2], IDS[0]]
    text(capsys, "export", IDS[2], "--format", "bundle", "--out", str(out), "--store", str(store))
    assert document(capsys, "check", str(out))["integrity"] == "intact"


def test_site_build_writes_a_page_with_every_run(store: Path, tmp_path: Path, capsys: Capture) -> None:
    found = document(capsys, "site", "build", "--out", str(tmp_path / "page"), "--store", str(store))
    assert found["schema"] == "oildrop.site/1"
    assert found["runs"] == 3
    index = Path(found["index"]).read_text()
    assert all(run_id in index for run_id in IDS)


def test_site_serve_shows_the_page_until_ctrl_c(store: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = []

    def answer_once(server: ThreadingHTTPServer) -> None:
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(urlopen, f"http://127.0.0.1:{server.server_port}/")
            server.handle_request()
            with asked.result() as answer:
                answers.append(answer.read().decode())
        raise KeyboardInterrupt

    monkeypatch.setattr(ThreadingHTTPServer, "serve_forever", answer_once)
    found = document(capsys, "site", "serve", "--port", "0", "--store", str(store))
    assert found["address"].startswith("http://127.0.0.1:")
    assert IDS[2] in answers[0]
    assert not Path(found["index"]).exists()
