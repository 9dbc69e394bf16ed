"""Words of ours that redaction must leave alone: a user called `seed` must not make a record unreadable."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel

from oildrop.rules import keys
from oildrop.rules.outcomes import MEANINGS
from oildrop.rules.records import Finding, GateResult, Metric, RunSpec
from oildrop.rules.system import System

FURTHER_WORDS = frozenset(("torch", "jax", "mlx", "numpy", "cuda", "nvidia", "oildrop", "worker", "supervisor"))
"""Keys inside records that are no fields: distributions, drivers, roles."""


def record_vocabulary() -> frozenset[str]:
    """Names of the records' fields, of events, phases and outcomes."""
    words = {value for name, value in vars(keys).items() if name.isupper() and isinstance(value, str)}
    for record in (RunSpec, System, Metric, Finding, GateResult):
        words |= _field_names(record)
    return frozenset(words | set(keys.PHASES) | set(MEANINGS)) | FURTHER_WORDS


def _field_names(record: type[BaseModel]) -> set[str]:
    names: set[str] = set()
    for name, field in record.model_fields.items():
        names |= {name, field.alias or name}
        for inner in _records_in(field.annotation):
            names |= _field_names(inner)
    return names


def _records_in(annotation: Any) -> list[type[BaseModel]]:
    """Records that an annotation such as `tuple[Process, ...] | None` holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [record for part in get_args(annotation) for record in _records_in(part)]
