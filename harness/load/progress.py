"""How a load generator tells that it lives."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Counts for the heartbeat.

    Attributes:
        progress: Rises with every step that brought something, and while nothing is there to do.
        answered: Requests whose answers are complete; None before the first.
    """

    progress: int
    answered: int | None
