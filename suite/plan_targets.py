"""Slices of TPU chips by the names that Google rents them under. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from oildrop.rules.errors import UsageError

PREFIX = "tpu:"


@dataclass(frozen=True, kw_only=True)
class Generation:
    """One generation of chips.

    Attributes:
        cores_per_chip: What a slice's number counts a chip as: 2 where it counts TensorCores, 1 where it counts chips.
        chip_config: How libtpu is told to join a chip's cores into one device; empty where it does so unasked.
        shapes: Slices as grids of chips, smallest first.
    """

    name: str
    cores_per_chip: int
    shapes: tuple[str, ...]
    chip_config: str = ""


FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
CUBIC = (
    "2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8", "8x8x16", "8x16x16",
)  # fmt: skip

GENERATIONS: Mapping[str, Generation] = {
    generation.name: generation
    for generation in (
        Generation(name="v4", cores_per_chip=2, shapes=CUBIC, chip_config="megacore"),
        Generation(name="v5e", cores_per_chip=1, shapes=FLAT),
        Generation(name="v5p", cores_per_chip=2, shapes=CUBIC),
        Generation(name="v6e", cores_per_chip=1, shapes=FLAT),
    )
}
"""Source: Google Cloud TPU documentation, pages TPU v4, v5e, v5p and v6e, tables of slices, read 2026-11-24."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A slice of `chips` chips; `topology` is libtpu's name for it."""

    name: str
    generation: Generation
    topology: str
    chips: int

    @property
    def device_kind(self) -> str:
        """What the rulebook's table lists the part under."""
        return f"TPU {self.generation.name}"


def targets(generation: Generation) -> tuple[Target, ...]:
    """All of a generation, smallest first."""
    return tuple(_target(generation, shape) for shape in generation.shapes)


def parse_target(text: str) -> Target:
    """`tpu:v5e-4` as a slice.

    Raises:
        UsageError: Another word, a generation or a size that is not rented; lists those that are.
    """
    found = re.fullmatch(r"tpu:(v\d+[a-z]?)-(\d+)", text.strip().lower())
    generation = GENERATIONS.get(found[1]) if found else None
    if generation is None:
        examples = ", ".join(_first_host(each) for each in GENERATIONS.values())
        raise UsageError(f"--compile {text!r} is no known target; use {examples}, or more chips of one of these")
    for target in targets(generation):
        if target.name == text.strip().lower():
            return target
    counted = "TensorCores, two a chip" if generation.cores_per_chip == 2 else "chips"
    known = ", ".join(target.name for target in targets(generation))
    raise UsageError(f"--compile {text!r}: {generation.name} slices are {known} (the number counts {counted})")


def _target(generation: Generation, shape: str) -> Target:
    chips = 1
    for side in shape.split("x"):
        chips *= int(side)
    return Target(
        name=f"{PREFIX}{generation.name}-{chips * generation.cores_per_chip}",
        generation=generation,
        topology=f"{generation.name}:{shape}",
        chips=chips,
    )


def _first_host(generation: Generation) -> str:
    """The slice of four chips, which every generation has."""
    return next(target.name for target in targets(generation) if target.chips == 4)
