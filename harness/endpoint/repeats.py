"""Are a server's answers from a cache? After the load, prompts asked before are asked again beside new ones."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from oildrop.harness.endpoint import outcomes
from oildrop.harness.endpoint.answer import Answer
from oildrop.harness.endpoint.openai import PATHS, request_body
from oildrop.harness.endpoint.settled import WARM_UP_INDEX, Settled
from oildrop.harness.repeats import CANDIDATES, LONGEST_S, Repeats, pairs_of
from oildrop.workloads.served_protocols import RequestSize

FIRST_INDEX = WARM_UP_INDEX + 1
"""Number of the first of these requests: no timed one has it."""

ASKED_TOKENS = 4
"""Nothing but the first is looked at; some servers send no text with it."""


async def look_for_server_cache(settled: Settled, seed: int, limit_s: float) -> Repeats:
    """Ask a server that has nothing else of ours to do, one request at a time; `limit_s` seconds at most."""
    start_s = time.monotonic()
    found = Repeats()
    with suppress(TimeoutError):
        async with asyncio.timeout(max(min(limit_s, LONGEST_S), 0.0)):
            sizes = {index: _size(settled, index) for index in range(FIRST_INDEX, FIRST_INDEX + CANDIDATES)}
            for pair in pairs_of(sizes, seed):
                if found.enough(time.monotonic() - start_s, limit_s):
                    break
                order = (pair.new, pair.repeated) if pair.new_first else (pair.repeated, pair.new)
                await _first_token_ns(settled, pair.repeated)
                times_ns = {index: await _first_token_ns(settled, index) for index in order}
                found.add(pair, times_ns, sizes[pair.new].input_tokens)
    return found


def _size(settled: Settled, index: int) -> RequestSize:
    return RequestSize(input_tokens=settled.prompts.prompt(index).input_tokens, output_tokens=ASKED_TOKENS)


async def _first_token_ns(settled: Settled, index: int) -> int | None:
    """Nanoseconds from issue to the first token of an answer, which is awaited whole; None where it failed."""
    text = settled.prompts.prompt(index).text
    body = request_body(settled.api, settled.model, text, ASKED_TOKENS, settled.extras)
    answer = Answer(asked_tokens=ASKED_TOKENS)
    await settled.client.send(settled.client.request("POST", PATHS[settled.api], body), answer)
    return answer.stamps_ns[0] - answer.issued_ns if answer.outcome is outcomes.OK else None
