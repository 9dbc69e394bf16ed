"""Compiles a training step for a TPU slice: `python -P -m oildrop.harness.compile_child REQUEST`.

A process of its own, because libtpu looks for its chips for minutes, ends the process at times, and takes memory. The
request is JSON as `request_for` writes it; the answer is the last line of standard output: `{"report": …}` or
`{"reason": …}`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oildrop.harness.meters.isolation import Answer, ask_module

if TYPE_CHECKING:
    from oildrop.workloads.partition import Mesh
    from oildrop.workloads.protocols import Settings

MODULE = "oildrop.harness.compile_child"

NO_CHIP_NEEDED = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "JAX_PLATFORMS": "cpu",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
"""What keeps libtpu from asking the cloud's metadata server who it is and from taking the machine's only lock, and JAX
from opening an accelerator that is here."""

CACHE = "JAX_COMPILATION_CACHE_DIR"
"""A cached program would be shown with the time that reading it takes."""


def ask_compiler(
    task: str, settings: Settings, mesh: Mesh, *, topology: str, chip_config: str, limit_s: float
) -> Answer:
    """What `workloads.topology_jax.compiled_step` says, asked in a child; the reason where it gives no answer."""
    request = {
        "task": task,
        "settings": dict(settings),
        "mesh": asdict(mesh),
        "topology": topology,
        "chip_config": chip_config,
    }
    with tempfile.TemporaryDirectory(prefix="oildrop-compile-") as folder:
        answer = ask_module(MODULE, json.dumps({**request, "folder": folder}), limit_s=limit_s)
    said = answer.value
    if answer.reason is not None:
        return answer
    if not isinstance(said, dict) or not ("report" in said or "reason" in said):
        return Answer(reason="the compiler answered something else than was asked")
    return Answer(value=said["report"]) if "report" in said else Answer(reason=str(said["reason"]))


def compiled(request: Mapping[str, Any]) -> dict[str, Any]:
    """The report for `request`, or why there is none."""
    os.environ.update(NO_CHIP_NEEDED)
    os.environ.pop(CACHE, None)
    from oildrop.workloads.partition import Mesh
    from oildrop.workloads.topology_jax import Slice, compiled_step

    place = Slice(topology=request["topology"], chip_config=request["chip_config"])
    try:
        mesh, folder = Mesh(**request["mesh"]), Path(request["folder"])
        return {"report": compiled_step(request["task"], request["settings"], place, mesh, folder)}
    # Whatever the compiler raises here is an answer: it cannot say.
    except Exception as error:
        return {"reason": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(compiled(json.loads(sys.argv[1]))) + "\n")
    sys.stdout.flush()
    # libtpu's exit handlers may hang.
    os._exit(0)
