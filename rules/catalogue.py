"""Every metric's meaning in one table: unit, direction, and the kinds of run that list it."""

from __future__ import annotations

from oildrop.rules.catalogue_ceilings import CEILINGS
from oildrop.rules.catalogue_served import SERVED
from oildrop.rules.catalogue_utilization import UTILIZATION
from oildrop.rules.metric_meaning import CALIBRATE, EVERY, SERVE, TRAIN, MetricMeaning

_M = MetricMeaning

CATALOGUE: dict[str, MetricMeaning] = {
    "time_to_target_s": _M(
        label="Time to target", unit="s", better="lower", kinds=TRAIN,
        text="From run_start to the instant at which the quality, interpolated between the last two evaluations, "
        "met the target; evaluations included.",
    ),
    "time_to_target_raw_s": _M(
        label="Time to target, raw", unit="s", better="lower", kinds=TRAIN,
        text="From run_start to the end of the evaluation that met the target.",
    ),
    "samples_to_target": _M(
        label="Samples to target", unit="samples", better="lower", kinds=TRAIN,
        text="Training samples consumed when the interpolated quality met the target; says nothing about speed.",
    ),
    "train_tokens_per_s": _M(
        label="Training tokens a second", unit="tokens/s", better="higher", kinds=TRAIN,
        text="Scored tokens of all training blocks over the time of those blocks, evaluations left out.",
    ),
    "train_samples_per_s": _M(
        label="Training samples a second", unit="samples/s", better="higher", kinds=TRAIN,
        text="Documents or images of all training blocks over the time of those blocks, evaluations left out.",
    ),
    "train_tokens_per_s_per_device": _M(
        label="Training tokens a second a device", unit="tokens/s", better="higher", kinds=TRAIN,
        text="Training tokens a second over the devices that share each batch; equal to it on one device.",
    ),
    "train_samples_per_s_per_device": _M(
        label="Training samples a second a device", unit="samples/s", better="higher", kinds=TRAIN,
        text="Training samples a second over the devices that share each batch; equal to it on one device.",
    ),
    "scaling_efficiency": _M(
        label="Scaling efficiency", unit="1", better="higher", kinds=TRAIN,
        text="Tokens a second a device on several devices over those on one; a statement about two configurations, "
        "made by `oildrop compare`.",
    ),
    "restarts": _M(
        label="Restarts", unit="restarts", better="lower", kinds=TRAIN,
        text="How often the ranks were started again from a checkpoint after a crash; the clock ran on.",
    ),
    "final_quality": _M(
        label="Final quality", unit="nats", better="lower", kinds=EVERY,
        text="Quality at the last evaluation, or of the assessed answers; recomputed by the judge from kept losses.",
    ),
    "final_accuracy": _M(
        label="Final accuracy", unit="1", better="higher", kinds=EVERY,
        text="Share of scored tokens or images whose most probable prediction was right, at the last evaluation or of "
        "the assessed answers; of embeddings, whose nearest other sentence is that of the reference.",
    ),
    "eval_fraction": _M(
        label="Share spent evaluating", unit="1", better="lower", kinds=TRAIN,
        text="Time of all evaluations over the time from run_start to run_stop.",
    ),
    **SERVED,
    **CEILINGS,
    "energy_j": _M(
        label="Energy", unit="J", better="lower", kinds=(*EVERY, *CALIBRATE),
        text="Gross energy from run_start to run_stop at the widest scope that a meter covers.",
    ),
    "power_w": _M(
        label="Power", unit="W", better="lower", kinds=(*EVERY, *CALIBRATE),
        text="Mean power from run_start to run_stop: energy over time.",
    ),
    "idle_power_w": _M(
        label="Idle power", unit="W", better="lower", kinds=EVERY,
        text="Mean power of the same devices while nothing of the run exists: mean of before its worker starts and "
        "after it has ended.",
    ),
    "energy_above_idle_j": _M(
        label="Energy above idle", unit="J", better="lower", kinds=EVERY,
        text="Gross energy less idle power times the time from run_start to run_stop.",
    ),
    "energy_per_token_j": _M(
        label="Energy a token", unit="J/token", better="lower", kinds=EVERY,
        text="Gross energy over all scored training tokens, evaluations' energy included; of a served run over all "
        "output tokens.",
    ),
    "energy_per_sample_j": _M(
        label="Energy a sample", unit="J/sample", better="lower", kinds=TRAIN,
        text="Gross energy over all training samples (documents or images), evaluations' energy included.",
    ),
    "energy_per_request_j": _M(
        label="Energy a request", unit="J/request", better="lower", kinds=SERVE,
        text="Gross energy over all answered requests; that of failed ones is in it.",
    ),
    "energy_to_target_j": _M(
        label="Energy to target", unit="J", better="lower", kinds=TRAIN,
        text="Gross energy from run_start to the end of the evaluation that met the target.",
    ),
    "energy_attempt_j": _M(
        label="Energy of the attempt", unit="J", better="lower", kinds=EVERY,
        text="Gross energy from its meters' first sample to its end, set-up included, however it ended; over the "
        "successes of a set it is the energy that one success costs.",
    ),
    "mfu": _M(
        label="MFU", unit="1", better="higher", kinds=EVERY,
        text="Model FLOPs by formula a second of the training blocks (of a served run: from run_start to the last "
        "answer) over the dense peak at the declared dtype.",
    ),
    "hfu": _M(
        label="HFU", unit="1", better="higher", kinds=TRAIN,
        text="As MFU with recomputed FLOPs counted; equal to it where nothing is recomputed.",
    ),
    "mbu": _M(
        label="MBU", unit="1", better="higher", kinds=EVERY,
        text="Bytes that a decode step must read over its time, over measured read bandwidth.",
    ),
    "model_flop_per_s": _M(
        label="Model FLOP/s", unit="FLOP/s", better="higher", kinds=EVERY,
        text="Model FLOPs by formula of all training blocks over their time; of all answered requests over the time "
        "from run_start to the last answer.",
    ),
    "busy_fraction": _M(
        label="Busy fraction", unit="1", better=None, kinds=(*EVERY, *CALIBRATE),
        text="Share of run_start to run_stop in which the device had work; busy is not the same as efficient. "
        "On a CPU: processor time of the worker over wall time and usable cores.",
    ),
    "memory_peak_bytes": _M(
        label="Peak memory", unit="bytes", better="lower", kinds=(*EVERY, *CALIBRATE),
        text="High-water mark of the device's memory; on a CPU the largest resident set of the worker's processes.",
    ),
    **UTILIZATION,
    "setup_s": _M(
        label="Set-up", unit="s", better="lower", kinds=(*EVERY, *CALIBRATE),
        text="From the start of the worker to run_start, compile included; untimed but capped.",
    ),
    "compile_s": _M(
        label="Compile", unit="s", better="lower", kinds=(*EVERY, *CALIBRATE),
        text="Building the model and the timed steps, caches fresh.",
    ),
    "harness_overhead_fraction": _M(
        label="Harness overhead", unit="1", better="lower", kinds=EVERY,
        text="Harness cost a step or request as calibrated on this host and the supervisor's own time, over the run.",
    ),
}  # fmt: skip


def metrics_of(kind: str) -> tuple[str, ...]:
    """Names of all metrics that a run of `kind` lists, in the order shown."""
    return tuple(name for name, meaning in CATALOGUE.items() if kind in meaning.kinds)
