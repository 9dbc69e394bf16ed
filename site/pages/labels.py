"""Names for people: a machine, a configuration, an outcome, a metric."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache

from markupsafe import Markup

from oildrop.results.rows import RunRow
from oildrop.rules.catalogue import CATALOGUE
from oildrop.rules.outcomes import MEANINGS
from oildrop.rules.records import Metric, RunSpec
from oildrop.rules.system import Declared, System
from oildrop.rules.tracks import track_of
from oildrop.site.pages.formats import escaped, number, scalar_text

_SHOWN_ALWAYS = ("execution.dtype", "execution.compile")
_CONCURRENCY = "scenario.concurrency"
_SHOWN_ELSEWHERE = (*_SHOWN_ALWAYS, "scenario.name", _CONCURRENCY)
_TONES = {"exact": "good", "censored": "near", "infinite": "bad", "none": "none"}


def cpu_name(system: System) -> str:
    """The processor and how many of its cores can be used."""
    model = system.cpu.model or f"unnamed {system.cpu.architecture} processor"
    cores = system.cpu.usable_cores
    return f"{model}, {cores} core{'' if cores == 1 else 's'}"


def accelerator_names(system: System) -> tuple[str, ...]:
    """Each model of accelerator once, with its count, in order of first appearance."""
    counts = Counter(accelerator.model for accelerator in system.accelerators)
    return tuple(model if count == 1 else f"{count} × {model}" for model, count in counts.items())


def system_name(system: System | None, system_id: str) -> str:
    """A machine by its accelerators, else its processor; by its id where it could not be read.

    A server's machine goes by what its owner declares of it.
    """
    if system is None:
        return f"system {system_id} (not readable)"
    if system.declared is not None:
        return _declared_name(system.declared)
    return " + ".join(accelerator_names(system)) or cpu_name(system)


def _declared_name(declared: Declared) -> str:
    named = declared.name or " + ".join(declared.accelerators) or declared.cpu
    return f"{named} (declared)" if named else f"server {declared.endpoint_id} (not described)"


def device_name(row: RunRow) -> str:
    """What the backend of `row` computed on: a `-cpu` backend is named by its processor."""
    if row.system is not None and row.spec.backend.endswith("-cpu"):
        return cpu_name(row.system)
    return system_name(row.system, row.spec.system_id)


def settings_text(spec: RunSpec) -> str:
    """Dtype, compile mode and whatever else was changed, such as `bf16 · inductor · execution.threads=2`."""
    settings = spec.settings
    shown = [scalar_text(settings[key]) for key in _SHOWN_ALWAYS if key in settings]
    changed = [f"{key}={scalar_text(new)}" for key, (_, new) in spec.changed.items() if key not in _SHOWN_ELSEWHERE]
    return joined([*shown, *changed, _in_flight(spec), "probes" if spec.kind == "probe" else ""])


def _in_flight(spec: RunSpec) -> str:
    """How many requests scenario concurrency keeps in flight; empty in any other."""
    return f"{spec.settings.get(_CONCURRENCY)} in flight" if spec.scenario == "concurrency" else ""


def variant_text(spec: RunSpec) -> str:
    """What beside the machine makes a run, such as `torch-cpu · fp32 · eager · closed · server at 40 queries/s`."""
    return joined([spec.backend, settings_text(spec), spec.division, arrivals_text(spec)])


def arrivals_text(spec: RunSpec) -> str:
    """How requests arrive; empty for a training."""
    rate = "" if spec.rate_per_s is None else f" at {number(spec.rate_per_s)} queries/s"
    return f"{spec.scenario}{rate}" if spec.scenario else ""


def given_rate_text(rate_per_s: float | None) -> str:
    """A rate that somebody gave; empty where none was."""
    return "" if rate_per_s is None else f"{number(rate_per_s)} queries/s given"


def place_text(spec: RunSpec) -> str:
    """Benchmark and tier, and of a served run its scenario and what sets it apart."""
    place = " ".join(word for word in (spec.benchmark, spec.tier, spec.scenario) if word)
    track = track_of(spec)
    return place if track is None else f"{place}, {track}"


def framework_text(system: System | None, backend: str) -> str:
    """The version of the framework that a backend such as `torch-cpu` stands for; empty when unknown."""
    framework = backend.partition("-")[0]
    version = system.software.frameworks.get(framework) if system is not None else None
    return f"{framework} {version}" if version else ""


@lru_cache(maxsize=64)
def outcome_badge(outcome: str) -> Markup:
    """An outcome by mark, word and colour."""
    meaning = MEANINGS.get(outcome)
    tone = _TONES[meaning.time] if meaning else "none"
    mark = meaning.mark if meaning else "?"
    return Markup(
        f'<span class="o {tone}"><span class="m" aria-hidden="true">{escaped(mark)}</span>{escaped(outcome)}</span>'
    )


def outcome_text(outcome: str) -> str:
    """What an outcome means, in words."""
    return MEANINGS[outcome].text if outcome in MEANINGS else "an outcome that this rulebook does not know"


def outcome_tallies(outcomes: Mapping[str, int]) -> Markup:
    """Every outcome other than `ok` with its count, as badges."""
    parts = [outcome_badge(name) + Markup(" ") + str(count) for name, count in ordered(outcomes) if name != "ok"]
    return Markup(", ").join(parts)


def ordered(outcomes: Mapping[str, int]) -> list[tuple[str, int]]:
    """Outcomes with their counts in the rulebook's order, unknown ones last."""
    known = [(name, outcomes[name]) for name in MEANINGS if outcomes.get(name)]
    return known + sorted((name, count) for name, count in outcomes.items() if name not in MEANINGS and count)


@lru_cache(maxsize=512)
def metric_label(name: str) -> str:
    """A metric's label from the catalogue; its own name where the catalogue has none."""
    return CATALOGUE[name].label if name in CATALOGUE else name


def dims_text(metric: Metric) -> str:
    """What a metric that is not the headline is of, such as `phase=train`."""
    return ", ".join(f"{key}={value}" for key, value in sorted(metric.dims.items()))


def tally_text(ok: int, failed: int) -> Markup:
    """`N ok, M failed`."""
    return Markup('<span class="tally"><b>{}</b> ok, <b>{}</b> failed</span>').format(ok, failed)


def probe_text(ok: int, missed: int) -> Markup:
    """`N held, M missed`, of the probes of searches."""
    return Markup('<span class="tally"><b>{}</b> held, <b>{}</b> missed</span>').format(ok, missed)


def scalar_change(default: str, chosen: str) -> Markup:
    """A changed setting beside what it was."""
    return Markup('<strong>{}</strong> <span class="was">(tier: {})</span>').format(chosen, default)


def joined(parts: Iterable[str]) -> str:
    """Non-empty parts between middle dots."""
    return " · ".join(part for part in parts if part)
