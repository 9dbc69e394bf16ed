"""Finding hardware and software: imaginary files and distributions, and a child that asks a stand-in PyTorch."""

from __future__ import annotations

import os
import shutil
from importlib import metadata
from pathlib import Path

import pytest

from oildrop.harness import detect_child
from oildrop.harness.detect_hardware import missing_hardware
from oildrop.harness.detect_software import (
    Need,
    installed_versions,
    missing_software,
    needs_of,
    own_requirements,
    release,
)
from oildrop.harness.meters.isolation import Answer, ask_module
from oildrop.harness.system.source import Host
from oildrop.rules.errors import Unsupported

STAND_IN = Path(__file__).parent / "fakes" / "torch_stand_in.py"
PCI = "sys/bus/pci/devices/0000:00:05.0"
TPU = {f"{PCI}/vendor": "0x1ae0", f"{PCI}/device": "0x0063"}
BARE_GPU = {f"{PCI}/vendor": "0x10de", f"{PCI}/device": "0x2330", f"{PCI}/class": "0x030200"}
NETWORK = {f"{PCI}/vendor": "0x1ae0", f"{PCI}/device": "0x0042", f"{PCI}/class": "0x020000"}


def host(root: Path, files: dict[str, str], system: str = "Linux", machine: str = "x86_64") -> Host:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return Host(
        root=root,
        system=system,
        machine=machine,
        release="0",
        cpu_count=1,
        affinity_count=1,
        environment={},
        run=lambda arguments: None,
    )


@pytest.mark.parametrize(
    ("files", "present"),
    [
        ({}, {"cpu"}),
        ({"dev/nvidiactl": ""}, {"cpu", "cuda"}),
        ({"dev/nvhost-gpu": ""}, {"cpu", "cuda"}),
        ({"dev/kfd": ""}, {"cpu", "rocm"}),
        ({"dev/dxg": ""}, {"cpu", "cuda", "rocm"}),
        ({"dev/accel0": ""}, {"cpu", "tpu"}),
        (TPU, {"cpu", "tpu"}),
        (NETWORK, {"cpu"}),
        (BARE_GPU, {"cpu"}),
        ({"dev/accel/accel0": ""}, {"cpu"}),
    ],
    ids=[
        "none",
        "nvidia",
        "jetson",
        "amd",
        "wsl",
        "old tpu",
        "tpu",
        "google's network card",
        "a GPU without driver",
        "another's accelerator",
    ],
)
def test_device_files_and_the_bus_show_what_is_there(files: dict[str, str], present: set[str], tmp_path: Path) -> None:
    machine = host(tmp_path, files)
    platforms = ("cpu", "cuda", "rocm", "tpu", "mps", "metal")
    assert {name for name in platforms if missing_hardware(name, machine) is None} == present


@pytest.mark.parametrize(("machine", "present"), [("arm64", {"cpu", "mps", "metal"}), ("x86_64", {"cpu"})])
def test_a_mac_has_metal_where_its_processor_is_apples(machine: str, present: set[str], tmp_path: Path) -> None:
    mac = host(tmp_path, {}, "Darwin", machine)
    assert {
        name for name in ("cpu", "cuda", "rocm", "tpu", "mps", "metal") if not missing_hardware(name, mac)
    } == present


def test_needs_are_read_from_the_packages_own_metadata() -> None:
    lines = [
        "numpy>=1.26",
        'jax>=0.6; extra == "jax"',
        "Op_Tax[all]>=0.2.5; extra == 'jax'",
        'mlx>=0.26; platform_system == "Darwin" and extra == "mlx"',
        'mlx[cpu]>=0.26; platform_system == "Linux" and extra == "mlx"',
        'libtpu; (platform_system == "Linux" and platform_machine == "x86_64") and extra == "tpu"',
    ]
    assert needs_of("jax", lines) == (Need(name="jax", minimum="0.6"), Need(name="op-tax", minimum="0.2.5"))
    assert needs_of("mlx", lines) == (Need(name="mlx", minimum="0.26"),)
    assert needs_of("tpu", lines) == (Need(name="libtpu", minimum=None),)


@pytest.mark.parametrize("framework", ["torch", "jax", "mlx"])
def test_this_package_asks_for_a_least_version_of_each_framework(framework: str) -> None:
    needs = {need.name: need.minimum for need in needs_of(framework, own_requirements())}
    assert f"{framework}>={needs[framework]}" in "\n".join(metadata.requires("oildrop") or [])


@pytest.mark.parametrize(
    ("older", "newer"), [("2.9.1", "2.10"), ("0.6", "0.6.1"), ("2.9.0a0+git", "2.9.1+cu130"), ("2.9", "2.13.0+cpu")]
)
def test_versions_compare_by_their_numbers(older: str, newer: str) -> None:
    assert release(older) < release(newer)


def test_trailing_zeros_and_local_parts_make_no_difference() -> None:
    assert release("2.9.0+cpu") == release("2.9") == (2, 9)


@pytest.mark.parametrize(
    ("backend", "installed", "reason"),
    [
        ("torch-cuda", {}, "torch is not installed"),
        ("torch-cuda", {"torch": "2.8.1+cu126"}, "torch 2.8.1+cu126 is installed; 2.9 is the oldest that will do"),
        ("torch-cuda", {"torch": "2.10.0"}, None),
        ("jax-cpu", {"jax": "0.10.2"}, "optax is not installed"),
        ("jax-cpu", {"jax": "0.10.2", "optax": "0.2.8"}, None),
        ("jax-cuda", {"jax": "0.10.2", "optax": "0.2.8"}, "jax's part for cuda is not installed"),
        ("jax-cuda", {"jax": "0.10.2", "optax": "0.2.8", "jax-cuda13-plugin": "0.10.2"}, None),
        ("jax-rocm", {"jax": "0.10.2", "optax": "0.2.8", "jax-rocm60-plugin": "0.6"}, None),
        ("jax-tpu", {"jax": "0.10.2", "optax": "0.2.8", "jax-cuda13-plugin": "1"}, "jax's part for tpu"),
        ("jax-tpu", {"jax": "0.10.2", "optax": "0.2.8", "libtpu": "0.0.42"}, None),
        ("mlx-cpu", {"mlx": "0.32"}, "mlx's part for cpu is not installed"),
        ("mlx-cuda", {"mlx": "0.32", "mlx-cpu": "0.32"}, "mlx's part for cuda is not installed"),
        ("mlx-cuda", {"mlx": "0.32", "mlx-cuda-13": "0.32"}, None),
        ("mlx-metal", {"mlx": "0.32", "mlx-metal": "0.32"}, None),
    ],
)
def test_what_is_missing_or_too_old_is_named(backend: str, installed: dict[str, str], reason: str | None) -> None:
    lines = ['torch>=2.9; extra == "torch"', 'jax>=0.6; extra == "jax"', 'optax>=0.2.5; extra == "jax"']
    lines.append('mlx>=0.26; extra == "mlx"')
    said = missing_software(backend, needs_of(backend.split("-")[0], lines), installed)
    assert (said is None) == (reason is None) and (reason or "") in (said or "")


def test_the_installed_distributions_are_those_of_this_environment() -> None:
    assert installed_versions()["numpy"] == metadata.version("numpy")


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Asks the stand-in PyTorch in the given mood, in a real child."""
    shutil.copy(STAND_IN, tmp_path / "torch.py")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)

    def run(mood: str, limit_s: float = 30.0) -> Answer:
        monkeypatch.setenv("TORCH_STAND_IN", mood)
        return ask_module("oildrop.harness.detect_child", "torch-cuda", limit_s=limit_s)

    return run


@pytest.mark.parametrize("mood", ["", "noise", "old"])
def test_the_framework_says_what_it_sees(mood: str, ask) -> None:
    device = {"name": "Imaginary H900", "memory_bytes": 2**36, "uuid": "1-2-3"}
    assert ask(mood) == Answer(value={"devices": [device], "version": "99.0"})


@pytest.mark.parametrize(
    ("mood", "reason"),
    [
        ("none", "this PyTorch (99.0) finds no device"),
        ("tf32", "an fp32 matrix product is off by"),
        ("broken", "libimaginary.so.9: cannot open shared object file); pip install 'oildrop[torch]'"),
    ],
)
def test_a_framework_that_cannot_serve_says_why(mood: str, reason: str, ask) -> None:
    answer = ask(mood)
    assert reason in answer.value["reason"]
    assert not answer.value["reason"].startswith("torch-cuda")


def test_a_framework_that_crashes_is_reported(ask) -> None:
    assert "signal 6" in (ask("crash").reason or "")


def test_a_framework_that_hangs_is_ended(ask) -> None:
    assert "no answer within 0.5 s" in (ask("hang", limit_s=0.5).reason or "")


def test_an_error_that_nobody_expected_is_an_answer_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(backend: str) -> None:
        raise ZeroDivisionError("by the driver")

    monkeypatch.setattr(detect_child, "open_device", fail)
    assert detect_child.look("torch-cuda") == {"reason": "ZeroDivisionError: by the driver"}
    monkeypatch.setattr(
        detect_child, "open_device", lambda backend: (_ for _ in ()).throw(Unsupported("torch-cuda: no"))
    )
    assert detect_child.look("torch-cuda") == {"reason": "no"}
