"""Versions, git revision and the environment's allow-list."""

import subprocess
from pathlib import Path

from oildrop.harness.system.device_ids import salted_id
from oildrop.harness.system.software import allowed_environment, framework_versions, git_revision
from oildrop.harness.system.source import run_command, this_host


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_only_listed_variables_pass_and_private_ones_never() -> None:
    environment = {
        "OMP_NUM_THREADS": "2",
        "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
        "PYTORCH_SECRET_TOKEN": "hush",
        "AWS_SECRET_ACCESS_KEY": "hush",
        "HOME": "/home/jane",
    }
    assert allowed_environment(environment, "") == {
        "OMP_NUM_THREADS": "2",
        "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
    }


def test_raw_device_ids_in_a_variable_are_salted() -> None:
    uuid = "GPU-8f3e1a52-0c1d-4b7e-9a57-5a2f6c1d0e99"
    recorded = allowed_environment({"CUDA_VISIBLE_DEVICES": f"{uuid},0"}, "salt")
    assert recorded == {"CUDA_VISIBLE_DEVICES": f"{salted_id('salt', uuid)},0"}
    assert salted_id("salt", uuid) != salted_id("other", uuid)


def test_the_revision_is_the_commit_and_says_when_files_differ(tmp_path: Path) -> None:
    host = this_host()
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    assert git_revision(host, tmp_path) is None
    git(tmp_path, "init", "-q")
    assert git_revision(host, tmp_path) is None
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert git_revision(host, tmp_path) == commit
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert git_revision(host, tmp_path) == f"{commit}-dirty"
    inner = tmp_path / "site-packages"
    inner.mkdir()
    assert git_revision(host, inner) is None


def test_frameworks_are_found_without_being_imported() -> None:
    code = "import sys; from oildrop.harness.system.probe import probe_system; probe_system(); " \
        "print([m for m in ('torch', 'jax', 'mlx', 'pynvml') if m in sys.modules])"  # fmt: skip
    import sys

    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    from importlib import metadata

    installed = {d.metadata["Name"] for d in metadata.distributions()}
    assert set(framework_versions()) == installed & {"torch", "jax", "mlx"}


def test_a_command_that_is_absent_or_fails_silently_is_none() -> None:
    assert run_command(("no-such-command-here",)) is None
    assert run_command(("false",)) is None
    assert run_command(("echo", " yes ")) == "yes"
