"""One run's server, model and stream of requests, as they are settled before the clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from oildrop.harness.endpoint.client import Client
from oildrop.harness.endpoint.environment import Target
from oildrop.harness.endpoint.openai import PATHS, Api, Extras, request_body
from oildrop.harness.endpoint.preflight import agree_on_extras, find_model
from oildrop.harness.endpoint.prompts import Prompt, Prompts
from oildrop.harness.endpoint.table import CountedBy
from oildrop.harness.endpoint.tokenizer import TokenCounter, open_tokenizer
from oildrop.harness.messages import Emitter
from oildrop.harness.phases import phase
from oildrop.rules import keys
from oildrop.rules.errors import Unsupported
from oildrop.rules.records import RunSpec

WARM_UP_INDEX = 2**31
"""Number of the request that is asked before the clock: none of the timed ones has it."""


@dataclass(frozen=True, kw_only=True)
class Settled:
    """One run's server and requests, once all is settled."""

    client: Client
    api: Api
    model: str
    extras: Extras
    prompts: Prompts
    counted_by: CountedBy
    tokenizer: TokenCounter | None

    def make(self, index: int) -> tuple[Prompt, bytes]:
        """Request number `index`: what it asks, and its bytes."""
        prompt = self.prompts.prompt(index)
        body = request_body(self.api, self.model, prompt.text, prompt.output_tokens, self.extras)
        return prompt, self.client.request("POST", PATHS[self.api], body)

    def meta(self) -> dict[str, Any]:
        """What the log says of it."""
        return {
            "endpoint": self.client.address.shown,
            "api": self.api,
            "model": self.model,
            "usage_asked": self.extras.usage,
            "ignore_eos_asked": self.extras.ignore_eos,
            "tokens_counted_by": self.counted_by,
            "tokenizer_sha256": None if self.tokenizer is None else self.tokenizer.sha256,
        }


async def settle(spec: RunSpec, target: Target, client: Client, emitter: Emitter) -> Settled:
    """Everything before the clock: tokenizer, model, one request.

    Raises:
        Unsupported: There is no server, or not the one that was declared.
    """
    settings = spec.settings
    with phase(emitter, "data"):
        wanted = str(settings["tokens.count"])
        if wanted == "tokenizer" and target.tokenizer is None:
            raise Unsupported("tokens.count = tokenizer needs the server's tokenizer: add --tokenizer FILE")
        tokenizer = None if target.tokenizer is None else open_tokenizer(target.tokenizer)
        prompts = Prompts(spec.seed, settings, None if tokenizer is None else tokenizer.count)
    with phase(emitter, "init"):
        model = await find_model(client, target.model)
        emitter.emit(keys.SEED, spec.seed, {"index": spec.seed_index})
    api: Api = "chat" if settings["endpoint.api"] == "chat" else "completions"
    with phase(emitter, "warmup"):
        asked = Extras(usage=wanted == "usage", ignore_eos=bool(settings["endpoint.ignore_eos"]))
        text = prompts.prompt(WARM_UP_INDEX).text
        extras, answer = await agree_on_extras(client, api, model, text, asked)
    counts = extras.usage and answer.usage is not None and answer.usage.completion_tokens is not None
    here: CountedBy = "chunks" if tokenizer is None or wanted == "chunks" else "tokenizer"
    counted_by: CountedBy = "usage" if counts and wanted == "usage" else here
    return Settled(
        client=client, api=api, model=model, extras=extras, prompts=prompts, counted_by=counted_by, tokenizer=tokenizer
    )
