"""Pages of served runs: what a reader finds there, told from the runs that were put in."""

from __future__ import annotations

import csv
import hashlib
import re

import pytest


def article(site, run_id):
    """The page of one run as text, from its heading to the next run's."""
    shard = hashlib.sha256(run_id.encode()).hexdigest()[:3]
    text = site.text(f"r/{shard}/index.html")
    start = text.index(f'id="run-{run_id}"')
    return text[start : text.index("</article>", start)]


def cells_of(markup, caption):
    """Texts of the cells, row by row, of the table with this caption."""
    table = markup[markup.index(caption) :]
    rows = re.findall(r"<tr>(.*?)</tr>", table[: table.index("</table>")].partition("<tbody>")[2], re.S)
    return [[re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]


def test_times_stand_side_by_side_in_milliseconds(every_outcome):
    page = article(every_outcome, "20261123-080000-aaaa")
    rows = cells_of(page, "Times in milliseconds")
    # made up as 110, 21, 4.2 and 4.1 ms, with a mean of 1.1, and 90 % and 99 % of 1.3 and 1.7 times that
    assert rows[0] == ["Latency", "121", "110", "143", "187"]
    assert rows[1] == ["TTFT, time to first token", "23.1", "21.0", "27.3", "35.7"]
    assert [row[0] for row in rows[2:]] == ["TPOT, time per output token", "ITL, gap between tokens"]
    assert "200 requests, all answered in full; the least time and number of queries were reached." in page


def test_failed_requests_are_said_on_the_page_and_on_the_index_beside_ok(every_outcome):
    page = article(every_outcome, "20261123-080040-cccc")
    assert "200 requests, 3 of them failed: 2 http_500, 1 cut" in page
    assert cells_of(page, "Times in milliseconds")[0][4].startswith("not measured")
    index = every_outcome.text("index.html")
    (line,) = [row for row in index.split("<tr>") if "20261123-080040-cccc" in row]
    assert "3 of 200 requests failed: 2 http_500, 1 cut" in line
    assert "8 in flight" in line


def test_every_run_of_a_search_shows_all_of_it(every_outcome, served, runs):
    search = served.search_rows(runs.system())
    for row in search:
        rows = cells_of(article(every_outcome, row.run_id), "The search for the highest rate")
        assert [(line[0], line[1], line[2]) for line in rows] == [
            ("20261123-090000-aaaa", "20.0", "probe"),
            ("20261123-090020-bbbb", "80.0", "probe"),
            ("20261123-090040-cccc", "320", "probe"),
            ("20261123-090060-dddd", "160", "probe"),
            ("20261123-090080-eeee", "80.0", "at the rate found"),
        ]
        assert [line[3].split()[-1][1:] for line in rows][2].endswith("target_missed")
        assert rows[2][4] == "714"  # 21 ms x 1.7 x 20
        assert rows[3][4] == "not measured"
        assert "holds the bounds lies between 80 and " in article(every_outcome, row.run_id)


def test_a_search_is_a_csv_file_with_exact_values(every_outcome):
    (path,) = (every_outcome.root / "searches").glob("*.csv")
    with open(path, newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line["rate_per_s"] for line in lines] == ["20.0", "80.0", "320.0", "160.0", "80.0"]
    assert float(lines[0]["ttft_s_p99"]) == pytest.approx(0.0357, rel=1e-12)
    assert lines[3]["ttft_s_p99"] == ""


def test_charts_of_a_served_run_say_what_they_show(every_outcome):
    page = article(every_outcome, "20261123-090080-eeee")
    assert "share of requests by latency" in page
    assert "share of requests by time to first token" in page
    assert "share of requests by time to first token, 0 to 100 %; target 99.0; bound 200 ms" in page
    assert "share of requests by latency, 0 to 100 %; no bound" in page  # so no target line either
    assert "slowest latency of each stretch of time" in page
    assert "time to first token of 99 % over the rate, 35.7 to 714 ms; target 200" in page
    assert "No evaluation with a finite quality" not in page
    offline = article(every_outcome, "20261123-080020-bbbb")
    assert "slowest latency of each stretch" not in offline  # all requests are due at once
    assert "The search for the highest rate" not in offline


def test_probes_stand_apart_from_the_runs_that_count(every_outcome):
    index = every_outcome.text("index.html")
    (line,) = [row for row in index.split("<tr") if "<b>2</b> held, <b>2</b> missed" in row]
    assert "none is counted" in line
    board = index[index.index('id="board-lm-generate-nano.in.server"') :]
    assert "99 % of answers within 200 ms to the first token, 50 ms a token" in board[: board.index("</section>")]
    figure = board[: board.index("<table")]
    assert figure.count('class="row"') == 1  # no strip for the probes
    assert "configurations; the table below holds all" not in figure
    assert "expected to a success" not in line


def test_a_run_that_missed_its_bounds_is_no_dot(runs, served):
    from oildrop.site.pages.boards import boards_of
    from oildrop.site.pages.index_page import _values

    machine = runs.system()
    missed = served.served_row("20261124-a", machine, scenario="offline", outcome="target_missed", reason="late")
    held = served.served_row("20261124-b", machine, scenario="offline", seed_index=1)
    ((configuration,),) = [board.configurations for board in boards_of([missed, held])]
    assert _values(configuration) == [9.1]


def test_probes_that_missed_are_among_the_failures_with_their_rate(every_outcome):
    failures = every_outcome.text("failures.html")
    (line,) = [row for row in failures.split("<tr>") if "20261123-090040-cccc" in row]
    assert "lm-generate nano server" in line
    assert "server at 320 queries/s" in line
    assert "93.00% of 200" in line


def test_the_method_page_tells_terms_scenarios_and_why_a_tier_is_provisional(every_outcome, served):
    method = every_outcome.text("method.html")
    rows = [row for row in cells_of(method, "Scenarios of lm-generate by tier") if row[0] == "nano"]
    terms = served.GENERATE.tiers["nano"].scenarios
    assert [row[1] for row in rows] == list(terms)
    (server,) = [row for row in rows if row[1] == "server"]
    bounds = terms["server"].bounds
    found = re.findall(r"([\d.]+) ms (to the first token|a token)", server[6])
    assert {name: float(text) for text, name in found} == pytest.approx(
        {"to the first token": 1e3 * bounds.ttft_s, "a token": 1e3 * bounds.tpot_s}
    )
    assert served.GENERATE.tiers["nano"].provisional in method
    assert "Poisson" in method
    assert "probe" in method[method.index('id="scenarios"') :]
