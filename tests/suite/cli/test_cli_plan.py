"""`oildrop plan`: one document, the same in words, and usage errors that name the fix."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oildrop.rules.loading import load_rulebook
from oildrop.suite.cli.main import main

Capture = pytest.CaptureFixture[str]


def document(capsys: Capture, *words: str) -> Any:
    assert main(["plan", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def text(capsys: Capture, *words: str) -> str:
    assert main(["plan", *words]) == 0
    return capsys.readouterr().out


def test_the_document_answers_for_a_named_part(capsys: Capture) -> None:
    found = document(capsys, "lm-pretrain", "--tier", "base", "--device", "NVIDIA H200")
    assert found["schema"] == "oildrop.plan-sizes/1"
    assert (found["device"], found["devices"], found["dtype"]) == ("NVIDIA H200 SXM 141GB", 1, "bf16")
    assert (found["parameters"], found["samples_per_step"], found["tokens_per_sample"]) == (989_399_040, 8, 2048)
    assert found["flop_per_step"] == found["flops_per_token"] * 8 * 2048
    assert found["fits"] is True and found["layout"] == "replicated" and found["advice"] == []
    memory = found["memory"]["replicated"]
    assert memory.pop("total") == sum(memory.values())
    assert [times["mfu"] for times in found["times"]] == [1.0, 0.4]
    assert found["times"][0]["step_s"] == pytest.approx(found["flop_per_step"] / 989.5e12)
    assert found["times"][0]["target_s"] is None and "no reference runs" in found["missing"]["target_s"]
    assert "estimates" in found["provisional"]


def test_the_target_has_a_time_where_reference_runs_exist(capsys: Capture) -> None:
    found = document(capsys, "lm-pretrain", "--device", "NVIDIA H200")
    assert found["provisional"] is None
    assert 0 < found["times"][0]["target_s"] < found["times"][0]["cap_s"]


def test_reference_runs_do_not_speak_for_changed_settings(capsys: Capture) -> None:
    found = document(capsys, "lm-pretrain", "--device", "NVIDIA H200", "--set", "model.layers=3")
    assert found["target_samples"] is None and found["division"] == "open"
    free = document(capsys, "lm-pretrain", "--device", "NVIDIA H200", "--set", "execution.dtype=bf16")
    assert free["division"] == "closed"


def test_words_say_whether_it_fits_and_what_to_change(capsys: Capture) -> None:
    shown = text(capsys, "lm-pretrain", "--tier", "base", "--device", "NVIDIA L40S")
    assert "it does not fit: 45.82 GiB of the 43.2 GiB" in shown
    assert "--set data.documents_per_batch=4 (division open)" in shown
    assert "--devices 2" in shown and "FSDP" in shown
    assert "provisional, never ranked" in shown
    assert "at 100 % MFU" in shown and "at 40 % MFU" in shown
    assert "it fits, sharded" in text(capsys, "lm-pretrain", "--tier", "pod", "--device", "B200", "--devices", "64")


def test_without_a_part_only_sizes_are_shown(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    from oildrop.harness.system import probe

    bare = probe.probe_system().model_copy(update={"accelerators": ()})
    monkeypatch.setattr(probe, "probe_system", lambda: bare)
    shown = text(capsys, "lm-pretrain")
    assert "857,216" in shown and "MFU" not in shown
    assert "--device 'NVIDIA H200'" in shown


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["lm-pretrian"], "lm-pretrain"),
        (["lm-pretrain", "--tier", "bass"], "base"),
        (["lm-pretrain", "--device", "NVIDIA H20"], "NVIDIA H200"),
        (["lm-pretrain", "--device", "NVIDIA H200", "--devices", "3"], "use one of 1, 2, 4, 8"),
        (["lm-pretrain", "--set", "model.widht=8"], "model.width"),
    ],
)
def test_a_wrong_word_is_a_usage_error_that_offers_the_right_one(
    words: list[str], offered: str, capsys: Capture
) -> None:
    assert main(["plan", *words, "--json"]) == 2
    shown = capsys.readouterr()
    assert json.loads(shown.out)["error"]["exit_code"] == 2
    assert offered in shown.err


@pytest.mark.parametrize("tier", list(load_rulebook().benchmarks["lm-pretrain"].tiers))
def test_every_tier_can_be_planned(tier: str, capsys: Capture) -> None:
    found = document(capsys, "lm-pretrain", "--tier", tier, "--device", "NVIDIA B200")
    assert found["tier"] == tier and found["times"][1]["cap_s"] > found["times"][0]["cap_s"] > 0


def test_list_tells_which_tiers_are_provisional(capsys: Capture) -> None:
    assert main(["list", "lm-pretrain"]) == 0
    shown = capsys.readouterr().out
    marked = [line.split()[1] for line in shown.splitlines() if line.startswith("tier ") and "is provisional" in line]
    assert marked == ["small", "base", "pod"]
