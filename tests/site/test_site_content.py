"""What the pages say: every run and outcome, nothing invented, untrusted text kept harmless."""

from __future__ import annotations

import csv
import hashlib
import html
import math
import re
import statistics
from pathlib import Path

import pytest

from oildrop.rules.outcomes import MEANINGS
from oildrop.rules.records import Finding, Metric
from oildrop.site.pages.build import build_site

GOLDEN = Path(__file__).with_name("golden")
XSS = '<script>alert("1")</script><img src=x onerror=alert(1)>'


def page_text(page) -> str:
    return " ".join(" ".join(page.itertext()).split()).replace(" ,", ",")


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_outcome_stands_on_index_and_failures_page_with_its_reason(every_outcome, runs):
    index, failures = page_text(every_outcome.pages["index.html"]), page_text(every_outcome.pages["failures.html"])
    for outcome, meaning in MEANINGS.items():
        assert outcome in index and meaning.mark in index
        if outcome != "ok":
            assert outcome in failures
            assert runs.ENDINGS[outcome] in failures
            assert runs.ENDINGS[outcome] in index


def test_every_run_is_on_the_index_and_at_its_address(every_outcome):
    index = every_outcome.text("index.html")
    for row in every_outcome.rows:
        shard = hashlib.sha256(row.run_id.encode()).hexdigest()[:3]
        assert f'href="r/{shard}/index.html#run-{row.run_id}"' in index
        ids = [e.get("id") for e in every_outcome.pages[f"r/{shard}/index.html"].iter()]
        assert f"run-{row.run_id}" in ids


def test_what_a_run_lacks_leaves_no_word_of_the_program_on_its_page(every_outcome):
    shards = [path for path in every_outcome.pages if path.startswith("r/")]
    assert len(shards) > 20
    for path in shards:
        words = page_text(every_outcome.pages[path]).split()
        assert not {"False", "True", "None"} & set(words), path


def test_tallies_count_ok_failed_and_the_rest(every_outcome):
    text = page_text(every_outcome.pages["index.html"])
    # 5 + 5 + 3 + 1 trainings and 3 + 1 served ok; 12 other outcomes of which unsupported, withdrawn and started never
    # were an attempt; and a search's 4 probes, of which those that missed did what they were for
    assert "18 ok, 9 failed, 1 unsupported, 1 withdrawn, 1 started, 4 probes · 34 runs in all" in text
    assert "10 ok, 9 failed, 1 unsupported, 1 withdrawn" in text


def test_images_are_counted_as_samples_and_text_as_tokens(every_outcome):
    heads = {
        table.get("class") + " " + "".join(table.find("caption").itertext()): [
            "".join(head.itertext()) for head in table.iter("th") if head.get("scope") == "col"
        ]
        for table in every_outcome.pages["index.html"].iter("table")
        if table.get("class") == "runs"
    }
    assert "Tokens/s" in heads["runs Every run of lm-pretrain nano"]
    assert "Samples/s" in heads["runs Every run of image-classify nano"]


def test_fewer_than_five_runs_say_provisional(every_outcome):
    assert "provisional 3 runs, fewer than 5" in page_text(every_outcome.pages["index.html"])


def test_estimate_and_interval_are_those_of_the_runs(every_outcome):
    (line,) = [
        line
        for line in rows_of(every_outcome.root / "results-image-classify-nano-configurations.csv")
        if line["division"] == "closed"
    ]
    logs = [math.log(time) for time in (6.10, 6.15, 6.20)]
    reach = 4.302652729911275 * statistics.stdev(logs) / math.sqrt(3)  # t(0.975, 2) from a table
    bounds = [math.exp(statistics.mean(logs) + side * reach) for side in (-1, 0, 1)]
    found = [float(line[name]) for name in ("ci95_low", "estimate", "ci95_high")]
    assert found == pytest.approx(bounds, rel=1e-9)
    assert "6.03 to 6.28" in page_text(every_outcome.pages["index.html"])
    assert line["rank_best"] == ""


def test_a_missing_metric_is_named_with_its_reason_and_never_zero(every_outcome, runs, served):
    for path, page in every_outcome.pages.items():
        for row in page.iter("tr"):
            label = "".join(row[0].itertext())
            if label.startswith("Power") and path.startswith("r/"):
                cells = ["".join(cell.itertext()) for cell in row]
                assert cells[1] == "not measured" and cells[-1] == runs.NO_METER
    index = every_outcome.pages["index.html"]
    notes = {e.get("id"): "".join(e.itertext()) for e in index.iter("li") if e.get("id")}
    nulls = [e for e in index.iter("span") if e.get("class") == "null" and e.find("sup") is not None]
    assert len(nulls) >= len(every_outcome.rows)  # no run has power
    for null in nulls:
        assert null.text in ("not measured", "not applicable")
        assert notes[null.find("sup/a").get("href")[1:]] in (runs.NO_METER, runs.NOT_REACHED, served.FAILED)


def test_a_file_of_metrics_holds_those_of_all_runs_whose_addresses_begin_alike(large):
    runs_of: dict[str, list] = {}
    for row in sorted(large.rows, key=lambda row: row.run_id):
        runs_of.setdefault(hashlib.sha256(row.run_id.encode()).hexdigest()[:2], []).append(row)
    assert {path.stem for path in (large.root / "r").glob("*.csv")} == set(runs_of)
    assert not list((large.root / "r").glob("*/*.csv"))
    for prefix, rows in runs_of.items():
        found = [(line["run_id"], line["name"], line["value"], line["unit"], line["reason"])
                 for line in rows_of(large.root / f"r/{prefix}.csv")]  # fmt: skip
        assert found == [
            (
                row.run_id,
                metric.name,
                "" if metric.value is None else repr(metric.value),
                metric.unit,
                metric.reason or "",
            )
            for row in rows
            for metric in row.judgement.metrics
        ]


def test_a_run_links_to_its_file_of_metrics_and_says_how_many_runs_it_holds(large, runs, tmp_path):
    shards = [path for path in large.pages if path.startswith("r/")]
    for path in shards:
        prefix = path[2:4]
        held = len({line["run_id"] for line in rows_of(large.root / f"r/{prefix}.csv")})
        links = [link for link in large.pages[path].iter("a") if link.get("href", "").endswith(".csv")]
        assert len(links) == len([e for e in large.pages[path].iter("article")])
        for link in links:
            assert link.get("href") == f"../../r/{prefix}.csv"
            assert (large.root / path).parent.joinpath(link.get("href")).resolve() == large.root / f"r/{prefix}.csv"
            others = f"{held - 1} other{'s' if held > 2 else ''} whose address begins with r/{prefix}"
            assert held > 1 and link.text == f"CSV: metrics of this run and of {others}"
    assert len(shards) == 5
    build_site([runs.row(1)], runs.rulebook(), tmp_path / "page", built_utc="2026-11-22T12:00:00Z")
    (path,) = (tmp_path / "page/r").glob("*/index.html")
    assert ">CSV: metrics of this run</a>" in path.read_text("utf-8")


def test_a_measured_zero_is_shown_as_zero_and_a_null_is_an_empty_field(runs, tmp_path):
    row = runs.row(1)
    metrics = tuple(
        runs.metric("busy_fraction", 0.0) if metric.name == "busy_fraction" else metric
        for metric in row.judgement.metrics
    )
    row = _with_judgement(row, metrics=metrics)
    build_site([row], runs.rulebook(), tmp_path / "page", built_utc="2026-11-22T12:00:00Z")
    (line,) = rows_of(tmp_path / "page/runs.csv")
    assert line["busy_fraction"] == "0.0" and line["power_w"] == ""
    assert line["time_to_target_s"] == "21.3"


def test_text_from_a_bundle_comes_out_escaped(runs, tmp_path):
    machine = runs.system()
    machine = machine.model_copy(update={"cpu": machine.cpu.model_copy(update={"model": XSS})})
    finding = Finding(rule="R014", severity="invalid", message=XSS, evidence={XSS: XSS}, fix=XSS)
    rows = [
        runs.row(1, outcome="crash", reason=XSS, note=XSS, machine=machine, findings=(finding,)),
        runs.row(2, outcome=XSS, benchmark=XSS, tier=XSS, backend=XSS, division=XSS, system_id=XSS),
        runs.row(3, system_id="../../../../etc/passwd"),
    ]
    out = tmp_path / "page"
    build_site(rows, runs.rulebook(), out, built_utc=XSS)
    found = 0
    for path in out.rglob("*.html"):
        text = path.read_text("utf-8")
        assert "<script" not in text and "<img" not in text, path
        found += text.count("&lt;script&gt;")
    assert found > 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page"]
    assert len(list((out / "systems").glob("*.html"))) == 3


def test_csv_text_that_looks_like_a_formula_is_quoted_and_numbers_stay_numbers(runs, tmp_path):
    rows = [
        runs.row(1, outcome="crash", reason="=HYPERLINK(1)", backend="@x", changes={"optimizer.learning_rate": -3.0})
    ]
    build_site(rows, runs.rulebook(), tmp_path / "page", built_utc="2026-11-22T12:00:00Z")
    (line,) = rows_of(tmp_path / "page/runs.csv")
    assert line["reason"] == "'=HYPERLINK(1)" and line["backend"] == "'@x"


def test_run_page_shows_rule_evidence_fix_command_and_changes(runs, tmp_path):
    finding = Finding(
        rule="R014", severity="invalid", message="0.52 is not 0.49", evidence={"log": 0.49}, fix="Run again."
    )
    row = runs.row(1, outcome="invalid", findings=(finding,), changes={"execution.threads": 4}, note="a note")
    metric = Metric(
        name="power_w", dims={"phase": "train"}, value=123.456, unit="W", status="measured", formula="power/1",
        scope="package", uncertainty=1.5, sample_count=40,
    )  # fmt: skip
    row = _with_judgement(row, metrics=(*row.judgement.metrics, metric))
    build_site([row], runs.rulebook(), tmp_path / "page", built_utc="2026-11-22T12:00:00Z")
    (path,) = (tmp_path / "page/r").rglob("index.html")
    text = html.unescape(path.read_text("utf-8"))
    for part in (
        "0.52 is not 0.49", "Log and judge agree.", "log = 0.49", "What to do: Run again.", "Note: a note",
        "oildrop run lm-pretrain --tier nano --backend torch-cpu --seeds 1", "<strong>4</strong>", "(tier: 0)",
        row.bundle_id, "power_w [phase=train]", "± 1.50\N{NARROW NO-BREAK SPACE}W (95 %); 40 values", "123</td><td>W",
    ):  # fmt: skip
        assert part in text, part


def test_long_tables_have_pages_and_the_index_stays_small(large):
    # 1 300 runs in tens, benchmarks in turn: 650 a benchmark, so pages of 500 and 150
    for board in ("lm-pretrain-nano", "image-classify-nano"):
        first, second = large.pages[f"runs/{board}.html"], large.pages[f"runs/{board}.page-2.html"]
        assert [len(page.findall(".//tbody/tr")) for page in (first, second)] == [500, 150]
    index = large.pages["index.html"]
    assert len(large.text("index.html")) < 500_000
    configurations = [table for table in index.iter("table") if table.get("class") == "configurations"]
    assert sum(len(table.findall("tbody/tr")) for table in configurations) == 130
    assert len(rows_of(large.root / "runs.csv")) == 1300
    linked = {a.get("href").rpartition("#run-")[2] for path in large.pages if path.startswith("runs/")
              for a in large.pages[path].iter("a") if "#run-" in a.get("href", "")}  # fmt: skip
    assert linked == {row.run_id for row in large.rows}


def test_method_page_holds_the_whole_rulebook(every_outcome, runs):
    text = page_text(every_outcome.pages["method.html"])
    book = runs.rulebook()
    for rule in book.rules.values():
        assert rule.id in text and rule.text in text and rule.why in text
    for benchmark in book.benchmarks.values():
        assert benchmark.sha256 in text and benchmark.title in text
        assert "0.003" in text and "locked" in text
    for part in (*book.divisions.values(), *book.devices):
        assert (part.text if hasattr(part, "text") else part.source) in text


def test_unreadable_system_still_has_its_page(runs, tmp_path):
    row = runs.row(1)
    row = type(row)(
        spec=row.spec, system=None, judgement=row.judgement, digest=row.digest, sealed=False, bundle_id=None
    )
    build_site([row], runs.rulebook(), tmp_path / "page", built_utc="2026-11-22T12:00:00Z")
    text = (tmp_path / f"page/systems/{row.spec.system_id}.html").read_text("utf-8")
    assert "No bundle of this system holds a readable" in text


def test_empty_store_makes_a_page_that_says_so(runs, tmp_path):
    report = build_site([], runs.rulebook(), tmp_path / "page", built_utc="2026-11-22T12:00:00Z")
    assert report.runs == 0 and report.pages == 3
    assert "There is no run in this store yet" in report.index.read_text("utf-8")


def test_times_are_machine_readable_utc(every_outcome):
    times = re.findall(r"<time datetime=\"(.*?)\">(.*?)</time>", every_outcome.text("index.html"))
    assert len(times) > len(every_outcome.rows)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", machine) for machine, _ in times)


@pytest.mark.parametrize("name", ["index.html", "run.html", "failures.html"])
def test_pages_look_as_they_did(runs, tmp_path, name):
    """Golden files; after a wanted change copy the new page over the old (the assertion names both)."""
    rows = [runs.row(1, points=4, seed_index=0), runs.row(2, outcome="timeout", points=4, seed_index=1)]
    out = tmp_path / "page"
    build_site(rows, runs.rulebook(), out, built_utc="2026-11-22T12:34:56Z")
    made = min(out.glob("r/*/index.html")) if name == "run.html" else out / name
    assert made.read_text("utf-8") == (GOLDEN / name).read_text("utf-8"), f"{made} differs from {GOLDEN / name}"


def _with_judgement(row, **changes):
    judgement = row.judgement.model_copy(update=changes)
    return type(row)(
        spec=row.spec,
        system=row.system,
        judgement=judgement,
        digest=row.digest,
        sealed=row.sealed,
        bundle_id=row.bundle_id,
    )
