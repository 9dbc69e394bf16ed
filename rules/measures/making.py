"""Metric records, present or missing, with unit and label taken from the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from oildrop.rules.catalogue import CATALOGUE
from oildrop.rules.records import Metric, MetricStatus

Absence = Literal["not_measured", "not_applicable"]

NO_DIMS: Mapping[str, str] = MappingProxyType({})
"""Of the headline."""


def present(
    name: str,
    value: float | int,
    *,
    formula: str,
    scope: str,
    status: MetricStatus = "measured",
    reason: str | None = None,
    uncertainty: float | None = None,
    sample_count: int | None = None,
    window_ns: tuple[int, int] | None = None,
    dims: Mapping[str, str] = NO_DIMS,
) -> Metric:
    """A metric with its value; the unit is the catalogue's, and a `reason` beside a value is what to know of it."""
    return Metric(
        name=name,
        dims=dict(dims),
        value=value,
        unit=CATALOGUE[name].unit,
        status=status,
        reason=reason,
        formula=formula,
        scope=scope,
        uncertainty=uncertainty,
        sample_count=sample_count,
        window_ns=window_ns,
    )


def absent(
    name: str,
    reason: str,
    *,
    formula: str,
    scope: str,
    status: Absence = "not_measured",
    dims: Mapping[str, str] = NO_DIMS,
) -> Metric:
    """A metric without value, and why."""
    return Metric(
        name=name,
        dims=dict(dims),
        value=None,
        unit=CATALOGUE[name].unit,
        status=status,
        reason=reason,
        formula=formula,
        scope=scope,
    )
