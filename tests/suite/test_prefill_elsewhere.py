"""Prompts read in one framework and answered in another, from the command line to the judged row."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

OILDROP = Path(sys.executable).with_name("oildrop")
SMALL = {
    "weights.source": "random",
    "model.layers": 1,
    "model.width": 32,
    "model.heads": 2,
    "model.key_value_heads": 1,
    "model.hidden": 40,
    "requests.prompt_tokens_min": 9,
    "requests.prompt_tokens_max": 9,
    "requests.output_tokens_max": 10,
    "execution.threads": 1,
}


def run(store: Path, **execution: str) -> dict[str, Any]:
    changes = SMALL | {f"execution.{key}": value for key, value in execution.items()}
    chosen = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
    asked = (
        "run",
        "lm-generate",
        "--backend",
        "torch-cpu",
        "--scenario",
        "single-stream",
        "--division",
        "open",
        *chosen,
    )
    done = subprocess.run([OILDROP, *asked, "--json", "--store", store], capture_output=True, text=True, timeout=110)
    assert done.stdout, done.stderr
    (row,) = json.loads(done.stdout)["runs"]
    return dict(row)


@pytest.mark.slow
def test_a_pair_of_frameworks_is_measured_as_one_system(tmp_path: Path) -> None:
    # MLX takes no number of threads but its own, so the pair shares the setting that both take.
    row = run(tmp_path, transfer="shared-memory", prefill_backend="mlx-cpu", threads="0")
    assert (row["outcome"], row["reason"]) == ("ok", None)
    assert not [finding for finding in row["findings"] if finding["severity"] in ("broken", "invalid")]
    found = {metric["name"]: metric["value"] for metric in row["metrics"] if not metric["dims"]}
    assert found["greedy_agreement"] > 0.99
    # Keys and values of 9 tokens, 16 elements of 4 bytes each, in the only layer.
    assert found["transfer_bytes"] == 2 * 9 * 16 * 4
    assert 0 < found["transfer_s"] < found["ttft_s_p99"]
    log = (tmp_path / "runs" / row["run_id"] / "events.jsonl").read_text().splitlines()
    told = [event for event in map(json.loads, log) if event["key"] == "process"]
    assert [(event["value"], event["meta"]["role"]) for event in told] == [
        ("prefill", "prefill"),
        ("worker-0", "worker"),
    ]
    assert told[0]["meta"]["pid"] != told[1]["meta"]["pid"]


@pytest.mark.slow
def test_a_device_that_is_not_here_makes_the_run_unsupported(tmp_path: Path) -> None:
    row = run(tmp_path, transfer="tcp", prefill_backend="mlx-metal")
    assert row["outcome"] == "unsupported"
    assert row["reason"].startswith("prefill: mlx-metal")
