"""Formulas by the name that a benchmark file gives, over that benchmark's settings: FLOPs, and sizes behind memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from oildrop.rules.formulas.flops import decoder_serve_flops, decoder_train_flops_per_token
from oildrop.rules.formulas.flops_conv import conv_train_flops_per_image
from oildrop.rules.formulas.flops_encoder import encoder_serve_flops
from oildrop.rules.formulas.memory import DecoderSize
from oildrop.rules.formulas.memory_conv import ConvSize
from oildrop.rules.records import Scalar

CONTROL_TOKENS = 3
"""Beginning of a document, `let` and `get`; beside them words, names, digits, and two tokens a kind of bracket."""
DIGITS = 10
DIGITS_CLASSES = 10
KERNEL_PX = 3
WIDTH_MULTIPLES = (1, 2, 2, 4)
STRIDES = (1, 2, 1, 2)


def decoder_size(settings: Mapping[str, Scalar]) -> DecoderSize:
    """Sizes of the decoder that the `model.*` and `data.*` settings describe."""
    number = {key: int(settings[f"model.{key}"]) for key in ("layers", "width", "heads", "key_value_heads", "hidden")}
    words, names, brackets = (int(settings[f"data.{key}"]) for key in ("words", "names", "brackets"))
    tokens = words + names + 2 * brackets + DIGITS + CONTROL_TOKENS
    vocabulary = int(settings.get("model.vocabulary", 0)) or tokens  # bundles from before this setting have none
    return DecoderSize(**number, vocabulary=vocabulary, positions=int(settings["data.document_tokens"]))


def _decoder(settings: Mapping[str, Scalar]) -> float:
    size = decoder_size(settings)
    return decoder_train_flops_per_token(
        layers=size.layers,
        width=size.width,
        heads=size.heads,
        key_value_heads=size.key_value_heads,
        hidden=size.hidden,
        vocabulary=size.vocabulary,
        positions=size.positions,
    )


def conv_size(settings: Mapping[str, Scalar]) -> ConvSize:
    """Sizes of the convolutional network that the `model.*` and `data.*` settings describe."""
    width = int(settings["model.width"])
    return ConvSize(
        side_px=int(settings["data.side_px"]),
        channels=(1, *(width * multiple for multiple in WIDTH_MULTIPLES)),
        strides=STRIDES,
        kernel_px=KERNEL_PX,
        class_count=DIGITS_CLASSES,
        groups=int(settings["model.norm_groups"]),
    )


def _conv(settings: Mapping[str, Scalar]) -> float:
    width = int(settings["model.width"])
    return conv_train_flops_per_image(
        side_px=int(settings["data.side_px"]),
        channels=[1, *(width * multiple for multiple in WIDTH_MULTIPLES)],
        strides=STRIDES,
        kernel_px=KERNEL_PX,
        class_count=DIGITS_CLASSES,
    )


def _decoder_served(settings: Mapping[str, Scalar], input_tokens: int, output_tokens: int) -> float:
    size = decoder_size(settings)
    return decoder_serve_flops(
        layers=size.layers,
        width=size.width,
        heads=size.heads,
        key_value_heads=size.key_value_heads,
        hidden=size.hidden,
        vocabulary=size.vocabulary,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        depth_tokens=int(settings.get("requests.depth_tokens", 0)),  # bundles from before this setting have none
    )


def _conv_served(settings: Mapping[str, Scalar], input_tokens: int, output_tokens: int) -> float:
    """One forward pass, a third of a training step's."""
    return _conv(settings) / 3


def _encoder_served(settings: Mapping[str, Scalar], input_tokens: int, output_tokens: int) -> float:
    number = {key: int(settings[f"model.{key}"]) for key in ("layers", "width", "hidden")}
    return encoder_serve_flops(**number, tokens=input_tokens)


FLOPS_PER_TOKEN: dict[str, Callable[[Mapping[str, Scalar]], float]] = {
    "decoder_train/1": _decoder,
    "conv_train/1": _conv,
}
"""Model FLOPs of training a scored token; an image counts as one token."""

SERVED_FLOPS: dict[str, Callable[[Mapping[str, Scalar], int, int], float]] = {
    "decoder_serve/1": _decoder_served,
    "conv_serve/1": _conv_served,
    "encoder_serve/1": _encoder_served,
}
"""Model FLOPs of answering a request of so many input and output tokens."""

TRAINED_SIZE: dict[str, Callable[[Mapping[str, Scalar]], DecoderSize | ConvSize]] = {
    "decoder_train/1": decoder_size,
    "conv_train/1": conv_size,
}
"""Sizes of the model, for those formulas whose memory is modelled."""

TOKENS_PER_SAMPLE: dict[str, Callable[[Mapping[str, Scalar]], int]] = {
    "decoder_train/1": lambda settings: int(settings["data.document_tokens"]),
    "conv_train/1": lambda settings: 1,
}
"""Scored tokens of a sample."""

EVALUATED_SAMPLES: dict[str, Callable[[Mapping[str, Scalar]], int]] = {
    "decoder_train/1": lambda settings: int(settings["evaluation.documents"]),
    "conv_train/1": lambda settings: int(settings["evaluation.held_out_per_class"]) * DIGITS_CLASSES,
}
"""Samples that one evaluation scores."""
