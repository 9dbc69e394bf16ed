"""What makes a store itself: an id under which seeds are numbered, and a salt for device ids."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from oildrop.results.layout import StoreLayout
from oildrop.rules.errors import StoreError

FILE = "store.json"


@dataclass(frozen=True, kw_only=True)
class StoreIdentity:
    """A store's public id and its secret salt; the salt never leaves in a bundle."""

    store_id: str
    salt: str


def store_identity(layout: StoreLayout, *, create: bool = True) -> StoreIdentity:
    """Read the identity, or make one in a new store.

    With `create` False a store without one gets a passing identity and nothing is written.

    Raises:
        StoreError: The file is damaged or cannot be written.
    """
    path = layout.root / FILE
    if not path.exists():
        fresh = StoreIdentity(store_id=secrets.token_hex(8), salt=secrets.token_hex(16))
        if not create:
            return fresh
        layout.ensure()
        _publish(path, fresh)
    try:
        fields = json.loads(path.read_text())
        return StoreIdentity(store_id=str(fields["store_id"]), salt=str(fields["salt"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path} cannot be read ({error}); delete it to give the store a new identity "
            "(seeds then start from 0 again; runs are kept)"
        ) from error


def _publish(path: Path, identity: StoreIdentity) -> None:
    """Write the file once, whole; another process that was first keeps its own."""
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        draft.write_text(
            json.dumps({"schema": "oildrop.store/1", "store_id": identity.store_id, "salt": identity.salt})
        )
        os.link(draft, path)
    except FileExistsError:
        return
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written ({error.strerror}); free space or choose another --store"
        ) from error
    finally:
        draft.unlink(missing_ok=True)
