"""What views hand out: one run under its newest judgement, with what its page draws."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from oildrop.rules.digest import RunDigest
from oildrop.rules.records import Judgement, Metric, RunSpec
from oildrop.rules.system import System


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """One run of a store.

    Attributes:
        system: None when the bundle's system.json could not be read.
        bundle_id: The seal's own hash; None while unsealed.
        elapsed_s: From the supervisor's start of the run to the end of its last phase, seconds; None where no phase is.
    """

    spec: RunSpec
    system: System | None
    judgement: Judgement
    digest: RunDigest
    sealed: bool
    bundle_id: str | None
    elapsed_s: float | None = None

    @property
    def run_id(self) -> str:
        """The run's name, sortable by time."""
        return self.spec.run_id

    @property
    def outcome(self) -> str:
        """How it ended, under the newest judgement."""
        return self.judgement.outcome

    @cached_property
    def headlines(self) -> dict[str, Metric]:
        """Headline metrics (empty dims) by name."""
        return {metric.name: metric for metric in self.judgement.metrics if not metric.dims}


class PackedRun(NamedTuple):
    """A judged run as the index keeps it, and as it travels between processes: records as JSON text."""

    spec_json: str
    system_json: str | None
    judgement_json: str
    digest_json: str
    sealed: bool
    bundle_id: str | None
    elapsed_s: float | None


class StoredRow(RunRow):
    """A row of the index; its digest, by far the largest part, is fetched and parsed when first asked for.

    Args:
        packed: The row; its `digest_json` is not looked at.
        digest_json: Where the digest's text comes from.
    """

    def __init__(self, packed: PackedRun, digest_json: Callable[[str], str]) -> None:
        self.__dict__.update(
            spec=RunSpec.model_validate_json(packed.spec_json),
            system=None if packed.system_json is None else _system(packed.system_json),
            judgement=Judgement.model_validate_json(packed.judgement_json),
            sealed=packed.sealed,
            bundle_id=packed.bundle_id,
            elapsed_s=packed.elapsed_s,
            _digest_json=digest_json,
        )

    @cached_property
    def digest(self) -> RunDigest:
        """What the run's page draws."""
        return RunDigest.model_validate_json(self.__dict__["_digest_json"](self.run_id))


@dataclass(frozen=True)
class KeptDigest:
    """A digest's text that is at hand already."""

    text: str

    def __call__(self, run_id: str) -> str:
        """The text, whatever the run."""
        return self.text


@functools.lru_cache(maxsize=256)
def _system(system_json: str) -> System:
    """Runs of one machine share one record."""
    return System.model_validate_json(system_json)
