"""Which backends a machine can serve and which one `auto` picks: imaginary machines, distributions and answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oildrop.harness import backends
from oildrop.harness.backends import (
    AUTO_ORDER,
    BACKENDS,
    INSTALL,
    Detector,
    availabilities,
    availability,
    choose_backend,
)
from oildrop.harness.meters.isolation import Answer
from oildrop.harness.system.source import Host

ALL = ("torch", "jax", "mlx")
EVERYTHING = {
    "torch": "2.13.0", "jax": "0.10.2", "mlx": "0.32.4", "mlx-metal": "0.32.4", "libtpu": "0.0.42",
    "jax-cuda13-plugin": "0.10.2", "jax-rocm7-plugin": "0.10.2", "mlx-cuda-13": "0.32.4",
}  # fmt: skip
REQUIREMENTS = ('torch>=2.9; extra == "torch"', 'jax>=0.6; extra == "jax"', 'mlx>=0.26; extra == "mlx"')

Make = Callable[..., Detector]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A detector on a machine with the files `devices`, whose frameworks answer `answers` or one device each."""

    def build(
        *devices: str,
        system: str = "Linux",
        machine: str = "x86_64",
        installed: dict[str, str] | None = None,
        answers: dict[str, Answer] | None = None,
    ) -> Detector:
        (tmp_path / "dev").mkdir(exist_ok=True)
        for name in devices:
            (tmp_path / "dev" / name).touch()
        host = Host(
            root=tmp_path,
            system=system,
            machine=machine,
            release="0",
            cpu_count=1,
            affinity_count=1,
            environment={},
            run=lambda arguments: None,
        )
        one = Answer(value={"devices": [{"name": "Imaginary 9000"}], "version": "1"})
        return Detector(
            host=host,
            installed=lambda: EVERYTHING if installed is None else installed,
            requirements=lambda: REQUIREMENTS,
            ask=lambda backend: (answers or {}).get(backend, one),
        )

    return build


@pytest.mark.parametrize(
    ("devices", "mac", "expected"),
    [
        ((), False, ["torch-cpu", "jax-cpu", "mlx-cpu"]),
        (("nvidiactl",), False, ["torch-cuda", "torch-cpu", "jax-cuda", "jax-cpu", "mlx-cuda", "mlx-cpu"]),
        (("kfd",), False, ["torch-rocm", "torch-cpu", "jax-rocm", "jax-cpu", "mlx-cpu"]),
        (("accel0",), False, ["torch-cpu", "jax-tpu", "jax-cpu", "mlx-cpu"]),
        ((), True, ["torch-mps", "torch-cpu", "jax-cpu", "mlx-metal", "mlx-cpu"]),
    ],
)
def test_each_machine_serves_the_backends_of_its_hardware(devices, mac: bool, expected: list[str], make: Make) -> None:
    detector = make(*devices, **({"system": "Darwin", "machine": "arm64"} if mac else {}))
    assert [name for name in BACKENDS if detector.availability(name).available] == expected


@pytest.mark.parametrize(
    ("devices", "mac", "picked"),
    [
        ((), False, "torch-cpu"),
        (("nvidiactl",), False, "torch-cuda"),
        (("kfd",), False, "torch-rocm"),
        (("accel0",), False, "jax-tpu"),
        ((), True, "torch-mps"),
    ],
)
def test_auto_picks_the_accelerator_and_for_it_pytorch_first(devices, mac: bool, picked: str, make: Make) -> None:
    detector = make(*devices, **({"system": "Darwin", "machine": "arm64"} if mac else {}))
    backend, why = detector.choose(ALL)
    assert backend == picked and why.startswith("first that can run here")
    assert ("Imaginary 9000" in why) == (picked != "torch-cpu")


@pytest.mark.parametrize(
    ("frameworks", "picked"), [(("jax", "mlx"), "jax-cuda"), (("mlx",), "mlx-cuda"), (("torch",), "torch-cuda")]
)
def test_auto_keeps_to_the_frameworks_that_the_benchmark_is_written_in(frameworks, picked: str, make: Make) -> None:
    assert make("nvidiactl").choose(frameworks)[0] == picked


def test_an_accelerator_of_the_second_framework_comes_before_the_processor_of_the_first(make: Make) -> None:
    broken = {"torch-cuda": Answer(value={"reason": "this PyTorch is built for the CPU"})}
    backend, why = make("nvidiactl", answers=broken).choose(ALL)
    assert backend == "jax-cuda"
    assert "torch-cuda: this PyTorch is built for the CPU" in why


def test_auto_tells_each_reason_once(make: Make) -> None:
    _, why = make().choose(ALL)
    assert "torch-cuda, jax-cuda, mlx-cuda: no NVIDIA device is visible (no device file nvidiactl); " in why


def test_without_any_framework_auto_names_a_backend_that_says_what_to_install(make: Make) -> None:
    detector = make(installed={})
    backend, why = detector.choose(ALL)
    found = detector.availability(backend)
    assert backend == "torch-cpu" and "torch is not installed" in why
    assert (found.available, found.reason, found.install) == (False, "torch is not installed", INSTALL["torch-cpu"])


def test_a_framework_that_is_too_old_is_said_with_its_version_and_the_fix(make: Make) -> None:
    found = make(installed={"torch": "2.4.0"}).availability("torch-cpu")
    assert not found.available and found.version == "2.4.0"
    assert found.reason == "torch 2.4.0 is installed; 2.9 is the oldest that will do"
    assert found.install == "pip install 'oildrop[torch]'"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(reason="no answer within 60 s"), "no answer within 60 s"),
        (Answer(value={"reason": "no device"}), "no device"),
        (Answer(value={"devices": [], "version": "1"}), "the framework shows no device"),
        (Answer(value=[1]), "the framework answered something else than was asked"),
    ],
)
def test_an_answer_without_a_device_is_a_reason(answer: Answer, reason: str, make: Make) -> None:
    found = make("nvidiactl", answers={"jax-cuda": answer}).availability("jax-cuda")
    assert (found.available, found.reason, found.install) == (False, reason, INSTALL["jax-cuda"])


def test_no_framework_is_asked_where_its_hardware_is_missing_or_is_the_processor(make: Make) -> None:
    def refuse(backend: str) -> Answer:
        raise AssertionError(f"{backend} was asked")

    quiet = make()
    detector = Detector(host=quiet.host, installed=quiet.installed, requirements=quiet.requirements, ask=refuse)
    assert [detector.availability(name).available for name in BACKENDS].count(True) == 3


def test_every_backend_has_a_place_in_auto_and_an_install_line() -> None:
    assert sorted(AUTO_ORDER) == sorted(BACKENDS) == sorted(INSTALL)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Backends that a child was started for; it never answers."""
    backend_names: list[str] = []

    def ask(module: str, backend: str, *, limit_s: float) -> Answer:
        assert module == "oildrop.harness.detect_child"
        backend_names.append(backend)
        return Answer(reason=f"no answer within {limit_s:g} s")

    monkeypatch.setattr(backends, "ask_module", ask)
    backends.ask_framework.cache_clear()
    yield backend_names
    backends.ask_framework.cache_clear()


def test_a_framework_is_asked_once_a_process(asked: list[str], make: Make) -> None:
    quiet = make("nvidiactl")
    detector = Detector(host=quiet.host, installed=quiet.installed, requirements=quiet.requirements)
    reasons = {detector.availability("torch-cuda").reason for _ in range(3)}
    assert (reasons, asked) == ({"no answer within 60 s"}, ["torch-cuda"])


def test_this_machine_serves_some_processor_and_tells_the_rest(asked: list[str]) -> None:
    found = availabilities()
    assert [entry.backend for entry in found] == list(BACKENDS)
    assert [availability(name) for name in BACKENDS] == found
    assert all(entry.available or (entry.reason and entry.install) for entry in found)
    assert choose_backend()[0] in [entry.backend for entry in found if entry.available]
