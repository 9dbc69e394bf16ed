"""What is run together under one name."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """One benchmark of a suite, and of a served one how its requests arrive; None leaves that to the rulebook."""

    benchmark: str
    scenario: str | None = None

    def __str__(self) -> str:
        return self.benchmark if self.scenario is None else f"{self.benchmark} {self.scenario}"


SUITES: dict[str, tuple[Entry, ...]] = {
    "default": (
        Entry("lm-pretrain"),
        Entry("image-classify"),
        Entry("lm-generate", "single-stream"),
        Entry("lm-generate", "offline"),
        Entry("lm-generate", "server"),
    ),
}
