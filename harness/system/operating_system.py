"""The operating system, and what it runs inside: hypervisor, container, both or neither."""

from __future__ import annotations

import shlex

from oildrop.harness.system.cpuinfo import parse_cpuinfo
from oildrop.harness.system.source import Gaps, Host
from oildrop.harness.system.sysctl import read_sysctl
from oildrop.rules.system import OperatingSystem

DMI_MARKS = {
    "amazon ec2": "amazon", "google compute engine": "google", "microsoft corporation": "microsoft", "kvm": "kvm",
    "qemu": "qemu", "vmware": "vmware", "virtualbox": "oracle", "xen": "xen", "parallels": "parallels",
}  # fmt: skip
"""Words in the DMI vendor and product names that give a hypervisor away."""

CONTAINER_MARKS = {".dockerenv": "docker", "run/.containerenv": "podman", "run/systemd/container": "container"}
"""Files that a container runtime leaves."""


def read_operating_system(host: Host, gaps: Gaps) -> OperatingSystem:
    """Name, release, kernel and virtualisation of `host`."""
    virtualisation = gaps.known(
        "os.virtualisation",
        detect_virtualisation(host),
        "neither systemd-detect-virt, the processor nor DMI tells whether this is a virtual machine",
    )
    if host.system == "Darwin":
        release = read_sysctl(host).get("kern.osproductversion", host.release)
        return OperatingSystem(name="macOS", release=release, kernel=host.release, virtualisation=virtualisation)
    fields = parse_os_release(host.text("etc/os-release") or host.text("usr/lib/os-release") or "")
    return OperatingSystem(
        name=fields.get("NAME", host.system),
        release=fields.get("VERSION_ID") or fields.get("BUILD_ID") or "rolling",
        kernel=host.release,
        virtualisation=virtualisation,
    )


def parse_os_release(text: str) -> dict[str, str]:
    """Fields of /etc/os-release, quotes removed; lines that a shell could not read are left out."""
    fields = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and not name.startswith("#"):
            fields[name.strip()] = _unquote(value)
    return fields


def detect_virtualisation(host: Host) -> str | None:
    """`kvm`, `docker`, both as `kvm/docker`, or `none`; None when it cannot be told."""
    if host.system == "Darwin":
        present = read_sysctl(host).get("kern.hv_vmm_present")
        return None if present is None else ("hypervisor" if present == "1" else "none")
    machine, container = _hypervisor(host), _container(host)
    if machine is None:
        return container
    names = [name for name in (machine, container) if name not in (None, "none")]
    return "/".join(str(name) for name in names) or "none"


def _hypervisor(host: Host) -> str | None:
    """The hypervisor's name, `none` on bare metal, None when nothing tells."""
    answer = host.run(("systemd-detect-virt", "--vm"))
    if answer and answer != "none":
        return answer
    flag = parse_cpuinfo(host.text("proc/cpuinfo") or "").hypervisor
    dmi = " ".join(host.text(f"sys/class/dmi/id/{name}") or "" for name in ("sys_vendor", "product_name")).lower()
    named = next((name for mark, name in DMI_MARKS.items() if mark in dmi), None)
    # Some clouds lend whole machines whose DMI names the cloud: the processor's flag has the last word.
    if flag or (flag is None and named):
        return named or "hypervisor"
    return "none" if flag is False or answer == "none" else None


def _container(host: Host) -> str | None:
    answer = host.run(("systemd-detect-virt", "--container"))
    if answer and answer != "none":
        return answer
    mark = next((name for path, name in CONTAINER_MARKS.items() if host.exists(path)), None)
    return mark or ("kubernetes" if "KUBERNETES_SERVICE_HOST" in host.environment else None)


def _unquote(value: str) -> str:
    try:
        return " ".join(shlex.split(value))
    except ValueError:
        return value.strip()
