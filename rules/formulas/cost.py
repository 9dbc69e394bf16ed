"""What runs cost and emit: pure arithmetic on times, rates, energy and prices, in the currency of the price.

An attempt is paid for as long as it held the machine, set-up included, however it ended. So a failure costs what it
took, and what succeeded must bear it: `cost_to_target/1` is the cost of all attempts over the successes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

HOURS_A_YEAR = 8766.0
"""365.25 days."""

JOULES_A_KWH = 3.6e6

MILLION = 1e6


def purchase_per_hour(amount: float, years: float, utilization: float) -> float:
    """What an hour of use costs of hardware bought for `amount`, used a share of the time, worth nothing after."""
    return amount / (years * HOURS_A_YEAR * utilization)


def cost_of_time(per_hour: float, time_s: float) -> float:
    """Cost of `time_s` seconds (formula cost_run/1)."""
    return per_hour * time_s / 3600


def cost_per_million(per_hour: float, rate_per_s: float) -> float:
    """Cost of a million tokens (or requests) at a steady rate a second (formula cost_per_million/1).

    Raises:
        ValueError: A rate that is not above 0.
    """
    if not rate_per_s > 0:
        raise ValueError(f"rate {rate_per_s!r}: needs a number above 0")
    return per_hour / 3600 * MILLION / rate_per_s


def share_of_failures(ok_s: Sequence[float], all_s: Sequence[float]) -> float:
    """Time of all attempts over that of those that succeeded, 1 or more: what success costs more for the failures.

    Raises:
        ValueError: No time of a success.
    """
    if not math.fsum(ok_s) > 0:
        raise ValueError("no success took any time")
    return math.fsum(all_s) / math.fsum(ok_s)


def electricity_cost(energy_j: float, per_kwh: float) -> float:
    """Cost of `energy_j` joules (formula electricity/1)."""
    return energy_j / JOULES_A_KWH * per_kwh


def carbon_g(energy_j: float, g_per_kwh: float) -> float:
    """Grams of CO2 equivalent of `energy_j` joules (formula carbon/1)."""
    return energy_j / JOULES_A_KWH * g_per_kwh
