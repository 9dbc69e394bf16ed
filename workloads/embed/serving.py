"""`embed` as a served task."""

from __future__ import annotations

from oildrop.workloads.embed.subject import Embed
from oildrop.workloads.one_pass import OnePass, one_pass
from oildrop.workloads.protocols import Device, Settings


def make_task(settings: Settings, device: Device) -> OnePass:
    """The task on `device`, in its framework."""
    return one_pass("embed", settings, device, Embed)
