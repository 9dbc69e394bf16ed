"""Scaling efficiency: what `oildrop compare` adds where two configurations differ in the number of devices alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oildrop.results.rows import RunRow
    from oildrop.rules.comparison import Side
    from oildrop.rules.comparison_sentences import Comparison

DEVICES = "execution.devices"
RATE = "train_tokens_per_s_per_device"


def scaling_of(a: tuple[RunRow, Side], b: tuple[RunRow, Side]) -> Comparison | None:
    """Rate a device on more devices over that on fewer, with the interval of any comparison; None where more differs.

    With one device on the other side the ratio is (rate of N) / (N x rate of 1), the scaling efficiency.
    """
    from oildrop.rules.comparison import compare

    if not _differ_in_devices_alone(a[0], b[0]):
        return None
    fewer, more = sorted((a, b), key=lambda one: one[0].spec.settings[DEVICES])
    return compare(more[1], fewer[1], RATE)


def scaling_sentence(comparison: Comparison) -> str:
    """The efficiency in words, or why there is none."""
    if comparison.ratio is None:
        return f"Scaling efficiency: {comparison.sentence}"
    where = f"of {comparison.a} against {comparison.b}"
    if comparison.ci95_low is None or comparison.ci95_high is None:
        why = "without an interval: too few runs, or no scatter in them"
        return f"Scaling efficiency {where}: {comparison.ratio:.3f}, {why}."
    interval = f"95 % interval {comparison.ci95_low:.3f} to {comparison.ci95_high:.3f}"
    return f"Scaling efficiency {where}: {comparison.ratio:.3f} ({interval})."


def _differ_in_devices_alone(a: RunRow, b: RunRow) -> bool:
    same = ("benchmark", "tier", "division", "backend", "kind", "system_id", "software_id")
    if any(getattr(a.spec, name) != getattr(b.spec, name) for name in same):
        return False
    keys = {*a.spec.settings, *b.spec.settings}
    return {key for key in keys if a.spec.settings.get(key) != b.spec.settings.get(key)} == {DEVICES}
