"""`oildrop run lm-serve --endpoint`: what is asked for wrongly, what is recorded, and what no bundle may hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mock_server import MockServer, serving

from oildrop.harness.endpoint.environment import API_KEYS
from oildrop.suite.cli.main import main

Capture = pytest.CaptureFixture[str]

KEY = "hidden-key-0123456789"
HOST = "no-such-host-of-ours.invalid"
MODEL = "/home/zaphod/models/tiny"


@pytest.fixture(autouse=True)
def no_key_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in API_KEYS:
        monkeypatch.delenv(name, raising=False)


def files_of(store: Path) -> Iterator[tuple[Path, bytes]]:
    for path in sorted(store.rglob("*")):
        if path.is_file() and path.name != "reserve.bin":
            yield path, path.read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lm-serve"], "give its address by --endpoint"),
        (["lm-serve", "--backend", "endpoint"], "give its address by --endpoint"),
        (["lm-generate", "--endpoint", "localhost:1"], "lm-generate runs on this machine"),
        (["lm-pretrain", "--backend", "endpoint"], "lm-pretrain runs on this machine"),
        (["lm-serve", "--model", "m"], "--model is about the server of lm-serve"),
        (["lm-serve", "--endpoint", "localhost:1", "--backend", "torch-cpu"], "leave --backend out"),
        (["lm-serve", "--endpoint", "ftp://h"], "is no http or https address"),
        (["lm-serve", "--endpoint", f"http://me:{KEY}@h/v1"], "OILDROP_API_KEY"),
        (["lm-serve", "--endpoint", "localhost:1", "--api", "soap"], "is not one of completions, chat"),
        (["lm-serve", "--endpoint", "localhost:1", "--scenario", "multi-stream"], "not one of single-stream"),
        (["lm-serve", "--endpoint", "localhost:1", "--tokenizer", "none.json"], "is no file"),
        (["lm-serve", "--endpoint", "localhost:1", "--system", "none.toml"], "No such file"),
    ],
)
def test_what_is_asked_wrongly_is_told(words: list[str], said: str, tmp_path: Path, capsys: Capture) -> None:
    assert main(["run", *words, "--store", str(tmp_path)]) == 2
    shown = capsys.readouterr().err
    assert said in " ".join(shown.split())
    assert KEY not in shown and "Traceback" not in shown
    assert not (tmp_path / "runs").exists()


def test_a_server_that_is_not_there_is_recorded_without_its_name(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OILDROP_API_KEY", KEY)
    words = ["run", "lm-serve", "--endpoint", f"https://{HOST}:8443/v1", "--model", MODEL]
    assert main([*words, "--store", str(tmp_path), "--json"]) == 3
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert (run["outcome"], run["backend"]) == ("unsupported", "endpoint")
    assert run["reason"].startswith("https://<host>:8443/v1/models: ")
    for path, content in files_of(tmp_path):
        assert HOST.encode() not in content, path
        assert KEY.encode() not in content, path
        assert b"zaphod" not in content, path
    spec = json.loads(next(tmp_path.glob("runs/*/spec.json")).read_text())
    assert "https://<host>:8443/v1" in spec["command"]


@pytest.mark.slow
def test_a_run_ends_ok_when_every_request_was_answered(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    described = tmp_path / "system.toml"
    described.write_text('name = "rack 7"\naccelerators = ["4 x B200"]\n[software]\nvllm = "0.19"\n')
    store = tmp_path / "store"
    with serving(MockServer("good", models=(MODEL,), pace_s=0.002, metrics=True)) as server:
        words = ["run", "lm-serve", "--endpoint", server.url, "--concurrency", "3", "--system", str(described)]
        code = main([*words, "--store", str(store), "--json"])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    (run,) = document["runs"]
    assert (code, run["outcome"], run["reason"], run["kind"]) == (0, "ok", None, "serve")
    values = {metric["name"]: metric["value"] for metric in run["metrics"] if not metric["dims"]}
    # The server waits 2 ms before each token but the first; a loaded machine makes it longer, never shorter.
    assert values["tpot_s_p50"] >= 0.002
    assert values["error_fraction"] == 0
    assert values["requests_per_s"] == pytest.approx((len(server.asked) - 1) / 10, rel=0.2)
    assert {finding["rule"] for finding in run["findings"] if finding["severity"] == "invalid"} <= {"R036"}
    (bundle,) = (store / "runs").iterdir()
    system = json.loads((bundle / "system.json").read_text())
    assert (system["declared"]["name"], system["declared"]["accelerators"]) == ("rack 7", ["4 x B200"])
    assert all(f"Authorization: Bearer {KEY}" in head for head in server.heads)
    for path, content in files_of(store):
        assert KEY.encode() not in content, path
        assert b"zaphod" not in content, path
    meters = [line for line in (bundle / "events.jsonl").read_text().splitlines() if '"key":"meter"' in line]
    assert any("the server's power is not measured from here" in line for line in meters)
    assert not any("rapl" in line for line in meters)
