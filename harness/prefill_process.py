"""The process that reads prompts for a worker that decodes: started by `prefill.py`, it ends with its worker."""

from __future__ import annotations

import argparse
import mmap
import os
from multiprocessing.connection import Connection

from oildrop.harness.devices.opening import device_uuids, open_device
from oildrop.harness.ranks.lineage import die_with_parent
from oildrop.rules.errors import Unsupported
from oildrop.workloads.link import Link
from oildrop.workloads.lm_generate.disaggregated import answer
from oildrop.workloads.lm_generate.serving import unbuilt_generator


def main() -> None:
    """Open the device, say which it is, and do what is asked until the worker has gone."""
    die_with_parent()
    parser = argparse.ArgumentParser(prog="oildrop.harness.prefill_process", description="Read prompts for a worker.")
    parser.add_argument("backend")
    parser.add_argument("socket", type=int)
    parser.add_argument("--area", type=int, nargs=2, metavar=("DESCRIPTOR", "BYTES"))
    orders = parser.parse_args()
    link = Link(connection=Connection(orders.socket), area=mmap.mmap(*orders.area) if orders.area else None)
    try:
        device = open_device(orders.backend)
    except Unsupported as error:
        link.say("unsupported", str(error))
    else:
        link.say("done", {"pid": os.getpid(), "device_uuids": list(device_uuids(device))})
        answer(link, lambda settings: unbuilt_generator(settings, device))
    # Frameworks' own threads and exit handlers may hang or crash after all is said.
    os._exit(0)


if __name__ == "__main__":
    main()
