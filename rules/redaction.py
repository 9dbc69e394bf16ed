"""Takes persons, machines, paths and secrets out of texts before they are hashed; pure.

What is taken out leaves a mark such as `<user>` or `<path>/basename`. Marks stay as they are when a text is
redacted again. The shapes of secrets, addresses and paths stand in `redaction_patterns`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from oildrop.rules.redaction_patterns import SECRET_FIELD, SHAPES, Step, home_step, name_step, text_step

KEYS_REMEMBERED = 1024


@dataclass(frozen=True, kw_only=True)
class Redactor:
    """Redacts texts and everything JSON can hold.

    Attributes:
        user: Login name; empty for none.
        host: Host name, with or without domain; both forms are replaced.
        home: Home folder; needed where it is no ordinary path (spaces).
        extra: More texts to take out wherever they stand.
        vocabulary: Words that are ours. A user or host called like one of them is not replaced: the record
            would lose its meaning, and the name gives nobody away.
    """

    user: str = ""
    host: str = ""
    home: str = ""
    extra: tuple[str, ...] = ()
    vocabulary: frozenset[str] = frozenset()

    def redact(self, value: Any) -> Any:
        """`value` with all its texts redacted, keys of dicts too; leaves that are no text are kept."""
        return self._redact(value, secret=False)

    def redact_text(self, text: str) -> str:
        """`text` with marks in place of what is private; redacting it again changes nothing."""
        while True:
            redacted = text
            for step in self._steps:
                redacted = step(redacted)
            # What was taken out can lay bare the edge of something else; each round leaves less unmarked text.
            if redacted == text:
                return text
            text = redacted

    def _redact(self, value: Any, *, secret: bool) -> Any:
        if isinstance(value, str):
            return "<secret>" if secret and value else self.redact_text(value)
        if isinstance(value, dict):
            return self._redact_dict(value, secret=secret)
        if isinstance(value, list | tuple):
            return [self._redact(item, secret=secret) for item in value]
        return value

    def _redact_dict(self, value: dict[Any, Any], *, secret: bool) -> dict[Any, Any]:
        redacted: dict[Any, Any] = {}
        for key, item in value.items():
            name = wanted = self._redact_key(key) if isinstance(key, str) else key
            number = 2
            while name in redacted:
                name, number = f"{wanted}#{number}", number + 1
            names_secret = isinstance(key, str) and SECRET_FIELD.fullmatch(key) is not None
            redacted[name] = self._redact(item, secret=secret or names_secret)
        return redacted

    def _redact_key(self, key: str) -> str:
        """As `redact_text`, remembered: a log repeats its keys in every line."""
        if key not in self._keys:
            if len(self._keys) >= KEYS_REMEMBERED:
                self._keys.clear()
            self._keys[key] = self.redact_text(key)
        return self._keys[key]

    @cached_property
    def _keys(self) -> dict[str, str]:
        return {}

    @cached_property
    def _steps(self) -> tuple[Step, ...]:
        """In order: what is surest first, names last because paths and addresses hold them."""
        given = [text_step(text, "<private>") for text in sorted(self.extra, key=len, reverse=True) if text]
        home = [home_step(self.home)] if self.home.strip("/") else []
        hosts = sorted({self.host, self.host.partition(".")[0]}, key=len, reverse=True)
        names = [(host, "<host>") for host in hosts if host != "localhost"] + [(self.user, "<user>")]
        return (
            *given,
            *home,
            *SHAPES,
            *(name_step(name, mark) for name, mark in names if name and name not in self.vocabulary),
        )
