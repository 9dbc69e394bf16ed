"""The operating system and what it runs inside."""

import pytest

from oildrop.harness.system.operating_system import detect_virtualisation, parse_os_release, read_operating_system
from oildrop.harness.system.source import Gaps

VM, CONTAINER = "systemd-detect-virt --vm", "systemd-detect-virt --container"
GUEST = {"proc/cpuinfo": "processor : 0\nflags : fpu hypervisor\n"}
METAL = {"proc/cpuinfo": "processor : 0\nflags : fpu sse4_2\n"}


def test_os_release_with_and_without_quotes() -> None:
    text = 'NAME="Imagine OS"\n# a comment=1\nVERSION_ID=\'12\'\nID=imagine\nODD="unclosed\n'
    fields = parse_os_release(text)
    assert fields == {"NAME": "Imagine OS", "VERSION_ID": "12", "ID": "imagine", "ODD": '"unclosed'}


def test_a_rolling_release_says_so(make_host) -> None:
    system = read_operating_system(make_host({"etc/os-release": "NAME=Arch\n", **METAL}), Gaps())
    assert (system.name, system.release, system.kernel) == ("Arch", "rolling", "6.1.0-test")


@pytest.mark.parametrize(
    ("files", "commands", "expected"),
    [
        (METAL, {VM: "none", CONTAINER: "none"}, "none"),
        (METAL, {}, "none"),
        (GUEST, {VM: "kvm", CONTAINER: "none"}, "kvm"),
        (GUEST, {VM: "kvm", CONTAINER: "docker"}, "kvm/docker"),
        (GUEST, {}, "hypervisor"),
        ({**GUEST, "sys/class/dmi/id/sys_vendor": "QEMU\n"}, {}, "qemu"),
        ({**METAL, ".dockerenv": ""}, {}, "docker"),
        ({**METAL, "sys/class/dmi/id/sys_vendor": "Amazon EC2\n"}, {}, "none"),
        ({"proc/cpuinfo": "processor : 0\n"}, {}, None),
        ({"proc/cpuinfo": "processor : 0\n", "sys/class/dmi/id/sys_vendor": "Amazon EC2"}, {}, "amazon"),
        ({"run/.containerenv": ""}, {}, "podman"),
    ],
)
def test_virtualisation(make_host, files: dict, commands: dict, expected: str | None) -> None:
    assert detect_virtualisation(make_host(files, commands=commands)) == expected


def test_kubernetes_by_its_environment(make_host) -> None:
    host = make_host(METAL, environment={"KUBERNETES_SERVICE_HOST": "10.0.0.1"})
    assert detect_virtualisation(host) == "kubernetes"


def test_an_unknown_virtualisation_has_its_reason(make_host) -> None:
    gaps = Gaps()
    assert read_operating_system(make_host(), gaps).virtualisation is None
    assert "systemd-detect-virt" in gaps.reasons["os.virtualisation"]
