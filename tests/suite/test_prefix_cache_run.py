"""A prefix cache from the command line to the judged row: hits are counted, answers agree, the sentence says so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

OILDROP = Path(sys.executable).with_name("oildrop")
CHOSEN = {
    "weights.source": "random",
    "model.layers": 1,
    "model.width": 32,
    "model.heads": 2,
    "model.key_value_heads": 1,
    "model.hidden": 40,
    "execution.threads": 1,
    "execution.prefix_cache": "on",
    "requests.shared_prefix_tokens": 16,
    "requests.output_tokens_max": 10,
}


@pytest.mark.slow
def test_a_run_with_a_prefix_cache_ends_well_and_says_what_it_found(tmp_path: Path) -> None:
    chosen = [word for key, value in CHOSEN.items() for word in ("--set", f"{key}={value}")]
    asked = ("run", "lm-generate", "--backend", "torch-cpu", "--division", "open", *chosen)
    done = subprocess.run([OILDROP, *asked, "--json", "--store", tmp_path], capture_output=True, text=True, timeout=200)
    assert done.stdout, done.stderr
    document = json.loads(done.stdout)
    (run,), (summary,) = document["runs"], document["summary"]
    assert (run["outcome"], run["reason"]) == ("ok", None)
    assert summary["track"] == "prefix cache, 16 shared tokens"
    found = {metric["name"]: metric for metric in run["metrics"] if not metric["dims"]}
    assert found["greedy_agreement"]["value"] > 0.99
    # Prompts of 24 to 32 tokens, 28 in the mean; all but the first of each of eight families find 16 of them.
    assert 0.5 < found["prefix_cache_hit_rate"]["value"] < 0.58
    assert found["prefill_tokens_per_s"]["formula"] == "uncached_prefill_rate/1"
    assert found["mfu"]["value"] is None
    assert not {finding["rule"] for finding in run["findings"]} & {"R048", "R049", "R051"}
