"""The generated language where requests come in families: prompts of one family begin with the same tokens.

What a system prompt, a template or a long conversation is to a server. A request's family and its beginning are drawn
by integers of the seed; what follows the beginning is the request's own and goes on as the language does.

Shape suffixes: N documents, T scored tokens, F families.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.errors import UsageError
from oildrop.workloads.integers import WORDS_PER_BLOCK, raw_words
from oildrop.workloads.lm_pretrain.grammar import Grammar, grammar_of
from oildrop.workloads.lm_pretrain.source import Source
from oildrop.workloads.protocols import Settings

SERVED = "serve"
"""Documents of parts that begin with this word are prompts of requests."""


class SharedBeginnings(Source):
    """A source whose prompts begin as one of `families` documents, for `tokens` tokens with the start token."""

    def __init__(self, grammar: Grammar, tokens: int, families: int) -> None:
        super().__init__(grammar)
        self._tokens, self._families = tokens, families

    def _draws(self, seed: int, first: int, count: int, part: str) -> NDArray[np.int64]:
        """As every source's; those of the beginning are the family's."""
        draws_T2N = super()._draws(seed, first, count, part)
        if part.startswith(SERVED):
            draws_T2F = super()._draws(seed, 0, self._families, "shared")
            family_N = families_of(seed, first, count, self._families)
            draws_T2N[: self._tokens - 1] = draws_T2F[: self._tokens - 1, :, family_N]
        return draws_T2N


def families_of(seed: int, first: int, count: int, families: int) -> NDArray[np.int64]:
    """The family, int64 [N], of requests `first` to `first + count - 1`, each as likely as any other."""
    words_N = raw_words(seed, "requests/families", first_block=first, count=count * WORDS_PER_BLOCK)[::WORDS_PER_BLOCK]
    return (words_N >> np.uint64(32)).astype(np.int64) * families >> 32


def source_of(settings: Settings) -> Source:
    """The language of the requests. Raises UsageError as `require_own_tokens`."""
    shared = shared_tokens(settings)
    if not shared:
        return Source(grammar_of(settings))
    require_own_tokens(settings)
    return SharedBeginnings(grammar_of(settings), shared, int(settings["requests.shared_prefixes"]))


def require_own_tokens(settings: Settings) -> None:
    """Raises UsageError where a beginning leaves no room for a request's own tokens, or comes at depth."""
    shared = shared_tokens(settings)
    own, longest = (int(settings[f"requests.prompt_tokens_{end}"]) for end in ("min", "max"))
    if shared + own > longest:
        raise UsageError(
            f"requests.shared_prefix_tokens = {shared}: prompts have requests.prompt_tokens_max = {longest} tokens, "
            f"requests.prompt_tokens_min = {own} of them their own at least; ask for {max(longest - own, 0)} or fewer"
        )
    if int(settings.get("requests.depth_tokens", 0)):
        raise UsageError("requests.shared_prefix_tokens and requests.depth_tokens: set one of them to 0")


def shared_tokens(settings: Settings) -> int:
    """Tokens with which the prompts of a family begin, the start token among them; 0: no two prompts are akin."""
    return int(settings.get("requests.shared_prefix_tokens", 0))
