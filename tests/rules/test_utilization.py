"""Counters of a device, memory by formula and what a step waited for, on runs made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from oildrop.rules import keys
from oildrop.rules.evidence import Series
from oildrop.rules.formulas.flops import decoder_train_flops_per_token
from oildrop.rules.judge import judge
from oildrop.rules.records import Metric

SECOND = 1_000_000_000
DECODER = {
    "model.layers": 2, "model.width": 8, "model.heads": 2, "model.key_value_heads": 1, "model.hidden": 16,
    "data.words": 3, "data.names": 2, "data.brackets": 1, "data.document_tokens": 64,
}  # fmt: skip


def found(run: Any, name: str, **dims: str) -> Metric:
    metrics = judge(run.evidence(), run.rulebook).metrics
    return next(each for each in metrics if (each.name, each.dims) == (name, dims))


def on_accelerator(run: Any, **settings: Any) -> Any:
    settings = {**run.spec.settings, **settings}
    run.spec = run.spec.model_copy(update={"backend": "torch-cuda", "settings": settings})
    return run


def counter(values: tuple[float, ...], device: str = "a", quantity: str = "tensor_active_fraction") -> Series:
    times = tuple(round((0.5 + k) * SECOND) for k in range(len(values)))
    return Series(meter="nvidia", quantity=quantity, device=device, scope="device", t_ns=times, values=values)


def test_counters_are_means_from_run_start_to_run_stop(toy_run: Any) -> None:
    on_accelerator(toy_run)  # The clock runs from 1.0 s to 5.3 s: samples at 1.5, 2.5, 3.5 and 4.5 s count.
    toy_run.series = (counter((0.9, 0.1, 0.2, 0.3, 0.4, 0.9)),)
    assert found(toy_run, "tensor_active_fraction").value == pytest.approx(0.25)
    assert found(toy_run, "tensor_active_fraction").sample_count == 4
    toy_run.series += (counter((0.0, 0.75, 0.75), "b"),)
    assert found(toy_run, "tensor_active_fraction").value == pytest.approx((0.25 + 0.75) / 2)


def test_a_counter_that_nobody_reads_or_that_a_processor_lacks_says_so(toy_run: Any) -> None:
    assert found(toy_run, "sm_active_fraction").status == "not_applicable"
    on_accelerator(toy_run)
    assert found(toy_run, "dram_bandwidth_fraction").reason == "no meter of this machine reads it"
    toy_run.series = (counter((0.5,)),)
    assert found(toy_run, "tensor_active_fraction").value is None  # before run_start
    toy_run.drop(keys.RUN_STOP)
    assert "run_stop" in str(found(toy_run, "tensor_active_fraction").reason)


def test_shares_of_the_step_are_over_the_time_of_all_blocks(toy_run: Any) -> None:
    on_accelerator(toy_run)
    for nth, (enqueue_s, batch_s) in enumerate(((0.5, 0.2), (0.25, 0.1), (0.25, 0.1))):  # of 2, 1 and 1 s
        meta = toy_run.find(keys.BLOCK_STOP, nth)["meta"]
        meta.update(enqueue_ns=round(enqueue_s * SECOND), batch_ns=round(batch_s * SECOND))
    assert found(toy_run, "host_bound_fraction").value == pytest.approx(1 / 4)
    assert found(toy_run, "data_loading_fraction").value == pytest.approx(0.4 / 4)


@pytest.mark.parametrize("wrong", [None, "soon", -1, True, 0.5])
def test_a_log_without_these_times_gives_no_share(toy_run: Any, wrong: Any) -> None:
    on_accelerator(toy_run)
    for nth in range(3):
        toy_run.find(keys.BLOCK_STOP, nth)["meta"].update(enqueue_ns=10, batch_ns=10)
    toy_run.find(keys.BLOCK_STOP, 1)["meta"].update(enqueue_ns=wrong, batch_ns=wrong)
    for name in ("host_bound_fraction", "data_loading_fraction"):
        assert (found(toy_run, name).value, found(toy_run, name).status) == (None, "not_measured")


def test_no_accelerator_waits_for_a_processor(toy_run: Any) -> None:
    toy_run.find(keys.BLOCK_STOP)["meta"].update(enqueue_ns=10)
    assert found(toy_run, "host_bound_fraction").status == "not_applicable"


def test_memory_of_a_training_is_counted_by_kind(toy_run: Any) -> None:
    toy_run.spec = toy_run.spec.model_copy(update={"settings": {**toy_run.spec.settings, **DECODER}})
    vocabulary = 3 + 2 + 2 + 10 + 3
    layer = 2 * 8 * 8 + 2 * 8 * 4 + 3 * 8 * 16 + 2 * 8  # query, output; key, value; three matrices; two norms
    parameters = 2 * layer + 2 * vocabulary * 8 + 8
    whole = found(toy_run, "memory_modelled_bytes")
    kinds = {kind: found(toy_run, "memory_modelled_bytes", kind=kind).value for kind in (
        "weights", "gradients", "moments", "average", "activations", "logits",
    )}  # fmt: skip
    assert [kinds[kind] for kind in ("weights", "gradients", "moments", "average")] == [
        4 * parameters, 4 * parameters, 8 * parameters, 4 * parameters,
    ]  # fmt: skip
    assert whole.value == sum(kinds.values()) and whole.status == "modelled"
    with pytest.raises(StopIteration):  # in fp32 products need no copies, and none of 0 bytes are told of
        found(toy_run, "memory_modelled_bytes", kind="product_copies")


def test_intensity_is_the_steps_flops_over_its_least_traffic(toy_run: Any) -> None:
    toy_run.spec = toy_run.spec.model_copy(update={"settings": {**toy_run.spec.settings, **DECODER}})
    per_token = decoder_train_flops_per_token(
        layers=2, width=8, heads=2, key_value_heads=1, hidden=16, vocabulary=20, positions=64
    )
    kinds = {
        kind: found(toy_run, "memory_modelled_bytes", kind=kind).value for kind in ("weights", "activations", "logits")
    }
    parameters = kinds["weights"] / 4
    moved = 40 * parameters + (2 * 4 + 4) * parameters + 2 * (kinds["activations"] + kinds["logits"])
    intensity = found(toy_run, "arithmetic_intensity_flop_per_byte").value
    assert intensity == pytest.approx(per_token * 5 * 64 / moved)  # five documents a step


def convolutional(run: Any) -> None:
    """The run is of a network of convolutions 1-8-16-16-32 on 8x8 pixels, six images a step."""
    name = run.spec.benchmark
    benchmark = run.rulebook.benchmarks[name].model_copy(update={"flops_formula": "conv_train/1"})
    run.rulebook = replace(run.rulebook, benchmarks={**run.rulebook.benchmarks, name: benchmark})
    kept = {key: value for key, value in run.spec.settings.items() if not key.endswith("_per_batch")}
    sizes = {"data.images_per_batch": 6, "data.side_px": 8, "model.width": 8, "model.norm_groups": 4}
    run.spec = run.spec.model_copy(update={"settings": {**kept, **sizes}})


def test_memory_and_intensity_of_a_convolutional_network_by_hand(toy_run: Any) -> None:
    convolutional(toy_run)
    matrices = 9 * (1 * 8 + 8 * 16 + 16 * 16 + 16 * 32) + 10 * 32
    parameters = matrices + 2 * (8 + 16 + 16 + 32) + 10
    inputs, outputs = 64 * 1 + 64 * 8 + 16 * 16 + 16 * 16, 64 * 8 + 16 * 16 + 16 * 16 + 4 * 32
    activations = 6 * 4 * (inputs + 2 * outputs + 4 * 2 * 4)  # norm and SiLU; mean and factor of four groups
    logits = 6 * 4 * (32 + 3 * 10)
    whole = found(toy_run, "memory_modelled_bytes")
    assert (whole.value, whole.formula) == (20 * parameters + activations + logits, "conv_memory/1")
    assert found(toy_run, "memory_modelled_bytes", kind="activations").value == activations
    multiply_adds = 9 * (64 * 8 + 16 * 8 * 16 + 16 * 16 * 16 + 4 * 16 * 32) + 10 * 32
    intensity = found(toy_run, "arithmetic_intensity_flop_per_byte")
    assert intensity.value == pytest.approx(6 * 6 * multiply_adds / (52 * parameters + 2 * (activations + logits)))
    assert (intensity.status, intensity.formula) == ("modelled", "arithmetic_intensity/1")


def test_a_model_without_a_formula_says_so(toy_run: Any) -> None:
    assert "settings do not describe" in str(found(toy_run, "memory_modelled_bytes").reason)
    assert found(toy_run, "arithmetic_intensity_flop_per_byte").value is None


def test_memory_of_a_served_model_is_weights_and_a_cache_that_is_full(served_run: Any) -> None:
    lengths = {"requests.prompt_tokens_max": 8, "requests.output_tokens_max": 5, "execution.slots": 4}
    served_run.spec = served_run.spec.model_copy(update={"settings": {**served_run.spec.settings, **lengths}})
    assert found(served_run, "memory_modelled_bytes", kind="cache").value == 1000 * (8 + 5) * 4
    assert found(served_run, "memory_modelled_bytes").value == 4_000_000 + 52_000
    served_run.find(keys.SERVE)["meta"].pop("weight_bytes")
    assert found(served_run, "memory_modelled_bytes").value is None


def test_decoding_reads_weights_a_step_and_the_cache_before_it(served_run: Any) -> None:
    read, share = found(served_run, "decode_read_bytes_per_s"), found(served_run, "mbu")
    assert read.value is not None and share.value == pytest.approx(read.value / 1e10)
