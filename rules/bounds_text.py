"""The bounds of a scenario in words, the same wherever they are shown."""

from __future__ import annotations

from oildrop.rules.rulebook_parts import Bounds


def bounds_text(bounds: Bounds) -> str:
    """`2,000 ms to the first token, 50 ms a token` or `35 ms for the whole answer`; empty without a bound."""
    limits = (
        (bounds.ttft_s, "to the first token"), (bounds.tpot_s, "a token"), (bounds.latency_s, "for the whole answer"),
    )  # fmt: skip
    return ", ".join(f"{1e3 * limit:,.10g} ms {what}" for limit, what in limits if limit is not None)
