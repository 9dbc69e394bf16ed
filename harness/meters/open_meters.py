"""Choose the meters of a backend. Every one that was tried is among them, if only to say why it is silent."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from oildrop.harness.endpoint.environment import BACKEND as ENDPOINT
from oildrop.harness.meters import amd, tpu
from oildrop.harness.meters.apple import open_apple
from oildrop.harness.meters.empty import EmptyMeter
from oildrop.harness.meters.interface import Meter, MeterError
from oildrop.harness.meters.isolation import Answer
from oildrop.harness.meters.nvidia import NvidiaMeter, describe_in_child, driver_present, load_library
from oildrop.harness.meters.process import ProcessMeter
from oildrop.harness.meters.rapl import open_rapl
from oildrop.harness.meters.redfish import open_redfish
from oildrop.harness.meters.replay_file import open_replays
from oildrop.harness.meters.wall import open_wall
from oildrop.harness.system.device_ids import salted_id

ENERGY_METERS = ("rapl", "nvidia", "amd", "apple", "tpu", "wall", "redfish", "replay")
"""Meters that would measure energy or power."""

ELSEWHERE = "the server's power is not measured from here, and this machine's is that of the load alone"

NO_DRIVER = "no NVIDIA driver left a trace in /dev or /proc; install it, or give the container access to the device"
NO_TPU = f"{tpu.NO_ENERGY}; no TPU is visible in /dev: give the container access to it"


def open_meters(
    backend: str,
    worker_pid: int,
    *,
    device_uuids: Sequence[str] | None = None,
    salt: str = "",
    root: Path = Path("/"),
    describe: Callable[[], Answer] = describe_in_child,
    load: Callable[[], Any] = load_library,
    environment: Mapping[str, str] = os.environ,
) -> list[Meter]:
    """The meters of a run on `backend`, the process meter first.

    Args:
        device_uuids: The devices that the worker drives, by UUID; None takes all of the vendor's.
        salt: The store's secret under the device ids.
        describe: Asks NVIDIA's library in a child, before `load` imports it here.
        environment: Names outside meters and management controllers.
    """
    if backend == ENDPOINT:
        return [ProcessMeter(worker_pid), EmptyMeter("energy", ELSEWHERE)]
    platform = backend.rpartition("-")[2]
    meters: list[Meter] = [ProcessMeter(worker_pid), *open_rapl(root)]
    if platform == "cuda":
        meters += open_nvidia(device_uuids, salt, root=root, describe=describe, load=load)
    elif platform == "rocm":
        meters += open_amd(device_uuids, salt, root=root)
    elif platform == "tpu":
        meters += tpu.open_tpu() if tpu.driver_present(root) else [EmptyMeter("tpu", NO_TPU)]
    elif platform in ("mps", "metal"):
        meters += open_apple()
    meters += [*open_wall(environment), *open_redfish(environment), *open_replays(environment)]
    return [*meters, *_energy_gap(meters)]


def open_energy_meters(backend: str, salt: str) -> list[Meter]:
    """The meters of energy and power that answer, of all devices: before a run nobody knows which it will take.

    None for a server elsewhere, and none for TPUs: they have no energy interface, and asking takes seconds.
    """
    if backend == ENDPOINT:
        return []
    meters = open_meters("" if backend.endswith("-tpu") else backend, os.getpid(), salt=salt)
    answering = [meter for meter in meters if measures_energy(meter)]
    for meter in meters:
        if meter not in answering:
            meter.close()
    return answering


def open_amd(
    device_uuids: Sequence[str] | None,
    salt: str,
    *,
    root: Path,
    describe: Callable[[], Answer] = amd.describe_in_child,
    load: Callable[[], Any] = amd.load_library,
) -> list[Meter]:
    """A meter a device, or an empty one with the reason."""
    if not amd.driver_present(root):
        return [EmptyMeter("amd", amd.NO_DRIVER)]
    answer = describe()
    if answer.reason is not None:
        return [EmptyMeter("amd", answer.reason)]
    devices = amd.chosen(answer.value["devices"], device_uuids)
    if isinstance(devices, str) or not devices:
        return [EmptyMeter("amd", devices if isinstance(devices, str) else "the driver shows no device")]
    return [_open_amd_device(load, device, salt) for device in devices]


def _open_amd_device(load: Callable[[], Any], device: Mapping[str, Any], salt: str) -> Meter:
    device_id = salted_id(salt, device["serial"] or device["address"])
    try:
        return amd.AmdMeter(load(), device["address"], device_id)
    except MeterError as error:
        return EmptyMeter("amd", str(error), device=device_id)


def open_nvidia(
    device_uuids: Sequence[str] | None,
    salt: str,
    *,
    root: Path,
    describe: Callable[[], Answer],
    load: Callable[[], Any],
) -> list[Meter]:
    """A meter a device, or an empty one with the reason."""
    if not driver_present(root):
        return [EmptyMeter("nvidia", NO_DRIVER)]
    answer = describe()
    if answer.reason is not None:
        return [EmptyMeter("nvidia", answer.reason)]
    uuids = [device["uuid"] for device in answer.value["devices"]]
    if device_uuids is not None:
        uuids = [_full_uuid(uuid) for uuid in device_uuids]
    if not uuids:
        return [EmptyMeter("nvidia", "the driver shows no device")]
    return [_open_device(load, uuid, salted_id(salt, uuid)) for uuid in uuids]


def _open_device(load: Callable[[], Any], uuid: str, device_id: str) -> Meter:
    try:
        return NvidiaMeter(load(), uuid, device_id)
    except MeterError as error:
        return EmptyMeter("nvidia", str(error), device=device_id)


def _full_uuid(uuid: str) -> str:
    """Frameworks leave out the prefix that NVML asks for."""
    return uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"


def _energy_gap(meters: Sequence[Meter]) -> list[Meter]:
    """An empty energy meter with everybody's reasons, when nobody measures energy or power."""
    if any(measures_energy(meter) for meter in meters):
        return []
    tried = [info for info in (meter.info() for meter in meters) if info.name in ENERGY_METERS]
    reasons = [f"{info.name}: {info.reason or 'neither energy nor power is offered'}" for info in tried]
    return [EmptyMeter("energy", "; ".join(reasons))]


def measures_energy(meter: Meter) -> bool:
    """Whether it answers and reads energy or power."""
    info = meter.info()
    return info.status != "not_measured" and info.name in ENERGY_METERS and getattr(meter, "measures_energy", True)
