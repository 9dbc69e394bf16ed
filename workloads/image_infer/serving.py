"""`image-infer` as a served task."""

from __future__ import annotations

from oildrop.workloads.image_infer.subject import ImageInfer
from oildrop.workloads.one_pass import OnePass, one_pass
from oildrop.workloads.protocols import Device, Settings


def make_task(settings: Settings, device: Device) -> OnePass:
    """The task on `device`, in its framework."""
    return one_pass("image_infer", settings, device, ImageInfer)
