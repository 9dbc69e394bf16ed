"""The smaller model that proposes tokens: which one, of what settings, with what weights."""

from __future__ import annotations

from dataclasses import dataclass

from oildrop.rules.errors import Unsupported
from oildrop.workloads.engine import Weights
from oildrop.workloads.generator import Generator
from oildrop.workloads.kept_weights import read_checkpoint
from oildrop.workloads.lm_generate.shapes import model_shape
from oildrop.workloads.protocols import Settings

MODEL = "draft.model."
"""Before the name of a model setting: its value in the draft."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A generator with as many rows as the served one, which proposes `tokens` tokens a request and step at most."""

    generator: Generator
    tokens: int


def draft_settings(settings: Settings) -> Settings | None:
    """Settings of the draft's generator; None where `execution.draft` names none.

    For it nobody proposes: it reads the newest token, and one that it missed, so its `execution.draft_tokens` is 1.

    Raises:
        Unsupported: The tier has no draft of this name.
    """
    wanted = settings["execution.draft"]
    if not wanted:
        return None
    if settings.get("draft.name") != wanted:
        having = settings.get("draft.name", "none")
        raise Unsupported(
            f"execution.draft is {wanted}: this tier's draft is {having}; leave it empty, or take tier nano"
        )
    sizes = {f"model.{key.removeprefix(MODEL)}": value for key, value in settings.items() if key.startswith(MODEL)}
    return {**settings, **sizes, "execution.draft_tokens": 1}


def draft_weights(settings: Settings) -> Weights:
    """The draft's checkpoint. `settings` are those of `draft_settings`.

    Raises:
        DamagedCheckpoint: It is missing or not what the rulebook names.
    """
    name, sha256 = (str(settings[f"draft.{key}"]) for key in ("name", "weights_sha256"))
    return read_checkpoint(name, sha256, model_shape(settings).tensors())
