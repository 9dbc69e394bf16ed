"""Whatever goes wrong ends as one message, one exit code, and no traceback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from oildrop.rules.errors import BundleError, OildropError, StoreError, Unsupported, UsageError
from oildrop.suite.cli.errors import guarded
from oildrop.suite.cli.main import main, wants_json

OILDROP = Path(sys.executable).with_name("oildrop")
Capture = pytest.CaptureFixture[str]


def raising(error: BaseException) -> Callable[[], int]:
    def call() -> int:
        raise error

    return call


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("runs 0 is under 1; use 1 or more"), 2),
        (StoreError("held by process 7"), 1),
        (BundleError("spec.json is missing"), 1),
        (Unsupported("no driver"), 1),
        (OildropError("other"), 1),
    ],
)
def test_our_errors_become_their_message_and_code(error: OildropError, code: int, capsys: Capture) -> None:
    assert guarded(raising(error), as_json=False) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"error: {error}\n"


def test_json_error_is_one_document_on_stdout_beside_the_message(capsys: Capture) -> None:
    assert guarded(raising(StoreError("held by process 7")), as_json=True) == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {
        "schema": "oildrop.error/1",
        "error": {"type": "StoreError", "message": "held by process 7", "exit_code": 1},
    }
    assert shown.err == "error: held by process 7\n"


def test_an_operating_system_error_names_the_file(capsys: Capture) -> None:
    assert guarded(raising(PermissionError(13, "Permission denied", "/store/x")), as_json=False) == 1
    assert capsys.readouterr().err == "error: /store/x: Permission denied\n"


def test_an_unexpected_exception_leaves_its_traceback_in_a_file(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert guarded(raising(KeyError("surprise")), as_json=False) == 70
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert shown.startswith("error: internal error: KeyError: 'surprise'; ")
    [kept] = tmp_path.iterdir()
    assert str(kept) in shown
    assert "in raising" not in shown and "in call" in kept.read_text()


def test_an_unexpected_exception_is_told_even_where_no_file_can_be_written(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    assert guarded(raising(KeyError("surprise")), as_json=True) == 70
    assert json.loads(capsys.readouterr().out)["error"]["type"] == "InternalError"


def test_ctrl_c_is_told_without_traceback(capsys: Capture) -> None:
    assert guarded(raising(KeyboardInterrupt()), as_json=False) == 130
    assert capsys.readouterr().err == "error: stopped by hand\n"


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["rnu"], "run"),
        (["comparee"], "compare"),
        (["run", "--teir", "nano"], "--tier"),
        (["site", "biuld"], "build"),
        (["runs", "--outcome", "chrash"], "crash"),
        (["export", "last", "--format", "parket", "--out", "x"], "parquet"),
        (["compare", "a", "b", "--metric", "time_to_targt_s"], "time_to_target_s"),
        (["list", "lm-pretrian"], "lm-pretrain"),
    ],
)
def test_an_unknown_name_is_a_usage_error_that_offers_the_nearest(
    words: list[str], offered: str, capsys: Capture
) -> None:
    assert main(words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.search(rf"(?<![\w-]){re.escape(offered)}(?![\w-])", shown.err)


@pytest.mark.parametrize(
    "words",
    [
        ["show"],
        ["show", "a", "b"],
        ["run", "--runs", "0"],
        ["run", "--runs", "many"],
        ["run", "--timeout", "-1"],
        ["run", "--timeout", "nan"],
        ["run", "--memory-limit", "lots"],
        ["run", "--seeds", "1,two"],
        ["run", "--set", "no-equals-sign"],
        ["runs", "--limit", "0"],
        ["export", "last"],
        ["site", "serve", "--port", "70000"],
    ],
)
def test_a_wrong_call_is_exit_2_with_a_json_error(words: list[str], capsys: Capture) -> None:
    assert main([*words, "--json"]) == 2
    shown = capsys.readouterr()
    assert json.loads(shown.out)["error"]["exit_code"] == 2
    assert shown.err.startswith("error: ")


def test_json_is_recognised_before_the_end_of_options_only() -> None:
    assert wants_json(["show", "--json", "x"])
    assert not wants_json(["show", "--", "--json"])


@pytest.mark.slow
def test_a_reader_that_leaves_early_is_met_with_silence() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run([OILDROP, "--help"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 141


@pytest.mark.slow
def test_output_that_a_narrow_encoding_lacks_does_not_end_the_program(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "OILDROP_STORE": str(tmp_path / "größer")}
    done = subprocess.run([OILDROP, "runs"], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "no runs yet in" in done.stdout
