"""The process that reads prompts for a worker that decodes: started by `prefill.py`, it ends with its worker.

Started by `prefill_listener.py`, its worker is on another machine, and it describes this one.
"""

from __future__ import annotations

import argparse
import mmap
import os
from multiprocessing.connection import Connection
from typing import Any

from oildrop.harness.devices.opening import device_uuids, open_device
from oildrop.harness.ranks.lineage import die_with_parent
from oildrop.rules.errors import Unsupported
from oildrop.workloads.link import Link
from oildrop.workloads.lm_generate.prefill_reader import answer
from oildrop.workloads.lm_generate.serving import unbuilt_generator
from oildrop.workloads.lm_generate.shapes import AHEAD_GROUPS


def main() -> None:
    """Open the device, say which it is, and do what is asked until the worker has gone."""
    die_with_parent()
    parser = argparse.ArgumentParser(prog="oildrop.harness.prefill_process", description="Read prompts for a worker.")
    parser.add_argument("backend")
    parser.add_argument("socket", type=int)
    parser.add_argument("--area", type=int, nargs=2, metavar=("DESCRIPTOR", "BYTES"))
    parser.add_argument("--elsewhere", action="store_true", help="the worker is on another machine")
    orders = parser.parse_args()
    link = Link(Connection(orders.socket), mmap.mmap(*orders.area) if orders.area else None, AHEAD_GROUPS)
    try:
        device = open_device(orders.backend)
    except Unsupported as error:
        link.send("unsupported", {"reason": str(error)})
    else:
        known = described() if orders.elsewhere else {"device_uuids": list(device_uuids(device))}
        link.send("done", {"pid": os.getpid(), **known})
        answer(link, lambda settings: unbuilt_generator(settings, device))
    # Frameworks' own threads and exit handlers may hang or crash after all is said.
    os._exit(0)


def described() -> dict[str, Any]:
    """This machine for a run of another: parts and versions, nothing that names it or its user."""
    from oildrop.harness.system.probe import probe_system

    system = probe_system()
    return {
        "device_uuids": [],  # They are salted where the run is, whose meters do not reach here.
        "elsewhere": True,
        "system": {
            "cpu": system.cpu.model,
            "usable_cores": system.cpu.usable_cores,
            "memory_bytes": system.memory.total_bytes,
            "os": f"{system.os.name} {system.os.release}",
            "accelerators": [part.model for part in system.accelerators],
            "drivers": dict(system.software.drivers),
            "frameworks": dict(system.software.frameworks),
        },
    }


if __name__ == "__main__":
    main()
