"""`image-classify` in PyTorch: the timed step, the evaluation and what surrounds them."""

from __future__ import annotations

import copy
import functools
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oildrop.rules.errors import OildropError
from oildrop.rules.records import GateResult
from oildrop.workloads.compiler_torch import require_compiler
from oildrop.workloads.cores import physical_cores
from oildrop.workloads.image_classify import data, model_torch, reference
from oildrop.workloads.image_classify.augment import Augmentation, TrainingStream, as_input
from oildrop.workloads.image_classify.data import Digits
from oildrop.workloads.image_classify.gates import Gate
from oildrop.workloads.image_classify.reference import ModelConfig
from oildrop.workloads.protocols import Device, Evaluation, Settings

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
NO_BATCH_SHA256 = bytes(32)

LossFunction = Callable[[dict[str, Tensor], Tensor, Tensor, torch.dtype], tuple[Tensor, Tensor]]


@dataclass(kw_only=True)
class Progress:
    """What training has done since `initialise`, apart from the tensors.

    Attributes:
        steps: Optimizer steps taken; the next sample is `steps` times the batch size.
        digest: SHA-256 over the digest before it and the newest batch; 32 zero bytes before the first.
        first_loss: Mean loss of the first step, on the device; `last_loss` that of the newest.
    """

    steps: int = 0
    digest: bytes = NO_BATCH_SHA256
    first_loss: Tensor | None = None
    last_loss: Tensor | None = None


class Learner:
    """Weights, their running average, and the optimizer.

    Evaluations score the average (decay `optimizer.average_decay` a step), whose loss falls evenly where
    that of the newest weights jumps: the instant at which the target is met is then well defined.
    """

    def __init__(self, config: ModelConfig, settings: Settings, device: torch.device) -> None:
        shapes = config.tensor_shapes()
        self.weights = {name: torch.zeros(shape, device=device).requires_grad_() for name, shape in shapes.items()}
        self.average = {name: torch.zeros(shape, device=device) for name, shape in shapes.items()}
        self._settings = settings
        self._optimizer = self._new_optimizer()

    def set_weights(self, values: dict[str, NDArray[np.float32]]) -> None:
        """Start over from `values`, with a fresh optimizer."""
        with torch.no_grad():
            for name, value in values.items():
                self.weights[name].copy_(torch.from_numpy(value))
                self.average[name].copy_(self.weights[name])
        self._optimizer = self._new_optimizer()

    def update(self, loss: Tensor, step: int) -> None:
        """One AdamW step down the gradient of `loss`; step 0 is the first."""
        warmup_steps = int(self._settings["optimizer.warmup_steps"])
        rate = float(self._settings["optimizer.learning_rate"]) * min(1.0, (step + 1) / max(1, warmup_steps))
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        loss.backward()
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            share = 1.0 - float(self._settings["optimizer.average_decay"])
            torch._foreach_lerp_(list(self.average.values()), list(self.weights.values()), share)

    def snapshot(self) -> dict[str, Any]:
        """A copy of everything that training changes."""
        return copy.deepcopy(
            {"weights": self.weights, "average": self.average, "optimizer": self._optimizer.state_dict()}
        )

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Back to `snapshot`, bit for bit, in the same tensors."""
        with torch.no_grad():
            for name in self.weights:
                self.weights[name].copy_(snapshot["weights"][name])
                self.average[name].copy_(snapshot["average"][name])
        self._optimizer.load_state_dict(snapshot["optimizer"])

    def _new_optimizer(self) -> torch.optim.AdamW:
        matrices = [weight for weight in self.weights.values() if weight.ndim > 1]
        vectors = [weight for weight in self.weights.values() if weight.ndim == 1]
        decay = float(self._settings["optimizer.weight_decay"])
        return torch.optim.AdamW(
            [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}],
            lr=float(self._settings["optimizer.learning_rate"]),
            betas=(float(self._settings["optimizer.beta1"]), float(self._settings["optimizer.beta2"])),
            eps=float(self._settings["optimizer.epsilon"]),
            fused=True,
        )


class ImageClassifyTorch:
    """The benchmark's `TrainTask` (see `protocols`) in PyTorch.

    `settings` holds the tier's settings and, under `gates.`, the benchmark's gates.
    """

    def __init__(self, settings: Settings, device: Device) -> None:
        self._settings = settings
        self._device = device

    def load_data(self) -> None:
        """Read the digits, check their hash, and split them."""
        digits = data.load_digits(str(self._settings["data.sha256"]))
        self._train, self._held_out = data.split(
            digits, seed=self._int("data.split_seed"), held_out_per_class=self._int("evaluation.held_out_per_class")
        )

    def build(self) -> None:
        """Make weights, optimizer and step, and run each graph once. Raises Unsupported without a compiler."""
        torch.set_num_threads(self._int("execution.threads") or physical_cores())
        if self._device.handle.type == "cuda":
            # TensorFloat-32 has 10 bits of mantissa: it is not what `fp32` says.
            torch.backends.cuda.matmul.fp32_precision = "ieee"
            torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
        self._config = ModelConfig(
            width=self._int("model.width"),
            norm_groups=self._int("model.norm_groups"),
            norm_epsilon=float(self._settings["model.norm_epsilon"]),
        )
        self._dtype = DTYPES[str(self._settings["execution.dtype"])]
        self._losses = self._loss_function()
        self._learner = Learner(self._config, self._settings, self._device.handle)
        self._held_out_batches = self._batches_of(self._held_out)
        self.initialise(self._int("gates.seed"))
        self.warm_up()

    def run_gates(self) -> list[GateResult]:
        """Losses of the training and the evaluation graph, in strict fp32 and in the declared dtype."""
        gate = Gate(
            config=self._config,
            seed=self._int("gates.seed"),
            weights_std=float(self._settings["gates.weights_std"]),
            sample=self._stream(self._int("gates.seed")).samples(0, self._int("gates.documents")),
        )
        results = []
        for dtype in dict.fromkeys(["fp32", str(self._settings["execution.dtype"])]):
            limit = float(self._settings[f"gates.limits.{dtype}"])
            for name, grad in (("image_loss_train", True), ("image_loss_eval", False)):
                losses = functools.partial(self._gate_losses, dtype=DTYPES[dtype], grad=grad)
                results.append(gate.compare(losses, name=name, dtype=dtype, limit=limit))
        return results

    def initialise(self, seed: int) -> None:
        """Weights and data order of `seed`; optimizer, average, counters and digest start over."""
        self._learner.set_weights(reference.initial_weights(self._config, seed))
        self._training_stream = self._stream(seed)
        self._progress = Progress()

    def weights(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """The newest weights (not their average) in canonical order."""
        for name, weight in self._learner.weights.items():
            yield name, weight.detach().cpu().numpy().copy()

    def warm_up(self) -> None:
        """Synthetic steps and one evaluation, after which nothing but caches and memory pools differs."""
        before = self._learner.snapshot()
        batch = synthetic_batch(self.samples_per_step())
        for step in range(max(1, self._int("execution.warmup_steps"))):
            self._step(batch, step)
        self.evaluate()
        self._learner.restore(before)

    def train_step(self) -> None:
        """Make the next batch, add it to the digest, and enqueue one optimizer step on it."""
        progress = self._progress
        batch = self._training_stream.samples(progress.steps * self.samples_per_step(), self.samples_per_step())
        progress.digest = next_digest(progress.digest, batch)
        progress.last_loss = self._step(batch, progress.steps)
        if progress.steps == 0:
            progress.first_loss = progress.last_loss
        progress.steps += 1

    def samples_per_step(self) -> int:
        """Images a step."""
        return self._int("data.images_per_batch")

    def tokens_per_step(self) -> int:
        """An image counts as one token."""
        return self.samples_per_step()

    def last_loss(self) -> float:
        """Mean training loss of the newest step, nats an image."""
        return _host_value(self._progress.last_loss)

    def first_loss(self) -> float:
        """Mean training loss of the first step, nats an image."""
        return _host_value(self._progress.first_loss)

    def batch_digest(self) -> tuple[str, int]:
        """Rolling digest of all training batches, and their count."""
        return self._progress.digest.hex(), self._progress.steps

    def evaluate(self) -> Evaluation:
        """Score the held-out images, unchanged, with the averaged weights."""
        with torch.no_grad():
            scored = [self._losses(self._learner.average, *batch, self._dtype) for batch in self._held_out_batches]
            losses = torch.cat([losses_B for losses_B, _ in scored]).cpu().numpy()
            right = torch.cat([right_B for _, right_B in scored]).cpu().numpy()
        count = len(self._held_out)
        return Evaluation(
            loss_nats=losses[:count].astype(np.float64),
            source_nats=np.zeros(count),
            token_count=np.ones(count, dtype=np.int64),
            correct_count=right[:count].astype(np.int64),
        )

    def _step(self, batch: Digits, step: int) -> Tensor:
        """One optimizer step on `batch`; its mean loss stays on the device."""
        losses_B, _ = self._losses(self._learner.weights, *self._to_device(batch), self._dtype)
        loss = losses_B.mean()
        self._learner.update(loss, step)
        return loss.detach()

    def _loss_function(self) -> LossFunction:
        losses = functools.partial(model_torch.image_losses, self._config)
        if self._settings["execution.compile"] != "inductor":
            return losses
        require_compiler()
        compiled: LossFunction = torch.compile(losses, dynamic=False)
        return compiled

    def _gate_losses(
        self, weights: dict[str, NDArray[np.float32]], sample: Digits, *, dtype: torch.dtype, grad: bool
    ) -> NDArray[np.float32]:
        on_device = {name: torch.from_numpy(value).to(self._device.handle) for name, value in weights.items()}
        with torch.set_grad_enabled(grad):
            for weight in on_device.values():
                weight.requires_grad_(grad)
            losses = [self._losses(on_device, *batch, dtype)[0].detach() for batch in self._batches_of(sample)]
        result: NDArray[np.float32] = torch.cat(losses).cpu().numpy()[: len(sample)]
        return result

    def _batches_of(self, digits: Digits) -> list[tuple[Tensor, Tensor]]:
        """`digits` on the device in batches of the training shape, wrapped at the end: one graph serves them all."""
        size = self.samples_per_step()
        starts = range(0, len(digits), size)
        return [self._to_device(digits.take(np.arange(start, start + size) % len(digits))) for start in starts]

    def _to_device(self, batch: Digits) -> tuple[Tensor, Tensor]:
        images_BHW = torch.from_numpy(as_input(batch.images))
        labels_B = torch.from_numpy(batch.labels.astype(np.int64))
        handle = self._device.handle
        return images_BHW.to(handle, non_blocking=True), labels_B.to(handle, non_blocking=True)

    def _stream(self, seed: int) -> TrainingStream:
        augmentation = Augmentation(
            shift_px=self._int("data.shift_px"), noise=self._int("data.noise"), erase_px=self._int("data.erase_px")
        )
        return TrainingStream(self._train, augmentation, seed)

    def _int(self, key: str) -> int:
        return int(self._settings[key])


def synthetic_batch(count: int) -> Digits:
    """`count` images of a fixed pattern that is no training data."""
    pixels = np.arange(count * data.SIDE_PX**2, dtype=np.int32).reshape(count, data.SIDE_PX, data.SIDE_PX)
    labels = np.arange(count, dtype=np.int32) % data.CLASS_COUNT
    return Digits(images=pixels % (data.INK_LEVELS + 1), labels=labels)


def next_digest(digest: bytes, batch: Digits) -> bytes:
    """SHA-256 over `digest`, then the little-endian int32 bytes of the batch's images, then of its labels."""
    return hashlib.sha256(digest + data.little_endian(batch.images) + data.little_endian(batch.labels)).digest()


def _host_value(loss: Tensor | None) -> float:
    if loss is None:
        raise OildropError("no loss yet: 0 training steps were taken, at least 1 is needed; call train_step first")
    return float(loss.item())
