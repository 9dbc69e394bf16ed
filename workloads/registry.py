"""Which class implements which task in which framework; nothing is imported until asked for."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from oildrop.rules.errors import Unsupported
from oildrop.workloads.protocols import Device, Settings, TrainTask

TRAIN_TASKS: dict[tuple[str, str], str] = {
    ("lm_pretrain", "torch"): "oildrop.workloads.lm_pretrain.task_torch:LmPretrainTorch",
    ("image_classify", "torch"): "oildrop.workloads.image_classify.task_torch:ImageClassifyTorch",
}


def framework_of(backend: str) -> str:
    """`torch` of `torch-cpu`."""
    return backend.split("-", 1)[0]


def frameworks_of(task: str) -> tuple[str, ...]:
    """The frameworks that `task` is written in."""
    return tuple(framework for name, framework in TRAIN_TASKS if name == task)


def make_train_task(task: str, settings: Settings, device: Device) -> TrainTask:
    """The task's object for the device's framework. Raises Unsupported where none was written."""
    framework = framework_of(device.backend)
    if (task, framework) not in TRAIN_TASKS:
        raise Unsupported(f"{task} has no {framework} implementation; it has {', '.join(frameworks_of(task))}")
    module, name = TRAIN_TASKS[task, framework].split(":")
    return cast(TrainTask, getattr(import_module(module), name)(settings, device))
