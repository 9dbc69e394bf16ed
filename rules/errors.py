"""The one tree of errors. Every message names the value, the limit and the fix."""

from __future__ import annotations


class OildropError(Exception):
    """Something that a person can mend; shown without a traceback."""


class UsageError(OildropError):
    """A command, option or key was used wrongly (exit code 2)."""


class RulebookError(OildropError):
    """A rulebook file is broken: file, line and reason."""


class BundleError(OildropError):
    """A run's bundle cannot be read at all: which file, and why."""


class StoreError(OildropError):
    """The store cannot be opened, read or written: who or what is in the way."""


class Unsupported(OildropError):
    """What was asked for cannot run here: why, and what would make it run."""
