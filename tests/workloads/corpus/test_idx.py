"""IDX files written by hand, whole and broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oildrop.rules.errors import OildropError
from oildrop.workloads.corpus.idx import read_images, read_labels


@pytest.mark.parametrize("pack", ["plain", "zipped"])
def test_images_and_labels_are_read_row_by_row(make: Any, tmp_path: Path, pack: str) -> None:
    form = make.zipped if pack == "zipped" else bytes
    (tmp_path / "images").write_bytes(form(make.idx(bytes(range(12)), 2, 2, 3)))
    (tmp_path / "labels").write_bytes(form(make.idx(b"\x07\xff", 2)))
    images, labels = read_images(tmp_path / "images"), read_labels(tmp_path / "labels")
    assert images.dtype == labels.dtype == np.uint8
    assert images.tolist() == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]
    assert labels.tolist() == [7, 255]


BROKEN = [
    (lambda m: b"", "begins with nothing"),
    (lambda m: b"PNG!", "begins with 504e4721, 0000 expected"),
    (lambda m: m.idx(bytes(4), 1, 2, 2, kind=13), "type 0x0d found, 0x08"),
    (lambda m: m.idx(bytes(4), 4), "1 axes found, 3 expected: is it a file of images"),
    (lambda m: m.idx(b"", 1, 2, 2)[:11], "cut off in its header after 11 bytes"),
    (lambda m: m.idx(b"", 0, 28, 28), r"\(0, 28, 28\) holds no value"),
    (lambda m: m.idx(bytes(7), 2, 2, 2), r"7 values found, 8 expected for the shape \(2, 2, 2\)"),
    (lambda m: m.idx(bytes(9), 2, 2, 2), "more than 8 values found, 8 expected"),
    (lambda m: m.zipped(m.idx(bytes(8), 2, 2, 2))[:-6], "broken gzip data"),
    (lambda m: m.zipped(m.idx(bytes(8), 2, 2, 2))[:-8] + bytes(8), "broken gzip data"),
    (lambda m: m.zipped(m.idx(bytes(8), 2, 2, 2))[:10] + b"\xff" * 20, "broken gzip data"),
]


@pytest.mark.parametrize(("broken", "message"), BROKEN)
def test_a_broken_file_is_refused_by_name_and_reason(make: Any, tmp_path: Path, broken: Any, message: str) -> None:
    (tmp_path / "images.idx").write_bytes(broken(make))
    with pytest.raises(OildropError, match=rf"^images\.idx: .*{message}"):
        read_images(tmp_path / "images.idx")


def test_images_are_no_labels(make: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(make.idx(bytes(8), 2, 2, 2))
    with pytest.raises(OildropError, match="3 axes found, 1 expected: is it a file of labels"):
        read_labels(tmp_path / "file")
