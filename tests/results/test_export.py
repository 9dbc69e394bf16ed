"""Runs out of the store, read back by the programs that they are meant for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas
import pytest

from oildrop.results.bundle.read import read_bundle
from oildrop.results.document import runs_document
from oildrop.results.export import FORMATS, export_runs
from oildrop.results.ingest import ingest_runs
from oildrop.results.layout import StoreLayout
from oildrop.results.mllog import POINTS, STARTS, STOPS
from oildrop.results.rows import RunRow
from oildrop.rules.catalogue import CATALOGUE
from oildrop.rules.errors import BundleError, UsageError


@pytest.fixture
def rows(store: StoreLayout, make_bundle: Any) -> list[RunRow]:
    return ingest_runs(store, [make_bundle(outcome=o, seed_index=i) for i, o in enumerate(("ok", "unsupported"))])


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_bundle_leaves_without_its_private_output(store: StoreLayout, rows: list[RunRow], tmp_path: Path) -> None:
    export_runs(store, rows[:1], "bundle", tmp_path / "one")
    expected = content(store.run_dir(rows[0].run_id))
    assert expected.pop("output.log")
    assert content(tmp_path / "one") == expected
    assert not read_bundle(tmp_path / "one").problems


def test_several_bundles_become_a_folder_of_folders(store: StoreLayout, rows: list[RunRow], tmp_path: Path) -> None:
    export_runs(store, rows, "bundle", tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(row.run_id for row in rows)
    for row in rows:
        assert not read_bundle(tmp_path / "out" / row.run_id).problems


def test_json_is_the_runs_document(store: StoreLayout, rows: list[RunRow], tmp_path: Path) -> None:
    export_runs(store, rows, "json", tmp_path / "runs.json")
    assert json.loads((tmp_path / "runs.json").read_text()) == runs_document(store, rows)


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_tables_hold_a_row_a_run_and_a_column_a_metric(
    store: StoreLayout, rows: list[RunRow], tmp_path: Path, format: str
) -> None:
    out = tmp_path / f"runs.{format}"
    export_runs(store, rows, format, out)
    table = pandas.read_csv(out) if format == "csv" else pandas.read_parquet(out)
    assert list(table["run_id"]) == [row.run_id for row in rows]
    assert list(table["outcome"]) == ["ok", "unsupported"]
    assert list(table["seed"]) == [row.spec.seed for row in rows]  # 52 bits, not rounded
    for name in CATALOGUE:
        for place, row in enumerate(rows):
            metric = row.headlines.get(name)
            value, reason = table[name][place], table[f"{name}_reason"][place]
            if metric is None:
                assert pandas.isna(value) and reason == "not listed by this kind of run"
            elif metric.value is None:
                assert pandas.isna(value) and reason == metric.reason
            else:
                assert float(value) == metric.value and pandas.isna(reason)


def test_parquet_columns_have_the_same_types_whatever_the_rows(
    store: StoreLayout, rows: list[RunRow], tmp_path: Path
) -> None:
    types = []
    for name, chosen in (("a", rows[:1]), ("b", rows[1:])):
        export_runs(store, chosen, "parquet", tmp_path / name)
        types.append(pandas.read_parquet(tmp_path / name).dtypes.to_dict())
    assert types[0] == types[1]


def test_mllog_is_read_by_the_conventions_own_parser(store: StoreLayout, rows: list[RunRow], tmp_path: Path) -> None:
    from mlperf_logging.compliance_checker.mlp_parser import parse_file
    from mlperf_logging.mllog import constants

    export_runs(store, rows[:1], "mllog", tmp_path / "run.log")
    lines, errors = parse_file(str(tmp_path / "run.log"), ruleset="5.0.0")
    assert errors == []
    evidence = read_bundle(store.run_dir(rows[0].run_id))
    known = {getattr(constants, name) for name in dir(constants) if name.isupper()}
    assert known >= POINTS | STARTS | STOPS
    logged = [line.key for line in lines]
    assert set(logged) <= known and logged.count("run_start") == logged.count("run_stop") == 1
    qualities = [line.value["value"] for line in lines if line.key == "eval_accuracy"]
    assert qualities == [event.value for event in evidence.all("eval_accuracy")]
    start, stop = (next(line.timestamp for line in lines if line.key == key) for key in ("run_start", "run_stop"))
    run_ms = (evidence.all("run_stop")[0].t_ns - evidence.all("run_start")[0].t_ns) / 1e6
    assert stop - start == pytest.approx(run_ms, abs=1.001)


def test_several_logs_become_a_folder(store: StoreLayout, rows: list[RunRow], tmp_path: Path) -> None:
    export_runs(store, rows, "mllog", tmp_path / "logs")
    assert sorted(p.name for p in (tmp_path / "logs").iterdir()) == sorted(f"{row.run_id}.log" for row in rows)


def test_a_log_without_time_is_named(store: StoreLayout, rows: list[RunRow], tmp_path: Path) -> None:
    path = store.run_dir(rows[0].run_id) / "events.jsonl"
    first, rest = path.read_bytes().split(b"\n", 1)
    path.write_bytes(json.dumps({**json.loads(first), "utc": "yesterday"}).encode() + b"\n" + rest)
    with pytest.raises(BundleError, match=r"line 1 of events\.jsonl: utc 'yesterday' is no ISO 8601 time"):
        export_runs(store, rows[:1], "mllog", tmp_path / "x.log")
    assert not (tmp_path / "x.log").exists()


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_is_overwritten_and_nothing_left_half_done(
    store: StoreLayout, rows: list[RunRow], tmp_path: Path, format: str
) -> None:
    out = tmp_path / "new" / "out"
    export_runs(store, rows, format, out)
    assert [p.name for p in out.parent.iterdir()] == ["out"]
    with pytest.raises(UsageError, match="out exists and is never overwritten"):
        export_runs(store, rows, format, out)


def test_wrong_calls_say_what_is_wrong(store: StoreLayout, rows: list[RunRow], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'xml' is not one of bundle, json, csv, parquet, mllog"):
        export_runs(store, rows, "xml", tmp_path / "x")
    with pytest.raises(UsageError, match="no run to export"):
        export_runs(store, [], "json", tmp_path / "x")
