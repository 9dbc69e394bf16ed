"""Opens one backend's device and says what is there: `python -P -m oildrop.harness.detect_child BACKEND`.

A process of its own, because a driver or a framework may hang, crash, or keep memory for as long as it lives. The
answer is the last line of standard output: `{"devices": […], "version": …}` or `{"reason": …}`.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import Any

from oildrop.harness.devices.opening import facts_of, open_device, runtime_of
from oildrop.rules.errors import Unsupported


def look(backend: str) -> dict[str, Any]:
    """What the framework sees for `backend`."""
    # JAX would otherwise take three quarters of the memory from whoever is running.
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    try:
        device = open_device(backend)
        return {"devices": [asdict(facts) for facts in facts_of(device)], "version": runtime_of(device)["version"]}
    except Unsupported as error:
        return {"reason": str(error).removeprefix(f"{backend}: ")}
    # Whatever a framework raises here is an answer: the backend cannot be used.
    except Exception as error:
        return {"reason": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(look(sys.argv[1])) + "\n")
    sys.stdout.flush()
    # Exit handlers of frameworks may hang, or write after the answer.
    os._exit(0)
