"""What the page of a served run shows as text: percentiles side by side, and requests that failed."""

from __future__ import annotations

from markupsafe import Markup

from oildrop.results.rows import RunRow
from oildrop.rules.digest_served import ServedDigest
from oildrop.rules.records import Metric
from oildrop.site.pages.formats import ascii_markup, count_text, escaped, number
from oildrop.site.pages.metric_rows import STATUS_WORDS

TIMES = {
    "latency_s": "Latency",
    "ttft_s": "TTFT, time to first token",
    "tpot_s": "TPOT, time per output token",
    "itl_s": "ITL, gap between tokens",
}
ENDINGS = ("", "_p50", "_p90", "_p99")


def percentile_rows(row: RunRow) -> Markup:
    """One line a time: mean, median, 90 % and 99 % in milliseconds, or why there is none."""
    lines = []
    for name, label in TIMES.items():
        found = [row.headlines.get(name + ending) for ending in ENDINGS]
        if any(found):
            cells = "".join(f'<td class="n">{_ms(metric)}</td>' for metric in found)
            lines.append(f'<tr><th scope="row">{escaped(label)}</th>{cells}</tr>\n')
    return Markup(ascii_markup("".join(lines)))


def _ms(metric: Metric | None) -> str:
    if metric is None:
        return '<span class="null">not listed</span>'
    if metric.value is None:
        words, reason = STATUS_WORDS[metric.status], escaped(metric.reason or "")
        return f'<span class="null">{words}</span><br><span class="why">{reason}</span>'
    return number(1e3 * metric.value)


def requests_text(served: ServedDigest) -> str:
    """`400 requests, 3 of them failed: 2 http_500, 1 cut`, and why no more were made."""
    failed = sum(served.failures.values())
    words = count_text(served.requests, "request")
    if failed:
        listed = ", ".join(f"{count} {outcome}" for outcome, count in served.failures.items())
        words += f", {failed} of them failed: {listed}"
    else:
        words += ", all answered in full"
    return f"{words}; {_stop_text(served.stopped_by)}" if served.stopped_by else words


_STOPS = {
    "minimum": "the least time and number of queries were reached",
    "deadline": "given up as the run had no more time",
    "overflow": "given up as more were unanswered than in any system that keeps the bounds",
    "drain": "given up as some were unanswered too long after the last was issued",
    "error": "given up as the model failed",
}
"""Why the load generator stopped."""


def _stop_text(stopped_by: str) -> str:
    return _STOPS.get(stopped_by, f"stopped by {stopped_by}")
