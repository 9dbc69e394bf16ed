"""Prompts read by one generator and answered by another are answered as by one alone."""

from __future__ import annotations

import mmap
import socket
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from oildrop.rules.errors import Unsupported
from oildrop.workloads.engine import Weights
from oildrop.workloads.generator import Generator
from oildrop.workloads.link import Link, LinkLost, Mailbox
from oildrop.workloads.lm_generate.ahead import AheadBatcher
from oildrop.workloads.lm_generate.batcher import Batcher, Waiting
from oildrop.workloads.lm_generate.disaggregated import Disaggregated
from oildrop.workloads.lm_generate.model_torch import make_generator
from oildrop.workloads.lm_generate.prefill_reader import answer
from oildrop.workloads.lm_generate.sampling import Greedy
from oildrop.workloads.lm_generate.shapes import AHEAD_GROUPS, area_bytes, model_shape
from oildrop.workloads.lm_pretrain.reference import gate_weights
from oildrop.workloads.served_protocols import Transfers

DEVICE: Any = SimpleNamespace(backend="torch-cpu", handle=torch.device("cpu"))
PROMPT_TOKENS = (3, 12, 7, 1, 9, 12)


def link_pair(settings: dict[str, Any], transfer: str) -> tuple[Link, Link]:
    area = mmap.mmap(-1, area_bytes(settings)) if transfer == "shared-memory" else None
    here, there = (Link(Connection(end.detach()), area, AHEAD_GROUPS) for end in socket.socketpair())
    return here, there


@pytest.fixture(params=["tcp", "shared-memory"])
def link(request: Any, tiny_settings: dict[str, Any]) -> Iterator[Link]:
    here, there = link_pair(tiny_settings, request.param)
    reader = threading.Thread(target=answer, args=(there, lambda settings: make_generator(settings, DEVICE)))
    reader.start()
    yield here
    here.close()
    reader.join(timeout=30)
    assert not reader.is_alive()


def answers_of(generator: Generator, weights: Weights, *, ahead: bool = False) -> dict[int, list[int]]:
    """Tokens of six requests through four rows, two prompts at once."""
    generator.set_weights(weights)
    kind: Any = AheadBatcher if ahead else Batcher
    batcher = kind(generator, Greedy(), slots=4, prefill_requests=2)
    prompts = [np.arange(length, dtype=np.int32) * 3 % 40 for length in PROMPT_TOKENS]
    batcher.admit([Waiting(index=i, prompt=prompt, output_tokens=4 + i) for i, prompt in enumerate(prompts)])
    answers: dict[int, list[int]] = {}
    while emissions := batcher.step():
        for emission in emissions:
            answers.setdefault(emission.index, []).extend(emission.tokens)
    return answers


@pytest.mark.parametrize(("dtype", "ahead"), [("fp32", False), ("fp32", True), ("bf16", True)])
def test_a_pair_says_the_tokens_that_one_alone_says(
    tiny_settings: dict[str, Any], link: Link, dtype: str, ahead: bool
) -> None:
    settings = tiny_settings | {"execution.dtype": dtype}
    shape = model_shape(settings)
    weights = gate_weights(shape, 9, 0.2)
    alone = make_generator(settings, DEVICE)
    alone.build()
    pair = Disaggregated(make_generator(settings, DEVICE), Mailbox(link), settings)
    pair.build()
    expected = answers_of(alone, weights)
    assert answers_of(pair, weights, ahead=ahead) == expected
    assert {index: len(tokens) for index, tokens in expected.items()} == {i: 4 + i for i in range(6)}
    assert len({token for tokens in expected.values() for token in tokens}) > 5
    # 2 layers, keys and values, 2 key-value heads of 8 elements.
    item_bytes = {"fp32": 4, "bf16": 2}[dtype]
    assert (pair.transfers.count, pair.transfers.bytes) == (6, 2 * 2 * 2 * 8 * item_bytes * sum(PROMPT_TOKENS))
    assert pair.transfers.ns > 0
    tokens_BT = np.arange(20, dtype=np.int32).reshape(2, 10)
    assert np.array_equal(pair.prompt_logits(tokens_BT), alone.prompt_logits(tokens_BT))


def test_what_the_other_end_cannot_do_is_raised_here(tiny_settings: dict[str, Any], link: Link) -> None:
    narrow = tiny_settings | {"requests.prompt_tokens_max": 10_000}
    with pytest.raises(Unsupported, match=r"prefill: requests\.depth_tokens \+"):
        Disaggregated(SimpleNamespace(build=lambda: None), Mailbox(link), narrow).build()  # type: ignore[arg-type]


def test_an_end_that_lacks_the_option_is_unsupported_here(tiny_settings: dict[str, Any]) -> None:
    here, there = link_pair(tiny_settings, "tcp")

    def refuse(settings: Any) -> Generator:
        raise Unsupported("execution.compile is inductor: no")

    reader = threading.Thread(target=answer, args=(there, refuse))
    reader.start()
    with pytest.raises(Unsupported, match=r"prefill: execution\.compile"):
        Disaggregated(SimpleNamespace(build=lambda: None), Mailbox(here), tiny_settings).build()  # type: ignore[arg-type]
    here.close()
    reader.join(timeout=30)


def test_an_end_that_is_gone_is_said_to_be(tiny_settings: dict[str, Any]) -> None:
    here, there = link_pair(tiny_settings, "tcp")
    there.close()
    mail = Mailbox(here)
    for _ in range(2):
        with pytest.raises(LinkLost, match=r"output\.log"):
            mail.take()


def test_transfers_since_are_the_later_ones() -> None:
    before = Transfers().and_one(5, 100)
    assert before.and_one(7, 30).and_one(1, 2).since(before) == Transfers(count=2, ns=8, bytes=32)
