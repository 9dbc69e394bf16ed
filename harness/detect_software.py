"""Which distributions a backend needs, and which of them are missing or too old; imports no framework."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata

_REQUIREMENT = re.compile(
    r"""(?P<name>[\w.-]+)(?:\[[^\]]*\])?(?:>=(?P<minimum>[\d.]+))?;.*\bextra\s*==\s*["'](?P<extra>\w+)["']"""
)
_RELEASE = re.compile(r"\d+(?:\.\d+)*")

PARTS = {
    "jax-cuda": r"jax-cuda\d+-plugin",
    "jax-rocm": r"jax-rocm\d+-plugin",
    "jax-tpu": r"libtpu(-nightly)?",
    "mlx-cuda": r"mlx-cuda(-\d+)?",
    "mlx-cpu": r"mlx-(cpu|metal|cuda(-\d+)?)",
}
"""Distributions that bring a framework to a platform, where its own does not. Source: the extras in the metadata of
JAX 0.10.2 and MLX 0.32.4, read 2026-11-24."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """One distribution that Oildrop asks for; `minimum` is None where any version will do."""

    name: str
    minimum: str | None


def missing_software(backend: str, needs: Iterable[Need], installed: Mapping[str, str]) -> str | None:
    """Why the installed distributions cannot serve `backend`, or None when they seem to.

    Args:
        needs: What the framework's extra asks for.
        installed: Versions by normalised name.
    """
    for need in needs:
        version = installed.get(need.name)
        if version is None:
            return f"{need.name} is not installed"
        if need.minimum is not None and release(version) < release(need.minimum):
            return f"{need.name} {version} is installed; {need.minimum} is the oldest that will do"
    part = PARTS.get(backend)
    if part is not None and not any(re.fullmatch(part, name) for name in installed):
        framework, platform = backend.split("-")
        return f"{framework}'s part for {platform} is not installed"
    return None


def needs_of(extra: str, requirements: Iterable[str]) -> tuple[Need, ...]:
    """What `extra` asks for among a package's `Requires-Dist` lines, each distribution once."""
    matches = (_REQUIREMENT.match(line) for line in requirements)
    found = (match for match in matches if match is not None and match["extra"] == extra)
    return tuple(dict.fromkeys(Need(name=normalised(match["name"]), minimum=match["minimum"]) for match in found))


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version's release, trailing zeros left out: (2, 9) of `2.9.0+cu130`; () where there are none."""
    match = _RELEASE.match(version)
    numbers = [int(part) for part in match[0].split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def normalised(name: str) -> str:
    """A distribution's name as indexes compare it. Source: PyPA specification "Names and normalization"."""
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def own_requirements() -> tuple[str, ...]:
    """What this installation of Oildrop says it requires."""
    return tuple(metadata.requires("oildrop") or ())


@cache
def installed_versions() -> dict[str, str]:
    """Every installed distribution, by normalised name; the first found is the one that is imported."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        found.setdefault(normalised(distribution.name), distribution.version)
    return found
