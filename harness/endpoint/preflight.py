"""What is settled with a server before the clock: that it is there, which model it has, what it takes in a request."""

from __future__ import annotations

from dataclasses import dataclass

from oildrop.harness.endpoint import outcomes
from oildrop.harness.endpoint.answer import Answer
from oildrop.harness.endpoint.client import Client
from oildrop.harness.endpoint.environment import without_key
from oildrop.harness.endpoint.openai import PATHS, Api, Extras, MalformedEvent, error_text, model_names, request_body
from oildrop.harness.endpoint.outcomes import Outcome
from oildrop.harness.endpoint.prometheus import known_samples
from oildrop.rules.errors import Unsupported
from oildrop.rules.settings import nearest

REFUSALS = ("http_400", "http_422")
"""How servers say that they do not know a parameter."""

KEY_FIX = "set the server's key as OILDROP_API_KEY in the environment"


@dataclass(kw_only=True)
class Document:
    """A short answer taken whole."""

    issued_ns: int = 0
    outcome: Outcome | None = None
    status: int | None = None
    body: bytes = b""
    words: str | None = None

    def head(self, status: int, content_type: str) -> None:
        """Status has come."""
        self.status = status

    def received(self, body: bytes, now_ns: int) -> None:
        """Another part."""
        self.body += body
        if len(self.body) > 1 << 24:
            self.failed(outcomes.TOO_LONG)

    def completed(self) -> None:
        """It is whole."""
        self.outcome = outcomes.OK if self.status == 200 else outcomes.of_status(self.status or 0)
        if self.outcome is not outcomes.OK:
            self.words = error_text(self.body)

    def failed(self, outcome: Outcome, words: str | None = None) -> None:
        """It will not be completed."""
        self.outcome, self.words = outcome, words


async def fetch(client: Client, path: str, *, from_root: bool = False) -> Document:
    """GET `path` beside the API's base, or from the server's root."""
    document = Document()
    await client.ask("GET", path, document, from_root=from_root)
    return document


async def find_model(client: Client, wanted: str) -> str:
    """The name of the model to ask: `wanted`, or the server's only one.

    Raises:
        Unsupported: No server answers, it wants a key, or it has another model; the message says what is there.
    """
    document = await fetch(client, "/models")
    shown = client.address.shown
    if document.outcome is not outcomes.OK:
        if document.status in (404, 405, 501) and wanted:
            return wanted  # it lists no models; whether it has this one shows at the first request
        words = without_key(document.words, client.headers)
        raise Unsupported(failure_words(shown + "/models", document.outcome, words))
    try:
        names = model_names(document.body)
    except MalformedEvent as error:
        raise Unsupported(f"{shown}/models: {error}; is this the address of an OpenAI-compatible API?") from error
    if wanted:
        if names and wanted not in names:
            raise Unsupported(f"{shown} has no model {wanted!r}{nearest(wanted, list(names))}")
        return wanted
    if len(names) != 1:
        there = ", ".join(names) or "none"
        raise Unsupported(f"{shown} has {len(names)} models ({there}); name one by --model")
    return names[0]


async def agree_on_extras(client: Client, api: Api, model: str, prompt: str, wanted: Extras) -> tuple[Extras, Answer]:
    """Ask once before the clock; what the server refuses is left out from then on.

    Returns:
        What it takes, and its answer.

    Raises:
        Unsupported: It does not answer even the plainest request.
    """
    tried = [
        wanted,
        Extras(usage=wanted.usage, ignore_eos=False),
        Extras(usage=False, ignore_eos=wanted.ignore_eos),
        Extras(usage=False, ignore_eos=False),
    ]
    for extras in dict.fromkeys(tried):
        answer = Answer(asked_tokens=4)
        await client.ask("POST", PATHS[api], answer, request_body(api, model, prompt, 4, extras))
        if answer.outcome not in REFUSALS:
            break
    if answer.outcome is not None and answer.outcome is not outcomes.OK:
        words = without_key(answer.words, client.headers)
        raise Unsupported(failure_words(client.address.shown + PATHS[api], answer.outcome, words))
    return extras, answer


async def server_metrics(client: Client) -> dict[str, float] | None:
    """The server's own figures; None where it offers none."""
    document = await fetch(client, "/metrics", from_root=True)
    if document.outcome is not outcomes.OK:
        return None
    return known_samples(document.body.decode("utf-8", "replace")) or None


def failure_words(shown: str, outcome: Outcome | None, words: str | None) -> str:
    """Why a server cannot be measured, and what to do."""
    found = outcome or outcomes.UNFINISHED
    fixes = {
        outcomes.REFUSED: "start the server, or give its address by --endpoint",
        outcomes.DNS: "check the host's name in --endpoint",
        outcomes.TLS: "use http:// for a server without a certificate; name a private one's by SSL_CERT_FILE",
        "http_401": KEY_FIX,
        "http_403": KEY_FIX,
        "http_404": "give the address up to /v1 by --endpoint, and --api completions or chat as the server has it",
        "http_429": "the server limits how often it is asked: wait, or have it allow more",
        outcomes.MALFORMED: "give the address of the API, up to /v1, by --endpoint; the server must stream its answers",
        outcomes.EMPTY: "try --api chat, or completions",
    }
    said = f" ({words})" if words else ""
    fix = fixes.get(found, "see the server's own log")
    return f"{shown}: {outcomes.meaning(found)}{said}; {fix}"
