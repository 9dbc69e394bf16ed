"""The process that runs one workload, or one rank of it: `python -P -m oildrop.harness.worker RUN_DIR CHANNEL ...`.

It reads `spec.json`, drives the task through its phases and tells the supervisor over the channel. The
supervisor alone writes the event log; of the bundle rank 0 writes only `samples/`, the others nothing.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

from oildrop.harness.devices.opening import is_out_of_memory
from oildrop.harness.endpoint.environment import BACKEND as ENDPOINT
from oildrop.harness.messages import Emitter, Heartbeat, open_channel
from oildrop.harness.orders import Orders, parse_orders
from oildrop.harness.phases import End, GateFailed
from oildrop.harness.ranks.lineage import die_with_parent
from oildrop.rules import keys
from oildrop.rules.errors import Unsupported, UsageError
from oildrop.rules.records import RunSpec
from oildrop.workloads.kept_weights import DamagedCheckpoint

OWN_WORDS = frozenset(
    (
        keys.HEARTBEAT,
        keys.PROCESS,
        keys.BENCHMARK_SHA256,
        keys.GATE,
        keys.WEIGHTS_SHA256,
        keys.BATCH_SHA256,
        keys.OUTCOME,
    )
)
"""What ranks beside the first say: their own state. Marks of time are rank 0's."""

Run = Callable[[RunSpec, Orders, Emitter, Heartbeat], End]


def main() -> None:
    """Run the job named on the command line and hand the outcome to the supervisor."""
    die_with_parent()
    orders = parse_orders()
    emitter = Emitter(open_channel(orders.channel, orders.rank), only=OWN_WORDS if orders.rank else None)
    heartbeat = Heartbeat(emitter)
    heartbeat.start()
    spec = RunSpec.model_validate_json((orders.run_dir / "spec.json").read_bytes())
    claim, reason = _attempt(spec, orders, emitter, heartbeat)
    emitter.emit(keys.OUTCOME, claim, {"reason": reason})
    heartbeat.stop()
    emitter.flush()
    sys.stdout.flush()
    # Frameworks' own threads and exit handlers may hang or crash after all is said.
    os._exit(0)


def _attempt(spec: RunSpec, orders: Orders, emitter: Emitter, heartbeat: Heartbeat) -> tuple[str, str | None]:
    """Outcome to claim, and its reason in one line; the traceback goes to output.log.

    Settings that a task refuses before the clock starts cannot run anywhere; refused later they are a mistake of ours.
    """
    try:
        end = _run_of(spec)(spec, orders, emitter, heartbeat)
    except Unsupported as error:
        return "unsupported", str(error)
    except (GateFailed, DamagedCheckpoint) as error:
        return "invalid", str(error)
    except Exception as error:
        traceback.print_exc()
        if isinstance(error, UsageError) and not emitter.clock_started:
            return "unsupported", str(error)
        if is_out_of_memory(error, spec.backend):
            return "oom", _one_line(error)
        return "crash", _one_line(error)
    return end.claim, end.reason


def _run_of(spec: RunSpec) -> Run:
    """What drives this run; imported only where it is wanted.

    A model is asked of a server elsewhere, or served here where the spec names a scenario; or the machine's ceilings
    are measured; or else a model is trained.
    """
    if spec.backend == ENDPOINT:
        from oildrop.harness.endpoint.run import run_endpoint

        return run_endpoint
    if spec.scenario is not None:
        from oildrop.harness.serving import run_serving

        return run_serving
    if spec.kind == "calibrate":
        from oildrop.harness.ceilings import run_calibration

        return run_calibration
    from oildrop.harness.training import run_training

    return run_training


def _one_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else ''}"[:500]


if __name__ == "__main__":
    main()
