"""What a metric's name means: the record behind each line of the catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class MetricMeaning:
    """One metric's name in words.

    Attributes:
        label: Column heading for people, with the unit as shown.
        text: What it means and where its window begins and ends.
        better: Which way is better; None where neither is.
        kinds: The kinds of run that list it, with a value or a reason.
    """

    label: str
    unit: str
    text: str
    better: Literal["lower", "higher"] | None
    kinds: tuple[str, ...]


TRAIN = ("to_target", "fixed_work")
SERVE = ("serve", "probe")
CALIBRATE = ("calibrate",)
EVERY = (*TRAIN, *SERVE)
