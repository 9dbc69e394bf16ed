"""Prompts read in one framework and answered in another, from the command line to the judged row."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
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


def command(**execution: str) -> list[str]:
    changes = SMALL | {f"execution.{key}": value for key, value in execution.items()}
    chosen = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
    asked = ["run", "lm-generate", "--backend", "torch-cpu", "--scenario", "single-stream", "--division", "open"]
    return [str(OILDROP), *asked, *chosen, "--json"]


def run(store: Path, environment: dict[str, str] | None = None, **execution: str) -> dict[str, Any]:
    done = subprocess.run(
        [*command(**execution), "--store", store],
        capture_output=True, text=True, timeout=110, env={**os.environ, **(environment or {})},
    )  # fmt: skip
    assert done.stdout, done.stderr
    (row,) = json.loads(done.stdout)["runs"]
    return dict(row)


@contextmanager
def listening(backend: str = "torch-cpu") -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """`oildrop prefill serve` on this machine, and the environment of a run that decodes elsewhere."""
    secret = {"OILDROP_PREFILL_KEY": "the secret of both machines"}
    words = [OILDROP, "prefill", "serve", "--listen", "127.0.0.1:0", "--backend", backend, "--runs", "1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**os.environ, **secret}) as server:
        assert server.stdout is not None
        try:
            yield server, {**secret, "OILDROP_PREFILL": server.stdout.readline().split()[2]}
        finally:
            server.kill()


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


@pytest.mark.slow
def test_prompts_are_read_by_a_process_that_listens_on_another_machine(tmp_path: Path) -> None:
    with listening() as (server, environment):
        row = run(tmp_path, environment, transfer="tcp", prefill_machine="other")
        assert server.wait(30) == 0
    assert (row["outcome"], row["reason"]) == ("ok", None)
    found = {metric["name"]: metric for metric in row["metrics"] if not metric["dims"]}
    assert found["greedy_agreement"]["value"] > 0.99
    assert found["transfer_bytes"]["value"] == 2 * 9 * 16 * 4
    assert found["transfer_s"]["uncertainty"] > 0
    assert "on another machine" in found["energy_j"]["reason"]
    folder = tmp_path / "runs" / row["run_id"]
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    told = next(event["meta"] for event in events if event["value"] == "prefill" and event["key"] == "process")
    assert (told["role"], told["node"]) == ("prefill", 1)
    assert told["system"]["frameworks"]["torch"]
    # Both processes are on one machine, whose clock is 0 ahead of itself.
    assert abs(told["clock_ahead_ns"]) <= told["clock_bound_ns"]
    kept = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    assert environment["OILDROP_PREFILL"].encode() not in kept
    assert environment["OILDROP_PREFILL_KEY"].encode() not in kept


@pytest.mark.slow
def test_a_way_that_is_cut_ends_the_run_and_leaves_its_requests(tmp_path: Path) -> None:
    with listening() as (server, environment):
        words = [*command(transfer="tcp", prefill_machine="other"), "--store", str(tmp_path)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}) as running:
            until = time.monotonic() + 80
            while not any('"run_start"' in log.read_text() for log in tmp_path.glob("runs/*/events.jsonl")):
                assert time.monotonic() < until and running.poll() is None
                time.sleep(0.2)
            time.sleep(1)
            for child in psutil.Process(server.pid).children(recursive=True):
                child.kill()
            told, _ = running.communicate(timeout=30)
    (row,) = json.loads(told)["runs"]
    assert row["outcome"] == "crash"
    assert "or the way is cut" in row["reason"]
    answered = next(metric for metric in row["metrics"] if metric["name"] == "requests_per_s" and not metric["dims"])
    assert answered["value"] > 0


@pytest.mark.slow
def test_nobody_who_listens_is_a_run_that_cannot_be_made_here(tmp_path: Path) -> None:
    with listening() as (server, environment):
        server.kill()
        server.wait()
        row = run(tmp_path, environment, transfer="tcp", prefill_machine="other")
    assert row["outcome"] == "unsupported"
    assert "start `oildrop prefill serve` there" in row["reason"]
