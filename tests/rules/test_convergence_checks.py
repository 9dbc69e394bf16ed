"""R027 and R031 on whole runs: what is compared, with what, and what the finding says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from oildrop.rules import keys
from oildrop.rules.judge import judge
from oildrop.rules.records import Finding
from oildrop.rules.reference_points import SINGLE_ALPHA


def findings(run: Any, *rules: str) -> list[Finding]:
    return [finding for finding in judge(run.evidence(), run.rulebook).findings if finding.rule in rules]


def with_batch(run: Any, batch: int, **changes: Any) -> Any:
    settings = {**run.spec.settings, "data.documents_per_batch": batch, **changes}
    run.spec = run.spec.model_copy(update={"settings": settings, "division": "open"})
    return run


def cross_at(run: Any, samples: float) -> None:
    """Put the crossing of 0.5 between 30 and 40 samples at `samples` by moving the quality after 30."""
    share = (samples - 30) / 10
    quality = (0.5 - 0.4 * share) / (1 - share)
    run.find(keys.EVAL_ACCURACY, 1)["value"] = quality
    run.evaluations[30] = run.table(30, quality)


def test_the_rules_text_states_the_level() -> None:
    from oildrop.rules.loading import load_rulebook

    assert SINGLE_ALPHA == 1 / 1000
    assert "fewer than 1 run of 1000" in load_rulebook().rules["R027"].text


# ln of 33, 35, 37, 35 each five times has a deviation of 0.0415; with t(0.9995, 19) = 3.883 and sqrt(21/20) one run
# lies within e^(±0.165) of 34.97: 29.65 to 41.25.
@pytest.mark.parametrize("samples", [31.0, 38.9])
def test_a_run_within_chance_is_not_found(toy_run: Any, samples: float) -> None:
    cross_at(toy_run, samples)
    assert findings(toy_run, "R027") == []


def test_too_slow_points_at_the_numerics(toy_run: Any) -> None:
    toy_run.rulebook = _scaled(toy_run, 0.8)
    (finding,) = findings(toy_run, "R027")
    assert finding.message.startswith("35 samples to target, 25.1 % more than the 28 that the reference expects")
    assert "numerics" in finding.fix
    assert finding.evidence["ratio"] == pytest.approx(35 / (0.8 * 34.972), rel=1e-4)
    assert finding.evidence["deviations"] == pytest.approx(5.27, abs=0.02)


def test_too_fast_points_at_data_and_seeds(toy_run: Any) -> None:
    toy_run.rulebook = _scaled(toy_run, 1.25)
    (finding,) = findings(toy_run, "R027")
    assert "19.9 % fewer than the 44" in finding.message
    assert "data and the seeds" in finding.fix


def _scaled(run: Any, factor: float) -> Any:
    from oildrop.rules.loading import parse_rulebook

    text = run.rulebook.files["reference/toy.toml"].decode()
    for value in (33.0, 35.0, 37.0):
        text = text.replace(f"samples_to_target = {value}", f"samples_to_target = {value * factor:.3f}")
    return parse_rulebook({**run.rulebook.files, "reference/toy.toml": text.encode()})


def test_another_batch_size_alone_is_compared_by_interpolation(toy_run: Any) -> None:
    slow = with_batch(toy_run, 7)
    slow.rulebook = _scaled(slow, 0.5)
    # ln(7/5)/ln(10/5) = 0.4854 of the way: 17.486 samples at batch 5 times (38.466/17.486)^0.4854 are 25.64.
    (finding,) = findings(slow, "R027")
    assert finding.evidence["expected"] == pytest.approx(25.64, abs=0.01)
    assert "batch 7, interpolated between 5 and 10" in finding.message


@pytest.mark.parametrize("changes", [{"model.width": 16}, {"optimizer.learning_rate": 0.2}])
def test_other_hyperparameters_are_not_compared(toy_run: Any, changes: dict[str, Any]) -> None:
    for batch in (5, 2):
        run = with_batch(toy_run, batch, **changes)
        run.rulebook = _scaled(run, 0.5)
        assert findings(run, "R027", "R031") == []


def test_what_closed_frees_and_a_longer_cap_are_compared(toy_run: Any) -> None:
    run = with_batch(toy_run, 5, **{"execution.dtype": "bf16", "limit.cap_samples": 800})
    run.rulebook = _scaled(run, 0.5)
    assert [finding.rule for finding in findings(run, "R027", "R031")] == ["R027"]


def test_outside_the_points_nothing_is_claimed(toy_run: Any) -> None:
    run = with_batch(toy_run, 2)
    run.rulebook = _scaled(run, 0.5)
    (finding,) = findings(run, "R027", "R031")
    assert (finding.rule, finding.severity) == ("R031", "info")
    assert finding.message.startswith("no reference for batch 2; points cover 5 to 10")


def test_the_logged_batch_size_counts_before_the_settings(make_run: Callable[[], Any]) -> None:
    run = make_run()
    run.rows.insert(2, {"key": keys.GLOBAL_BATCH_SIZE, "t_ns": 0, "value": 40, "proc": "worker-0",
                        "meta": {"received_ns": 10**6}})  # fmt: skip
    assert [finding.evidence["batch"] for finding in findings(run, "R031")] == [40]


def test_a_missed_target_has_nothing_to_compare(toy_run: Any) -> None:
    run = with_batch(toy_run, 2)
    run.find(keys.EVAL_ACCURACY, 2)["value"] = 0.55
    run.evaluations[40] = run.table(40, 0.55)
    assert findings(run, "R027", "R031") == []
