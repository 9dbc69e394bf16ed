"""Metrics of what parts of a device did, of memory by formula, and of what the step waited for."""

from __future__ import annotations

from oildrop.rules.metric_meaning import CALIBRATE, EVERY, TRAIN, MetricMeaning

UTILIZATION: dict[str, MetricMeaning] = {
    "sm_active_fraction": MetricMeaning(
        label="Multiprocessors active", unit="1", better=None, kinds=(*EVERY, *CALIBRATE),
        text="Mean share of a device's multiprocessors that had a group of threads at work, from run_start to "
        "run_stop, by the device's own counters; of several devices their mean.",
    ),
    "tensor_active_fraction": MetricMeaning(
        label="Matrix units active", unit="1", better=None, kinds=(*EVERY, *CALIBRATE),
        text="Mean share of time in which the units for matrix products worked, from run_start to run_stop, by the "
        "device's own counters; of several devices their mean.",
    ),
    "dram_bandwidth_fraction": MetricMeaning(
        label="Memory bandwidth used", unit="1", better=None, kinds=(*EVERY, *CALIBRATE),
        text="Mean share of the device's stated memory bandwidth that was used, from run_start to run_stop, by the "
        "device's own counters; of several devices their mean.",
    ),
    "memory_modelled_bytes": MetricMeaning(
        label="Memory by formula", unit="bytes", better=None, kinds=EVERY,
        text="What one device holds at the fullest moment, by formula, and beside it each kind: of a training weights, "
        "gradients, optimizer's moments, running average, copies in another format, activations and logits; of a "
        "served model weights and cache. What the software adds is in peak memory alone.",
    ),
    "host_bound_fraction": MetricMeaning(
        label="Host-bound share", unit="1", better="lower", kinds=TRAIN,
        text="Share of the training blocks' time in which the host had still to hand over the last step: at most so "
        "long an accelerator waited for it. Near 1 it kept waiting, or its queue was full; compare with busy fraction.",
    ),
    "data_loading_fraction": MetricMeaning(
        label="Share making batches", unit="1", better="lower", kinds=TRAIN,
        text="Time in which the training thread took its next batch, over the training blocks' time.",
    ),
    "arithmetic_intensity_flop_per_byte": MetricMeaning(
        label="Arithmetic intensity", unit="FLOP/byte", better=None, kinds=EVERY,
        text="Model FLOPs over the least bytes that are moved between a device and its memory, both by formula: of a "
        "training step; of the steps in which a served model decodes, weights and cache; of a network that answers in "
        "one pass, weights once a batch.",
    ),
}  # fmt: skip
