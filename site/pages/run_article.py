"""Everything known of one run, in the words and numbers of its judgement."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import lru_cache

from markupsafe import Markup

from oildrop.results.rows import RunRow
from oildrop.rules.headline import headline_of
from oildrop.rules.records import Finding, Metric, RunSpec
from oildrop.rules.rulebook import Rulebook
from oildrop.site.pages import labels
from oildrop.site.pages.addresses import system_address
from oildrop.site.pages.formats import ascii_markup, escaped, number, scalar_text, scaled, time_element
from oildrop.site.pages.metric_rows import STATUS_WORDS
from oildrop.site.pages.rendering import Value, render
from oildrop.site.pages.run_charts import RUN_ROOT
from oildrop.site.pages.run_table import has_tokens
from oildrop.site.pages.served_values import percentile_rows, requests_text

ROOT = RUN_ROOT
_ENERGY = ("energy_j",)
"""Shown at the head where it has a value; where it has none, power says why."""

JOULES_A_WATT_HOUR = 3600.0
_FIGURES = ("power_w", "busy_fraction", "memory_peak_bytes")


def run_values(row: RunRow, rulebook: Rulebook, anchor: str) -> dict[str, Value]:
    """What the template of one run shows beside drawings and metrics."""
    spec, digest, judgement = row.spec, row.digest, row.judgement
    power = row.headlines.get("power_w")
    return {
        "id": spec.run_id,
        "badge": labels.outcome_badge(row.outcome),
        "meaning": labels.outcome_text(row.outcome),
        "reason": judgement.reason,
        "place": _place(labels.place_text(spec), anchor, labels.device_name(row), spec.system_id),
        "variant": labels.variant_text(spec),
        "created": time_element(spec.created_utc),
        "note": spec.note,
        "sealed": row.sealed,
        "figures": _figures(row),
        "power_reason": power.reason if power is not None and power.value is None else None,
        "meters": Markup("".join([_meter(part.name, part.status, part.reason, part.method) for part in digest.meters])),
        "findings": _findings(judgement.findings, rulebook) if judgement.findings else None,
        "changed": bool(spec.changed),
        "settings": _settings(*_typed(spec)),
        "facts": _facts(row),
        "command": " ".join(map(_quoted, spec.command)),
        "trains": spec.scenario is None,
        "requests": requests_text(digest.served) if digest.served else None,
        "percentiles": percentile_rows(row) if spec.scenario is not None else None,
    }


_quoted = lru_cache(maxsize=4096)(shlex.quote)


@lru_cache(maxsize=4096)
def _place(name: str, anchor: str, machine: str, system_id: str) -> Markup:
    """Links to a run's configuration and system."""
    link = Markup('<a href="{}{}">{}</a>')
    results = link.format(ROOT, f"index.html#{anchor}", name)
    return results + Markup(" &middot; ") + link.format(ROOT, system_address(system_id), machine)


def _findings(findings: Sequence[Finding], rulebook: Rulebook) -> Markup:
    named = [(found, rulebook.rules.get(found.rule)) for found in findings]
    return Markup(ascii_markup(render("findings.html.j2", {"findings": named})))


def _figures(row: RunRow) -> Markup:
    """The numbers at the head of a run; a missing one says why."""
    found = []
    for name in (*_head_metrics(row), *_ENERGY, *_FIGURES):
        metric = row.headlines.get(name)
        if metric is None or (metric.value is None and name in _ENERGY):
            continue
        if metric.value is None:
            found.append(_missing_figure(name, metric.status, metric.reason))
        else:
            text, unit = scaled(metric.value, metric.unit)
            shown = f"<b>{text}</b> {escaped(unit)}{_beside(row, metric, metric.value)}"
            found.append(f"<div><dt>{escaped(labels.metric_label(name))}</dt><dd>{shown}</dd></div>\n")
    return Markup(ascii_markup("".join(found)))


def _beside(row: RunRow, metric: Metric, value: float) -> str:
    """What stands beside energy and power: what they cover, energy in watt-hours, the power cap."""
    if metric.name in _ENERGY:
        return f" <small>{number(value / JOULES_A_WATT_HOUR)} Wh, {escaped(metric.scope)}</small>"
    if metric.name == "power_w":
        return f" <small>{escaped(metric.scope)}; {escaped(_power_cap(row))}</small>"
    return ""


def _power_cap(row: RunRow) -> str:
    """The cap under which the power was drawn: of the accelerators, else of the processor packages."""
    system = row.system
    if system is None:
        return "power cap unknown"
    caps: list[float | None] = [each.power_limit_w for each in system.accelerators]
    if row.spec.backend.endswith("-cpu") or not caps:
        caps = [system.power_cap_w]
    known = sorted({cap for cap in caps if cap is not None})
    if None in caps or not known:
        return "power cap unknown"
    return f"power cap {' and '.join(map(number, known))} W{' each' if len(caps) > 1 else ''}"


def _head_metrics(row: RunRow) -> tuple[str, ...]:
    """What a run of its kind is known by, first."""
    spec = row.spec
    if spec.scenario is not None:
        headline = headline_of("serve", spec.scenario) or "requests_per_s"
        return tuple(dict.fromkeys((headline, "requests_per_s", "output_tokens_per_s", "error_fraction")))
    rate = "train_tokens_per_s" if has_tokens(row) else "train_samples_per_s"
    return ("time_to_target_s", rate) if spec.kind == "to_target" else (rate,)


@lru_cache(maxsize=1024)
def _missing_figure(name: str, status: str, reason: str | None) -> str:
    shown = f'<span class="null">{STATUS_WORDS[status]}</span> <small>{escaped(reason or "")}</small>'
    return f"<div><dt>{escaped(labels.metric_label(name))}</dt><dd>{shown}</dd></div>\n"


@lru_cache(maxsize=1024)
def _meter(name: str, status: str, reason: str | None, method: str | None) -> str:
    how = f" ({reason})" if reason else f" by {method}" if method else ""
    return f"<li>{escaped(name)}: {escaped(status.replace('_', ' '))}{escaped(how)}</li>\n"


Texts = tuple[tuple[str, str], ...]


def _typed(spec: RunSpec) -> tuple[Texts, Texts]:
    """Settings as texts, and the defaults of the changed ones: as keys of a cache 1, 1.0 and True would be one."""
    settings = tuple([(key, scalar_text(value)) for key, value in spec.settings.items()])
    return settings, tuple([(key, scalar_text(default)) for key, (default, _) in spec.changed.items()])


@lru_cache(maxsize=1024)
def _settings(settings: Texts, defaults: Texts) -> Markup:
    """Every setting by key; a changed one beside the tier's own."""
    was = dict(defaults)
    line = Markup("<dt>{}</dt><dd>{}</dd>\n")
    lines = [
        line.format(key, labels.scalar_change(was[key], value) if key in was else value)
        for key, value in sorted(settings)
    ]
    return Markup(ascii_markup("".join(lines)))


def _facts(row: RunRow) -> Markup:
    """Ids and hashes, so that a run can be found and checked again."""
    spec, judgement = row.spec, row.judgement
    index = "chosen by hand" if spec.seed_index is None else f"k = {spec.seed_index}"
    bundle = row.bundle_id or ("not known" if row.sealed else "none: this bundle was never sealed")
    shared = _shared_facts(
        spec.benchmark_sha256, spec.workload_id, spec.system_id, spec.software_id, spec.set_id, spec.session_id,
        judgement.judge_version, judgement.tables_sha256, spec.oildrop_version,
    )  # fmt: skip
    parent = _fact("parent_run_id", spec.parent_run_id) if spec.parent_run_id else ""
    return Markup(f"{_fact('seed', f'{spec.seed} ({index})')}{_fact('bundle_id', bundle)}{parent}{shared}")


@lru_cache(maxsize=4096)
def _shared_facts(
    benchmark: str,
    workload: str,
    system: str,
    software: str,
    set_: str,
    session: str,
    judge: str,
    tables: str,
    version: str,
) -> str:
    """What many runs of a store have in common."""
    facts = {
        "benchmark_sha256": benchmark, "workload_id": workload, "system_id": system, "software_id": software,
        "set_id": set_, "session_id": session, "judge": f"{judge}, tables {tables}", "oildrop": version,
    }  # fmt: skip
    return "".join(_fact(key, value) for key, value in facts.items())


def _fact(key: str, value: str) -> str:
    return f"<dt>{key}</dt><dd><code>{escaped(value)}</code></dd>\n"
