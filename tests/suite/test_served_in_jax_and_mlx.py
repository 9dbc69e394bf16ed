"""`lm-generate` from the command line to the judged row in JAX and in MLX, at sizes as small as they go."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

OILDROP = Path(sys.executable).with_name("oildrop")
SMALL = {
    "weights.source": "random",
    "model.layers": 1,
    "model.width": 32,
    "model.heads": 2,
    "model.key_value_heads": 1,
    "model.hidden": 40,
    "execution.slots": 2,
    "execution.prefill_requests": 1,
    "requests.prompt_tokens_max": 12,
    "requests.output_tokens_max": 10,
}


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "scenario"), [("jax-cpu", "single-stream"), ("mlx-cpu", "offline")])
def test_a_served_run_ends_well(tmp_path: Path, backend: str, scenario: str) -> None:
    chosen = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    asked = ("run", "lm-generate", "--backend", backend, "--scenario", scenario, "--division", "open", *chosen)
    done = subprocess.run([OILDROP, *asked, "--json", "--store", tmp_path], capture_output=True, text=True, timeout=110)
    assert done.stdout, done.stderr
    (run,) = json.loads(done.stdout)["runs"]
    assert (run["outcome"], run["reason"]) == ("ok", None)
    found = {metric["name"]: metric["value"] for metric in run["metrics"] if not metric["dims"]}
    # Random weights of one layer say the reference's tokens all the same: ties alone may fall otherwise.
    assert found["greedy_agreement"] > 0.99
    assert found["error_fraction"] == 0
    assert found["output_tokens_per_s"] > found["requests_per_s"] > 0
    assert not [finding for finding in run["findings"] if finding["severity"] in ("broken", "invalid")]
