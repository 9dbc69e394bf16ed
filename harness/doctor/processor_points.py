"""What takes time from the processors, or makes them slower from one moment to the next."""

from __future__ import annotations

from oildrop.harness.doctor.point import Point, Status, Trouble
from oildrop.harness.doctor.snapshot import Snapshot
from oildrop.rules.checks.machine_checks import STEAL_LIMIT
from oildrop.rules.checks.trust_checks import CANARY_LIMIT, OTHERS_LIMIT
from oildrop.rules.statistics_two_sets import runs_needed
from oildrop.rules.system import saves_power

OTHER_CPU_BAD = 0.5
"""Share of the processors in other hands from which a run measures little else; R081 asks for `OTHERS_LIMIT`."""
MIN_CORES = 2
RESTLESS = 1.03
"""Largest over smallest reading of the canary from which it takes many runs to see small differences."""
SMALL_RATIO = 1.03
PASSIVE = "passive"


def _canary(s: Snapshot) -> str | None:
    if s.canary is None:
        return None
    runs = runs_needed(s.canary.log_sd, SMALL_RATIO, paired=False)
    return (
        f"{s.canary.count} readings of the canary within {s.canary.window_s:.1f} s differ by {s.canary.ratio - 1:.1%}; "
        f"if runs scatter like it, {runs} runs on each side show a difference of {SMALL_RATIO - 1:.0%}"
    )


def _ratio(s: Snapshot) -> float:
    return s.canary.ratio if s.canary is not None else 1.0


def _quota(s: Snapshot) -> str:
    if s.cpu_quota_cores is None:
        return "no cgroup sets one"
    return f"the cgroup allows {s.cpu_quota_cores:g} processors' time on {s.logical_cores} processors"


def _virtualisation(s: Snapshot) -> str | None:
    if s.virtualisation is None:
        return None
    stolen = "" if s.steal_fraction is None else f"; {s.steal_fraction:.1%} of processor time stolen since boot"
    return f"virtualisation {s.virtualisation}{stolen}"


def _waiting(s: Snapshot) -> str:
    return f"OMP_WAIT_POLICY is {s.wait_policy or 'not set'}; other processes use {s.other_cpu_fraction:.0%}"


def _shared(limit: float, status: Status) -> Trouble:
    return Trouble(
        holds=lambda s: s.other_cpu_fraction >= limit,
        status=status,
        what="Other programs share the processors: runs will be slower and scatter more.",
        fix="Stop them, or wait until they end.",
    )


PROCESSOR_POINTS = (
    Point(
        id="canary",
        evidence=_canary,
        good="The machine is as fast from one moment to the next.",
        troubles=(
            Trouble(
                holds=lambda s: _ratio(s) > CANARY_LIMIT,
                status="bad",
                what="The machine is noisy: a run here would likely be flagged (R080).",
                fix="End other work, or use a machine of one's own; else compare only by many runs.",
            ),
            Trouble(
                holds=lambda s: _ratio(s) > RESTLESS,
                what="The machine is a little noisy: small differences need many runs.",
                fix="End other work, or plan for the runs named.",
            ),
        ),
        unread=("The canary was not timed.", "no reading", ""),
    ),
    Point(
        id="cpu-load",
        evidence=lambda s: (
            f"other processes use {s.other_cpu_fraction:.0%} of {s.logical_cores} processors; "
            f"{s.heavy_processes} of them heavily"
        ),
        good="The machine is idle.",
        troubles=(_shared(OTHER_CPU_BAD, "bad"), _shared(OTHERS_LIMIT, "warn")),
    ),
    Point(
        id="spinning-threads",
        evidence=_waiting,
        good="Threads that wait for each other keep no processor from others.",
        troubles=(
            Trouble(
                holds=lambda s: s.other_cpu_fraction >= OTHERS_LIMIT and (s.wait_policy or "").lower() != PASSIVE,
                what="OpenMP's threads wait in a loop: on shared processors they hold up the thread they wait for.",
                fix="Free the processors, or lower --set execution.threads by those that are taken.",
            ),
        ),
    ),
    Point(
        id="cores",
        evidence=lambda s: f"{s.usable_cores} of {s.logical_cores} logical processors may be used",
        good="Worker and supervisor have a processor each.",
        troubles=(
            Trouble(
                holds=lambda s: s.usable_cores < MIN_CORES,
                what=f"Fewer than {MIN_CORES} processors: the supervisor and its meters take time from the worker.",
                fix="Widen the affinity (`taskset`) or give the container or virtual machine more processors.",
            ),
        ),
    ),
    Point(
        id="numa",
        evidence=lambda s: (
            None if not s.numa_nodes else f"the processors that may be used lie in {s.numa_nodes} memory nodes"
        ),
        good="All memory is as near.",
        troubles=(
            Trouble(
                holds=lambda s: (s.numa_nodes or 0) > 1,
                what="Threads may run far from their memory: times differ with where the kernel puts them.",
                fix="Run under `numactl --cpunodebind=0 --membind=0`, with the node that is next to the accelerator.",
            ),
        ),
        unread=("How memory is divided among processors is not known.", "no node folders", ""),
    ),
    Point(
        id="cpu-quota",
        evidence=_quota,
        good="No processor quota binds.",
        troubles=(
            Trouble(
                holds=lambda s: s.cpu_quota_cores is not None and s.cpu_quota_cores < s.logical_cores,
                what="A processor quota stops all threads for part of each period: step times will scatter.",
                fix="Start the container with whole processors (`--cpuset-cpus`) in place of a quota (`--cpus`).",
            ),
        ),
    ),
    Point(
        id="governor",
        evidence=lambda s: s.governor and f"governor {s.governor}",
        good="The governor lets the frequency rise.",
        troubles=(
            Trouble(
                holds=lambda s: saves_power(s.governor, s.frequency_driver),
                what="The processor saves power: frequency rises late or not at all.",
                fix="sudo cpupower frequency-set -g performance",
            ),
        ),
        unread=("The frequency governor cannot be seen.", "no cpufreq files", ""),
    ),
    Point(
        id="virtualisation",
        evidence=_virtualisation,
        good="The processors are not taken away.",
        troubles=(
            Trouble(
                holds=lambda s: (s.steal_fraction or 0.0) > STEAL_LIMIT,
                what="The hypervisor takes processor time away: timings scatter with its other guests.",
                fix="Use an instance with dedicated processors, or run when the host is quiet.",
            ),
        ),
        unread=("Whether this is a virtual machine is not known.", "nothing tells", ""),
    ),
    Point(
        id="throttling",
        evidence=lambda s: None if s.throttle_count is None else f"{s.throttle_count} events",
        good="The processor was never throttled.",
        troubles=(
            Trouble(
                holds=lambda s: bool(s.throttle_count),
                what="The processor has been throttled for heat since it was started.",
                fix="Let it cool; clean or strengthen its cooling if later runs are flagged for throttling.",
            ),
        ),
        unread=("Thermal throttling is not counted.", "no counter files", ""),
    ),
    Point(
        id="peaks",
        evidence=lambda s: f"not in devices.toml: {', '.join(s.unlisted)}" if s.unlisted else "all in devices.toml",
        good="The peaks of all devices are known.",
        troubles=(
            Trouble(
                holds=lambda s: bool(s.unlisted),
                what="The peak of a device is not known: its MFU and MBU will be not_measured.",
                fix="Send the maker's figures with their source for rules/v1/devices.toml.",
            ),
        ),
    ),
)
