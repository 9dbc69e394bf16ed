"""A meter that plays back a recorded trace: the twin of every other one in tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from oildrop.harness.meters.interface import MeterError, MeterInfo, Reading
from oildrop.results.bundle.telemetry import TelemetryRow


class ReplayMeter:
    """Gives one recorded frame a call; a frame that is a text is a failure with that reason."""

    def __init__(self, info: MeterInfo, frames: Iterable[Sequence[Reading] | str]) -> None:
        self._info = info
        self._frames = iter(frames)
        self.closed = False

    @classmethod
    def of_rows(cls, info: MeterInfo, rows: Iterable[TelemetryRow]) -> ReplayMeter:
        """Play back telemetry: rows of one instant, which must follow each other, make one frame."""
        own = (row for row in rows if row.meter == info.name)
        return cls(info, [tuple(_reading(row) for row in frame) for _, frame in groupby(own, lambda row: row.t_ns)])

    def info(self) -> MeterInfo:
        """As given."""
        return self._info

    def sample(self) -> Sequence[Reading]:
        """The next frame. Raises MeterError for a recorded failure and after the last frame."""
        frame = next(self._frames, "the recorded trace has ended")
        if isinstance(frame, str):
            raise MeterError(frame)
        return frame

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True


def _reading(row: TelemetryRow) -> Reading:
    return Reading(row.quantity, row.device, row.scope, row.value)
