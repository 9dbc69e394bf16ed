"""The run's clock against clocks that are set and machines that sleep."""

from __future__ import annotations

from datetime import datetime

from oildrop.harness.clock import ClockBreak, RunClock, iso_utc

SECOND = 1_000_000_000


class FakeClock:
    """Three clocks that a test moves by hand."""

    def __init__(self) -> None:
        self.monotonic = 5 * SECOND
        self.boottime = 7 * SECOND
        self.wall = 1_000 * SECOND

    def pass_time(self, seconds: float) -> None:
        self.monotonic += round(seconds * SECOND)
        self.boottime += round(seconds * SECOND)
        self.wall += round(seconds * SECOND)

    def monotonic_ns(self) -> int:
        return self.monotonic

    def boottime_ns(self) -> int:
        return self.boottime

    def wall_ns(self) -> int:
        return self.wall


def test_a_quiet_clock_reports_nothing() -> None:
    fake = FakeClock()
    clock = RunClock(fake)
    fake.pass_time(3.5)
    assert clock.now_ns() == 3_500_000_000
    assert clock.breaks() == []


def test_a_slewed_clock_is_left_alone() -> None:
    fake = FakeClock()
    clock = RunClock(fake)
    fake.wall -= 400_000_000
    assert clock.breaks() == []


def test_setting_the_wall_clock_is_reported_once_and_does_not_move_the_run() -> None:
    fake = FakeClock()
    clock = RunClock(fake)
    fake.pass_time(1)
    fake.wall -= 3600 * SECOND
    assert clock.breaks() == [ClockBreak(kind="set_back", by_s=3600.0)]
    assert clock.breaks() == []
    assert clock.now_ns() == SECOND
    fake.wall += 10 * SECOND
    assert clock.breaks() == [ClockBreak(kind="set_forward", by_s=10.0)]


def test_a_suspend_is_seen_between_boot_time_and_monotonic() -> None:
    fake = FakeClock()
    clock = RunClock(fake)
    fake.boottime += 30 * SECOND
    fake.wall += 30 * SECOND
    assert clock.breaks() == [ClockBreak(kind="suspend", by_s=30.0)]
    assert clock.breaks() == []


def test_utc_of_an_earlier_instant() -> None:
    fake = FakeClock()
    clock = RunClock(fake)
    fake.pass_time(10)
    assert clock.utc(4 * SECOND) == iso_utc(1_004 * SECOND)
    parsed = datetime.fromisoformat(iso_utc(1_004 * SECOND + 123_456_789))
    assert (parsed.timestamp(), parsed.microsecond) == (1004.123456, 123456)
