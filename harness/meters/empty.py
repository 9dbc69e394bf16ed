"""The meter that measures nothing and says why."""

from __future__ import annotations

from collections.abc import Sequence

from oildrop.harness.meters.interface import MeterInfo, Reading


class EmptyMeter:
    """Stands where a meter would, so that the log holds the reason why there is none."""

    def __init__(self, name: str, reason: str, device: str | None = None) -> None:
        self._info = MeterInfo(name=name, status="not_measured", reason=reason, device=device)

    def info(self) -> MeterInfo:
        """Its name and its reason."""
        return self._info

    def sample(self) -> Sequence[Reading]:
        """Nothing: a missing value is missing, not 0."""
        return ()

    def close(self) -> None:
        """Nothing to let go."""
