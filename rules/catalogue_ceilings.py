"""Metrics of a calibration: what the machine did at most; and what share of it other runs reached.

The latter are of two runs: no judgement lists them.
"""

from __future__ import annotations

from oildrop.rules.metric_meaning import CALIBRATE, MetricMeaning

CEILINGS: dict[str, MetricMeaning] = {
    "matmul_flop_per_s": MetricMeaning(
        label="Matrix products", unit="FLOP/s", better="higher", kinds=CALIBRATE,
        text="2 n^3 over the time of a product of two square matrices of n rows, at the fastest n tried, in the "
        "fastest of several repeats; in strict fp32, and beside it in each other format that framework and device have "
        "(int8: operations).",
    ),
    "read_bandwidth_bytes_per_s": MetricMeaning(
        label="Read bandwidth", unit="bytes/s", better="higher", kinds=CALIBRATE,
        text="Bytes of a buffer larger than the caches over the time of a read of it, fastest of several repeats.",
    ),
    "copy_bandwidth_bytes_per_s": MetricMeaning(
        label="Copy bandwidth", unit="bytes/s", better="higher", kinds=CALIBRATE,
        text="Bytes read and bytes written over the time of a copy between two such buffers of the device, fastest of "
        "several repeats.",
    ),
    "host_to_device_bytes_per_s": MetricMeaning(
        label="Copies to the device", unit="bytes/s", better="higher", kinds=CALIBRATE,
        text="Bytes over the time of a copy from the host's memory to the device's, fastest of several repeats.",
    ),
    "repeat_spread_fraction": MetricMeaning(
        label="Spread of repeats", unit="1", better="lower", kinds=CALIBRATE,
        text="How far the slowest repeat lies under the fastest, as a share of the fastest: the largest of all "
        "ceilings, and beside it each ceiling's own. A large one says that something else was at work.",
    ),
    "ceiling_flop_fraction": MetricMeaning(
        label="Share of the measured product rate", unit="1", better="higher", kinds=(),
        text="Model FLOP/s over the matrix products of the named calibration, in the run's number format: of the "
        "newest that is ok, of the same system, software, backend and threads. Shown beside a run, never as MFU.",
    ),
    "ceiling_read_fraction": MetricMeaning(
        label="Share of the measured read bandwidth", unit="1", better="higher", kinds=(),
        text="Bytes that decoding must read a second over the read bandwidth of the named calibration.",
    ),
}  # fmt: skip
