"""Memory and the limits of control groups, on sample texts."""

import pytest

from oildrop.harness.system.cgroups import cpu_quota_cores, memory_limit_bytes, parse_membership
from oildrop.harness.system.memory import parse_meminfo, read_memory
from oildrop.harness.system.source import Gaps
from oildrop.harness.system.sysctl import parse_sysctl, swap_total_bytes

MEMINFO = "MemTotal:       16384 kB\nMemAvailable:    4096 kB\nSwapTotal:           0 kB\nHugePages_Total:       7\n"
V1 = "5:cpu,cpuacct:/box\n4:memory:/box\n0::/\n"


def test_meminfo_is_in_bytes_and_skips_counts() -> None:
    assert parse_meminfo(MEMINFO) == {"MemTotal": 16777216, "MemAvailable": 4194304, "SwapTotal": 0}


def test_no_swap_is_zero_and_an_unknown_swap_is_none(make_host) -> None:
    gaps = Gaps()
    assert read_memory(make_host({"proc/meminfo": MEMINFO}), gaps).swap_bytes == 0
    assert set(gaps.reasons) == {"memory.limit_bytes"}
    memory = read_memory(make_host({"proc/meminfo": "MemTotal: 16384 kB\n"}), gaps)
    assert memory.swap_bytes is None and "memory.swap_bytes" in gaps.reasons


def test_membership_in_both_versions() -> None:
    assert parse_membership(V1, "memory") == "/box"
    assert parse_membership(V1, "cpu") == "/box"
    assert parse_membership(V1, "") == "/"
    assert parse_membership(V1, "pids") is None


def test_the_tightest_limit_on_the_way_up_holds_in_version_2(make_host) -> None:
    host = make_host(
        {
            "proc/self/cgroup": "0::/a/b\n",
            "sys/fs/cgroup/a/b/memory.max": "max\n",
            "sys/fs/cgroup/a/memory.max": "9000000\n",
            "sys/fs/cgroup/a/cpu.max": "max 100000\n",
            "proc/meminfo": MEMINFO,
        }
    )
    assert memory_limit_bytes(host) == 9_000_000
    assert cpu_quota_cores(host) is None
    assert read_memory(host, Gaps()).limit_bytes == 9_000_000


def test_a_container_that_sees_its_outer_path_finds_its_own_limit_at_the_top(make_host) -> None:
    host = make_host({"proc/self/cgroup": "0::/outer/pod\n", "sys/fs/cgroup/memory.max": "1234567\n"})
    assert memory_limit_bytes(host) == 1_234_567


@pytest.mark.parametrize(("limit", "expected"), [("5000000", 5_000_000), ("9223372036854771712", None)])
def test_version_1_writes_a_huge_number_for_no_limit(make_host, limit: str, expected: int | None) -> None:
    host = make_host({"proc/self/cgroup": V1, "sys/fs/cgroup/memory/box/memory.limit_in_bytes": f"{limit}\n"})
    assert memory_limit_bytes(host) == expected


@pytest.mark.parametrize(("quota", "cores"), [("150000", 1.5), ("-1", None)])
def test_version_1_quota(make_host, quota: str, cores: float | None) -> None:
    folder = "sys/fs/cgroup/cpu,cpuacct/box"
    files = {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": "100000"}
    assert cpu_quota_cores(make_host({"proc/self/cgroup": V1, **files})) == cores


def test_a_limit_above_the_machine_is_none(make_host) -> None:
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "99999999999\n", "proc/meminfo": MEMINFO}
    assert read_memory(make_host(files), Gaps()).limit_bytes is None


def test_swap_of_a_mac() -> None:
    assert swap_total_bytes(parse_sysctl("vm.swapusage: total = 2048.50M  used = 0.00M")) == 2_147_483_648 + 524_288
    assert swap_total_bytes({}) is None
