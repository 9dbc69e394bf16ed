"""Keys of the event log: the MLPerf logging convention's where one exists, ours beside them.

Source: MLCommons logging package `mllog/constants.py` (key names), read 2026-11-22.
"""

from __future__ import annotations

# The convention's own.
CACHE_CLEAR = "cache_clear"
INIT_START = "init_start"
INIT_STOP = "init_stop"
RUN_START = "run_start"
RUN_STOP = "run_stop"
BLOCK_START = "block_start"
BLOCK_STOP = "block_stop"
EVAL_START = "eval_start"
EVAL_STOP = "eval_stop"
EVAL_ACCURACY = "eval_accuracy"
GLOBAL_BATCH_SIZE = "global_batch_size"
SEED = "seed"
TRAIN_SAMPLES = "train_samples"
EVAL_SAMPLES = "eval_samples"
OPT_NAME = "opt_name"
OPT_BASE_LEARNING_RATE = "opt_base_learning_rate"
SUBMISSION_BENCHMARK = "submission_benchmark"
SUBMISSION_DIVISION = "submission_division"
SUBMISSION_PLATFORM = "submission_platform"

# Ours.
BENCHMARK_SHA256 = "benchmark_sha256"
WEIGHTS_SHA256 = "weights_sha256"
BATCH_SHA256 = "batch_sha256"
FIRST_LOSS_FP32 = "first_loss_fp32"
PHASE = "phase"
HEARTBEAT = "heartbeat"
GATE = "gate"
CHUNK = "chunk"
METER = "meter"
PROCESS = "process"
RUNTIME = "runtime"
OVERHEAD = "overhead"
MEMORY = "memory"
HOST_STATE = "host_state"
CANARY = "canary"
"""A fixed piece of work, timed outside the clock: value the median in seconds; meta when, where and each reading."""
CLOCK = "clock"
OTHER_RUN = "other_run"
BESIDE = "beside"
"""Of two runs at once: value the other's run id; meta when its clock ran on this run's own, or how long one waited."""
RESTART = "restart"
SERVE = "serve"
"""What a served run is about to do: value the scenario; meta its terms as the generator took them."""
SERVED = "served"
"""What it did: value the queries; meta the requests, those that failed, and why it stopped."""
SERVER_METRICS = "server_metrics"
"""Figures that an asked server offers of itself: value `before` or `after` the load; meta its samples."""
REPEATS = "repeats"
"""Prompts asked again beside new ones, after the clock: value the pairs; meta the times of each to its first token."""
CEILING = "ceiling"
"""A ceiling of the machine: value what was done (`matmul`, `read`, …); meta how often, and the time of each repeat."""
OUTCOME = "outcome"

PHASES = (
    "probe", "data", "compile", "gates", "init", "warmup", "train", "serve", "calibrate", "eval", "teardown", "idle",
)  # fmt: skip
"""Every phase a log may name; a run enters them in this order, `train` and `eval` in turn.

Where a meter answers, `idle` comes before the first as well: only the machine's idle power is sampled there.

A served run enters `probe` again after `eval`: there a cache is looked for.
After a `restart` a run enters them anew, without `gates` and `warmup` where its clock runs already.
"""
