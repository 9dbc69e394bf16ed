"""What a network that answers in one pass takes on a part: memory of a full batch, and least times by the roofline."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from oildrop.rules.errors import UsageError
from oildrop.rules.formulas.flops_table import SERVED_FLOPS, STRIDES
from oildrop.rules.formulas.memory_served import conv_activation_bytes, encoder_activation_bytes
from oildrop.rules.formulas.roofline import MFU_RANGE, Work
from oildrop.rules.records import Scalar
from oildrop.rules.rulebook import Benchmark
from oildrop.suite.plan_sizes import Place
from oildrop.workloads.forward import weight_bytes

ONE_PASS = ("embed", "image_infer")
"""Tasks that are planned so."""


@dataclass(frozen=True, kw_only=True)
class ServedTimes:
    """Least times at one share of the peak; None where `ServedSizes.missing` says why.

    Attributes:
        one_s: One request alone, seconds.
        batch_s: A full batch, seconds.
        requests_per_s: In full batches.
    """

    mfu: float
    one_s: float | None
    batch_s: float | None
    requests_per_s: float | None


@dataclass(frozen=True, kw_only=True)
class ServedSizes:
    """The answer.

    Attributes:
        slots: Requests of a full batch.
        input_tokens: Of the middle request, for which FLOPs are; an image counts one.
        weights_bytes: All tensors as they are kept.
        activation_bytes: Of a full batch of the longest requests.
        fits: Whether both stay within what a part leaves; None where its memory is not known.
    """

    parameters: int
    slots: int
    input_tokens: int
    flop_per_request: float
    weights_bytes: int
    activation_bytes: int
    fits: bool | None
    times: tuple[ServedTimes, ...]
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def total_bytes(self) -> int:
        """Weights and activations."""
        return self.weights_bytes + self.activation_bytes


def served_sizes(benchmark: Benchmark, settings: Mapping[str, Scalar], place: Place) -> ServedSizes:
    """What `benchmark` takes at `settings` on `place`. Raises UsageError where its work has no formula."""
    flops_of = SERVED_FLOPS.get(benchmark.flops_formula or "")
    if benchmark.task not in ONE_PASS or flops_of is None:
        raise UsageError(
            f"{benchmark.name} serves, and plans are for benchmarks that train or answer in one pass "
            "(image-infer, embed); try a run: oildrop run --help"
        )
    if place.count != 1:
        raise UsageError(f"--devices {place.count}: {benchmark.name} serves on one device; leave it out")
    slots, dtype = int(settings["execution.slots"]), str(settings["execution.dtype"])
    tokens = _middle_tokens(settings)
    shapes, products, activation_bytes = _network(benchmark.task, settings, slots)
    weights = weight_bytes(shapes, products, dtype)
    missing: dict[str, str] = {}
    if place.usable_bytes is None:
        missing["fits"] = "no part was named" if place.part is None else "the table has no memory of this part"
    flop = flops_of(settings, tokens, 1)
    return ServedSizes(
        parameters=sum(math.prod(shape) for shape in shapes.values()),
        slots=slots,
        input_tokens=tokens,
        flop_per_request=flop,
        weights_bytes=weights,
        activation_bytes=activation_bytes,
        fits=None if place.usable_bytes is None else weights + activation_bytes <= place.usable_bytes,
        times=_times(place, dtype, flop, slots, _read_bytes(benchmark.task, shapes, products, dtype), missing),
        missing=missing,
    )


def _middle_tokens(settings: Mapping[str, Scalar]) -> int:
    ends = [settings.get(f"requests.tokens_{end}", 1) for end in ("min", "max")]
    return sum(int(end) for end in ends) // 2


def _network(
    task: str, settings: Mapping[str, Scalar], slots: int
) -> tuple[Mapping[str, tuple[int, ...]], frozenset[str], int]:
    """Shapes of the tensors, names of the matrices of products, and bytes of a full batch's activations."""
    if task == "embed":
        from oildrop.workloads.embed.reference import shape_of

        shape, longest = shape_of(settings), int(settings["requests.tokens_max"])
        activations = encoder_activation_bytes(
            width=shape.width, heads=shape.heads, hidden=shape.hidden, sentences=slots, tokens=longest
        )
        return shape.tensors(), shape.products(), activations
    from oildrop.workloads.image_classify.reference import config_of
    from oildrop.workloads.image_infer.subject import products

    config = config_of(settings)
    channels = [1, *(out for _, out in config.channels())]
    side_px = int(settings["data.side_px"])
    activations = conv_activation_bytes(side_px=side_px, channels=channels, strides=STRIDES, images=slots)
    return config.tensor_shapes(), products(config), activations


def _read_bytes(task: str, shapes: Mapping[str, tuple[int, ...]], products: frozenset[str], dtype: str) -> int:
    """Weights that one pass reads: of an encoder's tables a few rows, which are left out."""
    read = {name: shape for name, shape in shapes.items() if task != "embed" or "_embeddings" not in name}
    return weight_bytes(read, products, dtype)


def _times(
    place: Place, dtype: str, flop: float, slots: int, read_bytes: int, missing: dict[str, str]
) -> tuple[ServedTimes, ...]:
    part = place.part
    peak = part.peak_flop_per_s.get(dtype) if part else None
    if part is None or peak is None:
        missing["times"] = "no part was named" if part is None else f"the table has no {dtype} peak of {part.name}"
        return tuple(ServedTimes(mfu=mfu, one_s=None, batch_s=None, requests_per_s=None) for mfu in MFU_RANGE)
    found = []
    for mfu in MFU_RANGE:
        one_s, batch_s = (
            Work(flop=flop * count, moved_bytes=read_bytes).seconds(
                peak_flop_per_s=peak, bandwidth_bytes_per_s=part.bandwidth_bytes_per_s, mfu=mfu
            )
            for count in (1, slots)
        )
        found.append(ServedTimes(mfu=mfu, one_s=one_s, batch_s=batch_s, requests_per_s=slots / batch_s))
    return tuple(found)
