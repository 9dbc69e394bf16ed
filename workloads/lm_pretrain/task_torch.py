"""`lm-pretrain` in PyTorch: the timed step, the evaluation and what surrounds them.

Shape suffixes: B documents of a batch, N documents of a block, S = T + 1 tokens of a document with its start token.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oildrop.rules.errors import OildropError
from oildrop.rules.records import GateResult
from oildrop.workloads.compiler_torch import require_compiler
from oildrop.workloads.cores import physical_cores
from oildrop.workloads.lm_pretrain import data
from oildrop.workloads.lm_pretrain.gates import Gate
from oildrop.workloads.lm_pretrain.grammar import grammar_of
from oildrop.workloads.lm_pretrain.model_torch import Decoder
from oildrop.workloads.lm_pretrain.reference import initial_std_of, initial_weights, shape_of
from oildrop.workloads.lm_pretrain.source import Source
from oildrop.workloads.protocols import Device, Evaluation, Settings

# bf16 is autocast: matrix products in bfloat16; weights, optimizer, residual stream and losses stay fp32.
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(kw_only=True)
class Progress:
    """What training has done since `initialise`, apart from weights and optimizer.

    Attributes:
        block_NS: Tokens of the current block on the host; `on_device_NS` the same on the device, int64.
        cursor: The next batch's first document in the block.
        digest: SHA-256 over the digest before it and the newest batch; 32 zero bytes before the first.
        first_loss: Mean loss of the first step, on the device; `last_loss` that of the newest.
    """

    training: data.TrainingData
    block_NS: NDArray[np.int32] | None = None
    on_device_NS: Tensor | None = None
    cursor: int = 0
    steps: int = 0
    digest: bytes = data.NO_BATCH_SHA256
    first_loss: Tensor | None = None
    last_loss: Tensor | None = None


class LmPretrainTorch:
    """The benchmark's `TrainTask` (see `protocols`) in PyTorch.

    Evaluations score a running average of the weights (decay `optimizer.average_decay` a step), whose loss falls
    evenly where that of the newest weights jumps: the instant at which the target is met is then well defined.
    `settings` holds the tier's settings and, under `gates.`, the benchmark's gates.
    """

    def __init__(self, settings: Settings, device: Device) -> None:
        self._settings = settings
        self._device = device

    def load_data(self) -> None:
        """Make the language's tables and the held-out documents."""
        self._source = Source(grammar_of(self._settings))
        self._held_out = data.held_out(self._source, self._int("evaluation.seed"), self._int("evaluation.documents"))

    def build(self) -> None:
        """Make model, optimizer and graphs, and run each graph once. Raises Unsupported without a compiler."""
        torch.set_num_threads(self._int("execution.threads") or physical_cores())
        if self._device.handle.type == "cuda":
            # TensorFloat-32 has 10 bits of mantissa: it is not what `fp32` says.
            torch.backends.cuda.matmul.fp32_precision = "ieee"
        self._shape = shape_of(self._settings)
        self._model = Decoder(self._shape).to(self._device.handle)
        self._average = Decoder(self._shape).to(self._device.handle).requires_grad_(False)
        self._losses, self._score = self._graphs()
        self._held_out_NS = self._to_device(self._held_out.tokens_NS)
        self.initialise(self._int("gates.seed"))
        self.warm_up()

    def run_gates(self) -> list[GateResult]:
        """Losses of the training and the evaluation graph, in strict fp32 and in the declared dtype."""
        gate = Gate(
            shape=self._shape,
            seed=self._int("gates.seed"),
            weights_std=self._float("gates.weights_std"),
            tokens_NS=self._source.documents(self._int("gates.seed"), 0, self._int("gates.documents"), part="gate")[0],
        )
        graphs = (
            ("token_loss_train", self._train_losses, self.samples_per_step()),
            ("token_loss_eval", self._eval_losses, len(self._held_out_NS)),
        )
        results = []
        for dtype in dict.fromkeys(["fp32", str(self._settings["execution.dtype"])]):
            limit = self._float(f"gates.limits.{dtype}")
            for name, graph, batch in graphs:
                losses = functools.partial(self._gate_losses, graph=graph, batch=batch, dtype=dtype)
                results.append(gate.compare(losses, name=name, dtype=dtype, limit=limit))
        return results

    def initialise(self, seed: int) -> None:
        """Weights and data of `seed`; optimizer, average, counters and digest start over."""
        self._set_weights(initial_weights(self._shape, seed, initial_std_of(self._settings)))
        self._optimizer = self._new_optimizer()
        self._progress = Progress(training=data.TrainingData(self._source, seed, self.samples_per_step()))

    def weights(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """The newest weights (not their average) in canonical order."""
        for name, weight in _in_order(self._model):
            yield name, weight.detach().cpu().numpy().copy()

    def warm_up(self) -> None:
        """Synthetic steps and one evaluation, after which nothing but caches and memory pools differs."""
        before = copy.deepcopy((self._model.state_dict(), self._average.state_dict(), self._optimizer.state_dict()))
        synthetic_BS = self._to_device(data.synthetic_batch(self._source, self.samples_per_step()))
        for step in range(max(1, self._int("execution.warmup_steps"))):
            self._step(synthetic_BS, step)
        self.evaluate()
        self._model.load_state_dict(before[0])
        self._average.load_state_dict(before[1])
        self._optimizer.load_state_dict(before[2])

    def train_step(self) -> None:
        """Take the next batch, add it to the digest, and enqueue one optimizer step on it."""
        progress = self._progress
        progress.last_loss = self._step(self._next_batch(), progress.steps)
        if progress.steps == 0:
            progress.first_loss = progress.last_loss
        progress.steps += 1

    def samples_per_step(self) -> int:
        """Documents a step."""
        return self._int("data.documents_per_batch")

    def tokens_per_step(self) -> int:
        """Scored tokens a step."""
        return self.samples_per_step() * self._int("data.document_tokens")

    def last_loss(self) -> float:
        """Mean training loss of the newest step, nats a token."""
        return _host_value(self._progress.last_loss)

    def first_loss(self) -> float:
        """Mean training loss of the first step, nats a token."""
        return _host_value(self._progress.first_loss)

    def batch_digest(self) -> tuple[str, int]:
        """Rolling digest of all training batches, and their count."""
        return self._progress.digest.hex(), self._progress.steps

    def evaluate(self) -> Evaluation:
        """Score the held-out documents with the averaged weights; losses in fp32, summed a document in float64."""
        with torch.no_grad(), self._autocast(str(self._settings["execution.dtype"])):
            loss_NT, right_NT = self._score(self._held_out_NS)
        tokens = np.full(len(self._held_out.tokens_NS), self._shape.positions, dtype=np.int64)
        return Evaluation(
            loss_nats=loss_NT.cpu().numpy().astype(np.float64).sum(axis=1),
            source_nats=self._held_out.information_N.copy(),
            token_count=tokens,
            correct_count=right_NT.sum(dim=1).cpu().numpy().astype(np.int64),
        )

    def _step(self, tokens_BS: Tensor, step: int) -> Tensor:
        """One optimizer step; its mean loss stays on the device."""
        with self._autocast(str(self._settings["execution.dtype"])):
            loss = self._losses(tokens_BS).mean()
        loss.backward()
        for group in self._optimizer.param_groups:
            group["lr"] = self._learning_rate(step)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            share = 1.0 - self._float("optimizer.average_decay")
            torch._foreach_lerp_(list(self._average.parameters()), list(self._model.parameters()), share)
        return loss.detach()

    def _next_batch(self) -> Tensor:
        """The next B documents on the device, int64 [B, S]; generates and copies a whole block when one is used up."""
        progress = self._progress
        if progress.block_NS is None or progress.cursor == len(progress.block_NS):
            progress.block_NS, progress.cursor = progress.training.next_block(), 0
            progress.on_device_NS = self._to_device(progress.block_NS)
        assert progress.on_device_NS is not None
        here = slice(progress.cursor, progress.cursor + self.samples_per_step())
        progress.digest = data.next_digest(progress.digest, progress.block_NS[here])
        progress.cursor = here.stop
        return progress.on_device_NS[here]

    def _learning_rate(self, step: int) -> float:
        """The rate of optimizer step `step`, 0 the first: linear up, then constant."""
        warmup_steps = self._int("optimizer.warmup_steps")
        return self._float("optimizer.learning_rate") * min(1.0, (step + 1) / max(1, warmup_steps))

    def _graphs(self) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], tuple[Tensor, Tensor]]]:
        """`losses` of the model and `score` of its average, compiled where that is declared."""
        if self._settings["execution.compile"] != "inductor":
            return self._model.losses, self._average.score
        require_compiler()
        return torch.compile(self._model.losses, dynamic=False), torch.compile(self._average.score, dynamic=False)

    def _new_optimizer(self) -> torch.optim.AdamW:
        matrices = [weight for _, weight in _in_order(self._model) if weight.ndim > 1]
        scales = [weight for _, weight in _in_order(self._model) if weight.ndim == 1]
        decay = self._float("optimizer.weight_decay")
        return torch.optim.AdamW(
            [{"params": matrices, "weight_decay": decay}, {"params": scales, "weight_decay": 0.0}],
            lr=self._float("optimizer.learning_rate"),
            betas=(self._float("optimizer.beta1"), self._float("optimizer.beta2")),
            eps=self._float("optimizer.epsilon"),
            fused=True,
        )

    def _train_losses(self, tokens_BS: Tensor) -> Tensor:
        return self._losses(tokens_BS).detach()

    def _eval_losses(self, tokens_BS: Tensor) -> Tensor:
        with torch.no_grad():
            return self._score(tokens_BS)[0]

    def _gate_losses(
        self,
        weights: Mapping[str, NDArray[np.float32]],
        tokens_NS: NDArray[np.int32],
        *,
        graph: Callable[[Tensor], Tensor],
        batch: int,
        dtype: str,
    ) -> NDArray[np.float32]:
        """The losses of `graph` on `weights`, in batches of the shape that is timed, wrapped at the end."""
        self._set_weights(weights)
        starts = range(0, len(tokens_NS), batch)
        batches = [tokens_NS[np.arange(start, start + batch) % len(tokens_NS)] for start in starts]
        with self._autocast(dtype):
            losses = [graph(self._to_device(tokens_BS)).cpu().numpy() for tokens_BS in batches]
        return np.concatenate(losses)[: len(tokens_NS)]

    def _autocast(self, dtype: str) -> torch.autocast:
        return torch.autocast(self._device.handle.type, dtype=torch.bfloat16, enabled=DTYPES[dtype] is torch.bfloat16)

    def _set_weights(self, values: Mapping[str, NDArray[np.float32]]) -> None:
        """Give the model, and its average, the weights `values`."""
        with torch.no_grad():
            for model in (self._model, self._average):
                for name, weight in _in_order(model):
                    weight.copy_(torch.from_numpy(values[name]))

    def _to_device(self, tokens_NS: NDArray[np.int32]) -> Tensor:
        """Tokens on the device as int64; from pinned memory without waiting where the device has its own."""
        tokens = torch.from_numpy(tokens_NS.astype(np.int64))
        if self._device.handle.type == "cuda":
            tokens = tokens.pin_memory()
        return tokens.to(self._device.handle, non_blocking=True)

    def _int(self, key: str) -> int:
        return int(self._settings[key])

    def _float(self, key: str) -> float:
        return float(self._settings[key])


def _in_order(model: Decoder) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """Parameters under their canonical names, in canonical order."""
    parameters = dict(model.named_parameters())
    return ((name, parameters[name]) for name in model.shape.tensors())


def _host_value(loss: Tensor | None) -> float:
    if loss is None:
        raise OildropError("no loss yet: 0 training steps were taken, at least 1 is needed; call train_step first")
    return float(loss.item())
