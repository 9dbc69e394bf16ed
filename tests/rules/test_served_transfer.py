"""Caches that were sent to the decoder: means by hand, or why there are none."""

from __future__ import annotations

from typing import Any

import pytest

from oildrop.rules import keys
from oildrop.rules.judge import judge
from oildrop.rules.records import Metric


def transfers_of(run: Any) -> dict[str, Metric]:
    metrics = judge(run.evidence(), run.rulebook).metrics
    return {metric.name: metric for metric in metrics if metric.name.startswith("transfer_")}


def split(run: Any) -> None:
    run.spec = run.spec.model_copy(update={"settings": {**run.spec.settings, "execution.transfer": "tcp"}})


def test_both_are_means_over_the_caches_sent(served_run: Any) -> None:
    split(served_run)
    served_run.find(keys.SERVED)["meta"].update(transfer_count=8, transfer_ns=4_000_000, transfer_bytes=1000)
    found = transfers_of(served_run)
    assert found["transfer_s"].value == pytest.approx(0.0005)
    assert found["transfer_bytes"].value == 125
    assert {metric.sample_count for metric in found.values()} == {8}


def test_one_process_has_nothing_to_send(served_run: Any) -> None:
    found = transfers_of(served_run)
    assert {(metric.value, metric.status) for metric in found.values()} == {(None, "not_applicable")}


def test_a_pair_that_sent_nothing_is_not_said_to_have_sent_it_in_no_time(served_run: Any) -> None:
    split(served_run)
    served_run.find(keys.SERVED)["meta"].update(transfer_count=0, transfer_ns=0, transfer_bytes=0)
    found = transfers_of(served_run)
    assert {(metric.value, metric.status) for metric in found.values()} == {(None, "not_measured")}


def test_the_process_that_reads_prompts_is_no_rank(served_run: Any) -> None:
    served_run.add(keys.PROCESS, 0.1, "worker-0", role="worker")
    served_run.add(keys.PROCESS, 0.1, "prefill", role="prefill")
    findings = judge(served_run.evidence(), served_run.rulebook).findings
    assert not [finding for finding in findings if "prefill" in finding.message]


def test_two_clocks_leave_the_time_of_a_transfer_as_uncertain_as_they_are(served_run: Any) -> None:
    split(served_run)
    served_run.add(keys.PROCESS, 0.1, "prefill", role="prefill", node=1, clock_ahead_ns=5, clock_bound_ns=95_000)
    served_run.find(keys.SERVED)["meta"].update(transfer_count=8, transfer_ns=4_000_000, transfer_bytes=1000)
    found = transfers_of(served_run)
    assert found["transfer_s"].uncertainty == pytest.approx(95e-6)
    assert found["transfer_bytes"].uncertainty is None


def test_what_was_read_on_another_machine_has_no_energy_and_no_devices_here(served_run: Any) -> None:
    settings = {**served_run.spec.settings, "execution.transfer": "tcp", "execution.prefill_machine": "other"}
    served_run.spec = served_run.spec.model_copy(update={"settings": settings})
    found = {metric.name: metric for metric in judge(served_run.evidence(), served_run.rulebook).metrics}
    for name in ("energy_j", "mfu", "output_tokens_per_s_per_device"):
        assert found[name].value is None and "another machine" in str(found[name].reason)
