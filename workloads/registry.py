"""Which frameworks each task is written in, and how a task is put together; nothing is imported until asked for."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from oildrop.rules.errors import Unsupported
from oildrop.workloads.protocols import Device, Settings, TrainTask
from oildrop.workloads.served_protocols import ServeTask

if TYPE_CHECKING:
    from oildrop.workloads.calibrate.kernels import Kernels
    from oildrop.workloads.engine import Engine
    from oildrop.workloads.training import Lesson

LESSONS = {
    "lm_pretrain": "oildrop.workloads.lm_pretrain.lesson:LmPretrain",
    "image_classify": "oildrop.workloads.image_classify.lesson:ImageClassify",
}
"""What each task is, free of any framework."""

ENGINES = {
    "torch": "oildrop.workloads.engine_torch:TorchEngine",
    "jax": "oildrop.workloads.engine_jax:JaxEngine",
    "mlx": "oildrop.workloads.engine_mlx:MlxEngine",
}
"""What drives a model in each framework; `workloads.<task>.model_<framework>:make_model` makes it."""

REQUIREMENTS = {
    "lm_pretrain": "oildrop.workloads.lm_pretrain.reference:shape_of",
    "lm_generate": "oildrop.workloads.lm_generate.shapes:require_possible",
    "embed": "oildrop.workloads.embed.requests:require_possible",
}
"""What looks at a task's settings together, free of any framework. Of the others no two settings exclude each other."""

CALIBRATE = "calibrate"
"""The task that measures a machine's ceilings."""


def framework_of(backend: str) -> str:
    """`torch` of `torch-cpu`."""
    return backend.split("-", 1)[0]


def frameworks_of(task: str) -> tuple[str, ...]:
    """The frameworks that `task` is written in: where it is served, those whose `model_<framework>.py` is there.

    Of the calibration it is `kernels_<framework>.py`.
    """
    if task in LESSONS:
        return tuple(ENGINES)
    if find_spec(f"oildrop.workloads.{task}") is None:
        return ()
    part = "kernels" if task == CALIBRATE else "model"
    return tuple(name for name in ENGINES if find_spec(f"oildrop.workloads.{task}.{part}_{name}") is not None)


def require_possible(task: str, settings: Settings) -> None:
    """Raises UsageError where `settings`, each of them allowed, describe nothing that can be built; builds nothing."""
    if task in REQUIREMENTS:
        _load(REQUIREMENTS[task])(settings)


def make_train_task(task: str, settings: Settings, device: Device) -> TrainTask:
    """The task in the device's framework. Raises Unsupported where none was written."""
    from oildrop.workloads.gates import gate_changes
    from oildrop.workloads.training import Reduced, Training

    _require_framework(task, device)
    lesson, engine = _parts(task, settings, device)
    changes = gate_changes(settings)
    reduced = None
    if changes:
        fewer = {**settings, **changes}
        few, small = _parts(task, fewer, device)
        reduced = Reduced(settings=fewer, lesson=few, engine=small)
    return Training(settings, lesson, engine, reduced)


def make_serve_task(task: str, settings: Settings, device: Device) -> ServeTask:
    """The served model in the device's framework. Raises Unsupported where none was written."""
    _require_framework(task, device)
    made: ServeTask = _load(f"oildrop.workloads.{task}.serving:make_task")(settings, device)
    return made


def make_kernels(settings: Settings, device: Device) -> Kernels:
    """What the calibration asks of the device's framework. Raises Unsupported where none was written."""
    _require_framework(CALIBRATE, device)
    made: Kernels = _load(f"oildrop.workloads.{CALIBRATE}.kernels_{framework_of(device.backend)}:make_kernels")(
        settings, device
    )
    return made


def _require_framework(task: str, device: Device) -> None:
    framework = framework_of(device.backend)
    if framework not in frameworks_of(task):
        written = ", ".join(frameworks_of(task)) or "none"
        raise Unsupported(f"{task} has no {framework} implementation; it has {written}")


def _parts(task: str, settings: Settings, device: Device) -> tuple[Lesson, Engine]:
    framework = framework_of(device.backend)
    model = _load(f"oildrop.workloads.{task}.model_{framework}:make_model")(settings)
    return _load(LESSONS[task])(settings), _load(ENGINES[framework])(model, settings, device)


def _load(address: str) -> Any:
    """The object `name` of `module:name`."""
    module, name = address.split(":")
    return getattr(import_module(module), name)
