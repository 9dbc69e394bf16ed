"""The streaming client against one server in another process: its rate beside AIPerf's, and whose stamps it reads.

AIPerf is not installed with the project; its executable is named by OILDROP_AIPERF, else its rows are skipped.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import cast

from pairs import interleaved, mean_row, ratio_row
from table import Row, Skipped

from oildrop.harness.endpoint.address import parse_address
from oildrop.harness.endpoint.client import Client
from oildrop.harness.endpoint.drive import Driver, Load
from oildrop.harness.endpoint.openai import PATHS, Extras, request_body
from oildrop.harness.endpoint.prompts import WORDS, Prompt, Prompts
from oildrop.harness.endpoint.reserve import Reserve
from oildrop.harness.endpoint.table import Ledger
from oildrop.harness.load.heap import quiet_heap
from oildrop.results.collector import collector_paused
from oildrop.rules.loading import load_rulebook

MOCK_SERVER = Path(__file__).parents[1] / "tests" / "harness" / "endpoint" / "mock_server.py"
STREAMS, TOKENS = 64, 16
PACED_STREAMS, PACE_S = 8, 0.02
SECONDS, PACED_SECONDS, ROUNDS, PACED_ROUNDS = 3.0, 1.5, 4, 10
AIPERF = "OILDROP_AIPERF"
AIPERF_REQUESTS = 3000


def main() -> list[Row | Skipped]:
    """The client's rate, its ratio to AIPerf's, and how far its times are from the server's."""
    name = f"{STREAMS} streams of {TOKENS} tokens"
    rows: list[Row | Skipped] = []
    with server() as port, tokenizer_folder() as tokenizer:
        aiperf = os.environ.get(AIPERF)
        if aiperf:
            ours, theirs = interleaved(lambda: rate(port), lambda: aiperf_rate(aiperf, port, tokenizer), pairs=ROUNDS)
            rows.append(mean_row(f"{name}, AIPerf", theirs, "requests/s"))
            rows.append(ratio_row(f"{name}, to AIPerf", ours, theirs, at_least=2.5))
        else:
            ours = [rate(port) for _ in range(ROUNDS)]
            rows.append(Skipped(name=f"{name}, to AIPerf", reason=f"{AIPERF} names no executable"))
        rows.append(mean_row(f"{name}, requests", ours, "requests/s", at_least=2000))
    return rows + paced_rows()


def paced_rows() -> list[Row | Skipped]:
    """First tokens and times a token beside the server's own stamps of what it sent; a bare socket's beside."""
    first_ms, each_ms, bare_ms = [], [], []
    for _ in range(PACED_ROUNDS):
        with server(PACE_S) as port:
            ledger = driven(port, streams=PACED_STREAMS, seconds=PACED_SECONDS)
            came, sent = sorted(row.answer.stamps_ns for row in ledger.rows), stamps(port)
        pairs = list(zip(came, sent, strict=True))
        first_ms.append(percentile_99([abs(ours[0] - theirs[0]) / 1e6 for ours, theirs in pairs]))
        each_ms.append(percentile_99([abs(span_ms(ours) - span_ms(theirs)) / (TOKENS - 1) for ours, theirs in pairs]))
        with server(PACE_S) as port:
            firsts_ns = sorted(bare_firsts_ns(port))
            late_ns = [ours - theirs[0] for ours, theirs in zip(firsts_ns, stamps(port), strict=True)]
        bare_ms.append(percentile_99([late / 1e6 for late in late_ns]))
    name = f"{PACED_STREAMS} streams at {PACE_S * 1e3:g} ms a token, p99 of"
    return [
        mean_row(f"{name} first token after it was sent", first_ms, "ms", at_most=1.0),
        mean_row(f"{name} first token, a bare socket's", bare_ms, "ms"),
        mean_row(f"{name} time a token beside the server's", each_ms, "ms", at_most=1.0),
    ]


def stamps(port: int) -> list[list[int]]:
    """When the server sent each token, an answer a list, in order of the first."""
    sent: list[list[int]] = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/stamps"))
    return sorted(sent)


def bare_firsts_ns(port: int) -> list[int]:
    """When first tokens came to sockets that do nothing but read: what machine and server need by themselves."""
    body = json.dumps({"model": "good", "prompt": "a", "max_tokens": TOKENS, "stream": True}).encode()
    request = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    found: list[int] = []
    with selectors.DefaultSelector() as selector:
        waiting: dict[socket.socket, bool] = {}
        for _ in range(PACED_STREAMS):
            peer = socket.create_connection(("127.0.0.1", port))
            selector.register(peer, selectors.EVENT_READ)
            peer.sendall(request)
            waiting[peer] = True
        end_s = time.monotonic() + PACED_SECONDS
        while waiting:
            for key, _ in selector.select():
                peer = cast("socket.socket", key.fileobj)
                data = peer.recv(1 << 16)
                now_ns = time.monotonic_ns()
                if waiting[peer] and b" word" in data:
                    found.append(now_ns)
                    waiting[peer] = False
                if not data.endswith(b"0\r\n\r\n"):
                    continue
                if time.monotonic() < end_s:
                    peer.sendall(request)
                    waiting[peer] = True
                else:
                    selector.unregister(peer)
                    peer.close()
                    del waiting[peer]
    return found


def span_ms(stamps_ns: list[int]) -> float:
    """From the first stamp to the last."""
    return (stamps_ns[-1] - stamps_ns[0]) / 1e6


def percentile_99(values: list[float]) -> float:
    """The value that 99 of 100 do not pass."""
    return sorted(values)[math.ceil(0.99 * len(values)) - 1]


def rate(port: int) -> float:
    """Answered requests a second."""
    start_s = time.perf_counter()
    ledger = driven(port, streams=STREAMS, seconds=SECONDS)
    passed_s = time.perf_counter() - start_s
    if any(row.answer.outcome != "ok" or len(row.answer.stamps_ns) != TOKENS for row in ledger.rows):
        raise RuntimeError("the server's answers are not whole")
    return len(ledger.rows) / passed_s


def driven(port: int, *, streams: int, seconds: float) -> Ledger:
    """A closed loop of unique prompts, each made when it is due."""
    settings = {
        **load_rulebook().benchmarks["lm-serve"].tiers["nano"].settings,
        "requests.output_tokens_min": TOKENS,
        "requests.output_tokens_max": TOKENS,
    }
    prompts = Prompts(1, settings)
    client = Client(address=parse_address(f"http://127.0.0.1:{port}"), limit_s=30.0)
    ledger = Ledger(count="usage")

    def make(index: int) -> tuple[Prompt, bytes]:
        prompt = prompts.prompt(index)
        body = request_body("completions", "good", prompt.text, prompt.output_tokens, Extras())
        return prompt, client.request("POST", PATHS["completions"], body)

    reserve = Reserve(make, streams)
    reserve.fill()

    async def drive() -> None:
        load = Load(minimum_s=seconds, minimum_queries=1, in_flight=streams, most_in_flight=streams)
        await client.connect(streams)
        driver = Driver(
            client=client, ledger=ledger, load=load, reserve=reserve, keep_texts=False, on_answer=lambda answer: None,
            start_ns=time.monotonic_ns(),
        )  # fmt: skip
        with quiet_heap(), collector_paused():  # as in a run
            await driver.run()
        client.close()

    asyncio.run(drive())
    return ledger


def aiperf_rate(executable: str, port: int, tokenizer: Path) -> float:
    """Requests a second as AIPerf reports them for the same server and shape."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            executable, "profile", "-m", "good", "--url", f"http://127.0.0.1:{port}", "--endpoint-type", "completions",
            "--streaming", "--concurrency", str(STREAMS), "--request-count", str(AIPERF_REQUESTS),
            "--tokenizer", str(tokenizer), "--synthetic-input-tokens-mean", "64", "--output-tokens-mean", str(TOKENS),
            "--use-server-token-count", "--ui", "none", "--output-artifact-dir", folder,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
        found = list(Path(folder).rglob("profile_export_aiperf.json"))
        if not found:
            raise RuntimeError(f"AIPerf ended with {done.returncode} and no result: {done.stdout[-2000:]}")
        return float(json.loads(found[0].read_text())["request_throughput"]["avg"])


@contextmanager
def server(pace_s: float = 0.0) -> Iterator[int]:
    """The tests' server of completions in a process of its own; its port.

    One that keeps a pace has a core of its own, as has who asks: else the kernel lets the server, woken by a request,
    take the client's core in the middle of its work.
    """
    command = [sys.executable, "-P", str(MOCK_SERVER), "--pace", str(pace_s)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        port = int(process.stdout.readline())
        with cores_apart(process.pid) if pace_s else nullcontext():
            yield port
        process.stdin.close()


@contextmanager
def cores_apart(pid: int) -> Iterator[None]:
    """This process and another on a core each, where there are two and the system can be told."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else set()
    if len(cores) < 2:
        yield
        return
    os.sched_setaffinity(pid, {max(cores)})
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


@contextmanager
def tokenizer_folder() -> Iterator[Path]:
    """A tokenizer of the prompts' words, as AIPerf wants one on disk."""
    vocabulary = {word: number for number, word in enumerate(("<unk>", "<eos>", *WORDS))}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
    }  # fmt: skip
    names = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>", "eos_token": "<eos>"}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tokenizer.json").write_text(json.dumps(tokenizer))
        (Path(folder) / "tokenizer_config.json").write_text(json.dumps(names))
        yield Path(folder)
