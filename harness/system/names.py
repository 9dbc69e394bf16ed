"""The redactor of this machine: who is logged in here, what it is called, where home is."""

from __future__ import annotations

import getpass
import os
import platform
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from oildrop.rules import keys
from oildrop.rules.outcomes import MEANINGS
from oildrop.rules.records import Finding, GateResult, Metric, RunSpec
from oildrop.rules.redaction import Redactor
from oildrop.rules.system import System

FURTHER_WORDS = ("torch", "jax", "mlx", "cuda", "rocm", "none", "docker", "linux", "worker", "supervisor", "process")


def local_redactor(*extra: str) -> Redactor:
    """A redactor for this user and host; `extra` are more texts to take out, such as the store's secret."""
    return Redactor(
        user=_user(), host=platform.node(), home=str(Path.home()), extra=extra, vocabulary=record_vocabulary()
    )


def record_vocabulary() -> frozenset[str]:
    """Names of fields, events, phases and outcomes: a user called `seed` must not make a record unreadable."""
    words = {value for name, value in vars(keys).items() if name.isupper() and isinstance(value, str)}
    for record in (RunSpec, System, Metric, Finding, GateResult):
        words |= _field_names(record)
    return frozenset(words | set(keys.PHASES) | set(MEANINGS) | set(FURTHER_WORDS))


def _field_names(record: type[BaseModel]) -> set[str]:
    names: set[str] = set()
    for name, field in record.model_fields.items():
        names |= {name, field.alias or name}
        for inner in _records_in(field.annotation):
            names |= _field_names(inner)
    return names


def _records_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [record for part in get_args(annotation) for record in _records_in(part)]


def _user() -> str:
    """Login name; a container's user may have none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid-{os.getuid()}"
