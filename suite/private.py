"""What must not leave this machine in a bundle: its user, host, paths and secrets."""

from __future__ import annotations

import getpass
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from oildrop.rules.redaction import Redactor
from oildrop.rules.system import System
from oildrop.rules.vocabulary import record_vocabulary


def host_redactor(salt: str = "") -> Callable[[Any], Any]:
    """A function that redacts anything JSON can hold, for this user on this host; `salt` is taken out too."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = ""
    redactor = Redactor(
        user=user,
        host=platform.node(),
        home=str(Path.home()),
        extra=(salt,) if salt else (),
        vocabulary=record_vocabulary(),
    )
    return redactor.redact


def redact_system(system: System, redact: Callable[[Any], Any]) -> System:
    """The same record with its texts redacted."""
    return System.model_validate(redact(system.model_dump(by_alias=True, mode="json")))
