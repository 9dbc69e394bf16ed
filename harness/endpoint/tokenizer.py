"""A server's own tokenizer out of a `tokenizer.json`, so that tokens are counted here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from oildrop.harness.endpoint.prompts import CountTokens
from oildrop.rules.errors import Unsupported


@dataclass(frozen=True, kw_only=True)
class TokenCounter:
    """Counts tokens of a text, without those that a server adds around it; `sha256` names the file."""

    count: CountTokens
    sha256: str


def open_tokenizer(path: Path) -> TokenCounter:
    """The tokenizer in `path`. Raises Unsupported where it cannot be read."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise Unsupported("--tokenizer needs the package tokenizers: pip install 'oildrop[endpoint]'") from None
    try:
        data = path.read_bytes()
        tokenizer = Tokenizer.from_str(data.decode())
    except OSError as error:
        raise Unsupported(f"--tokenizer {path.name}: {error.strerror}; name a model's tokenizer.json") from error
    except Exception as error:  # the package raises Exception itself
        raise Unsupported(f"--tokenizer {path.name} is no tokenizer.json ({error})") from error

    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    return TokenCounter(count=count, sha256=hashlib.sha256(data).hexdigest())
