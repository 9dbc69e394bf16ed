"""What a search for the highest rate has found, in one sentence."""

from __future__ import annotations

from collections.abc import Iterable


def search_sentence(tried: Iterable[tuple[float, str]]) -> str:
    """What is known of the highest rate that holds a scenario's bounds.

    Runs that ended neither `ok` nor `target_missed` say nothing about a rate. Where a lower rate missed and a higher
    one held, the lower one counts.

    Args:
        tried: Rate in queries a second, and outcome, of every run of the search.
    """
    ends = list(tried)
    missed = sorted(rate for rate, outcome in ends if outcome == "target_missed")
    held = [rate for rate, outcome in ends if outcome == "ok" and (not missed or rate < missed[0])]
    if held and missed:
        return f"The highest rate that holds the bounds lies between {max(held):g} and {missed[0]:g} queries a second."
    if held:
        return (
            f"The highest rate that holds the bounds was not found: {max(held):g} queries a second held, and no rate "
            "that was tried missed."
        )
    if missed:
        return f"No rate was found that holds the bounds: {missed[0]:g} queries a second, the lowest that told, missed."
    return "The highest rate was not found: no run told whether its rate holds the bounds."
