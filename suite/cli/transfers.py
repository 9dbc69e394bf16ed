"""What `oildrop compare` adds where prompts are read in a process of their own: what sending their caches takes."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

from oildrop.rules.records import Record

if TYPE_CHECKING:
    from oildrop.rules.comparison import Side

NAMES = ("transfer_bytes", "transfer_s", "ttft_s")


class Transfer(Record):
    """Means over a side's successful runs, each of which gives its own mean.

    Attributes:
        transfer_s: From the cache on the sender's host to the cache in the decoder's device, seconds a prompt.
        ttft_s: Time to first token, of which `transfer_s` is a part.
    """

    label: str
    runs: int
    transfer_bytes: float
    transfer_s: float
    ttft_s: float


def transfer_of(side: Side) -> Transfer | None:
    """What `side` sends a prompt; None where no successful run sent anything."""
    found = [[run.values.get(name) for name in NAMES] for run in side.counted() if run.outcome == "ok"]
    sent = [[value for value in values if value is not None] for values in found]
    whole = [values for values in sent if len(values) == len(NAMES)]
    if not whole:
        return None
    means = dict(zip(NAMES, (fmean(column) for column in zip(*whole, strict=True)), strict=True))
    return Transfer(label=side.label, runs=len(whole), **means)


def transfer_sentence(transfer: Transfer) -> str:
    """Size and time of a prompt's cache on its way, and the share of the time to first token that this is."""
    from oildrop.suite.cli.numbers import show_value

    size, time = show_value(transfer.transfer_bytes, "bytes"), show_value(transfer.transfer_s, "s")
    share = show_value(transfer.transfer_s / transfer.ttft_s, "1")
    runs = "1 run" if transfer.runs == 1 else f"{transfer.runs} runs"
    return (
        f"{transfer.label} sends a prompt's cache of {size} to the process that decodes in {time}, which is {share} of "
        f"its mean time to first token, {show_value(transfer.ttft_s, 's')} (means of {runs})."
    )
