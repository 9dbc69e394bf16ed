"""The address of a server: read from what a person typed, and shown without naming a host."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from oildrop.rules.errors import UsageError

EXAMPLE = "http://localhost:8000/v1"
DEFAULT_PATH = "/v1"
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where the API is. `base_path` goes before `/models` and `/completions`."""

    scheme: str
    host: str
    port: int
    base_path: str

    @property
    def secure(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme == "https"

    @property
    def is_this_machine(self) -> bool:
        """Whether it names the machine that asks: such a name gives nobody away."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def host_header(self) -> str:
        """Host and port as HTTP wants them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def text(self) -> str:
        """The address whole."""
        return f"{self.scheme}://{self.host_header}{self.base_path}"

    @property
    def shown(self) -> str:
        """The address as a record may hold it: another machine's name is taken out."""
        if self.is_this_machine:
            return f"{self.scheme}://localhost:{self.port}{self.base_path}"
        return f"{self.scheme}://<host>:{self.port}{self.base_path}"


def parse_address(text: str) -> Address:
    """The address in `text`; without a path the API is at `/v1`.

    Raises:
        UsageError: No http or https address, or one with a key or a query in it.
    """
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"--endpoint is no address ({error}); give one such as {EXAMPLE}") from None
    if parts.username is not None or parts.password is not None:
        raise UsageError("--endpoint holds a user or key; leave it out and set OILDROP_API_KEY in the environment")
    if parts.scheme not in PORTS or not host:
        raise UsageError(f"--endpoint {text!r} is no http or https address; give one such as {EXAMPLE}")
    if parts.query or parts.fragment:
        raise UsageError(f"--endpoint {text!r} has something after its path; give one such as {EXAMPLE}")
    path = parts.path.rstrip("/")
    for end in ("/chat/completions", "/completions", "/models"):
        path = path.removesuffix(end)
    return Address(scheme=parts.scheme, host=host, port=port or PORTS[parts.scheme], base_path=path or DEFAULT_PATH)
