"""The supervisor's two looks at the host around a run: its state, and how fast the canary is."""

from __future__ import annotations

from oildrop.harness.canary import UsualCanary, read_host
from oildrop.harness.host_state import host_state
from oildrop.harness.recorder import Recorder
from oildrop.harness.system.cpu import usable_cores
from oildrop.harness.system.source import this_host
from oildrop.results.layout import StoreLayout
from oildrop.rules import keys


class HostLooks:
    """Logs what the host is like before a run's worker is started, and after it has ended.

    Args:
        system_id: The machine's; what is usual of its canary is kept under it.
        with_canary: Whether it is timed: a run that cannot start needs none, and one beside another would disturb it.
    """

    def __init__(self, layout: StoreLayout, system_id: str, recorder: Recorder, *, with_canary: bool) -> None:
        self._layout = layout
        self._recorder = recorder
        self._usual = UsualCanary(layout.canary, system_id)
        self._with_canary = with_canary

    def before(self) -> None:
        """The state first: the canary would add to the load that it tells."""
        self._recorder.record(keys.HOST_STATE, "before", host_state(self._layout.root))
        self._time_canary("before")

    def after(self) -> None:
        """The canary first, while the machine is as warm as the run has left it."""
        self._time_canary("after")
        self._recorder.record(keys.HOST_STATE, "after", host_state(self._layout.root))

    def _time_canary(self, when: str) -> None:
        if not self._with_canary:
            return
        canary = read_host(usable_cores(this_host()))
        canary.log(self._recorder.record, when, **self._usual.of(canary))
        if when == "before":
            self._usual.note(canary)
