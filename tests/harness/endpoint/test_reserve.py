"""Requests that lie ready before they are due: in order, each once, and made when none is left."""

from __future__ import annotations

import asyncio

from oildrop.harness.endpoint.prompts import Prompt
from oildrop.harness.endpoint.reserve import LEAST, MOST, Reserve


class Maker:
    """Counts what it made."""

    def __init__(self) -> None:
        self.made: list[int] = []

    def __call__(self, index: int) -> tuple[Prompt, bytes]:
        self.made.append(index)
        return Prompt(text="a", input_tokens=1, output_tokens=index), b"%d" % index


def test_requests_come_in_order_whether_they_lay_ready_or_not() -> None:
    maker = Maker()
    reserve = Reserve(maker, 3)
    first = reserve.take()
    assert (first[0], first[2], maker.made, reserve.taken) == (0, b"0", [0], 1)
    reserve.fill()
    assert maker.made == list(range(1 + LEAST))
    taken = [reserve.take() for _ in range(LEAST + 5)]
    assert [(index, prompt.output_tokens, request) for index, prompt, request in taken] == [
        (index, index, b"%d" % index) for index in range(1, LEAST + 6)
    ]
    assert maker.made == list(range(LEAST + 6))


def test_it_is_filled_again_while_others_run_and_never_over() -> None:
    maker = Maker()
    reserve = Reserve(maker, 0)

    async def run() -> None:
        task = asyncio.create_task(reserve.keep_full())
        while len(maker.made) < LEAST:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        task.cancel()

    asyncio.run(run())
    assert maker.made == list(range(LEAST))


def test_many_streams_have_no_more_ready_than_is_reasonable() -> None:
    maker = Maker()
    Reserve(maker, 10**6).fill()
    assert len(maker.made) == MOST
