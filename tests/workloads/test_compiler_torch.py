from __future__ import annotations

from pathlib import Path

import pytest

from oildrop.rules.errors import Unsupported
from oildrop.workloads.compiler_torch import require_compiler


def test_a_named_compiler_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(Unsupported, match="no-such-compiler"):
        require_compiler()


def test_a_missing_header_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"include": str(tmp_path)})
    with pytest.raises(Unsupported, match="python3-dev") as caught:
        require_compiler()
    assert str(tmp_path / "Python.h") in str(caught.value)
    (tmp_path / "Python.h").touch()
    require_compiler()
