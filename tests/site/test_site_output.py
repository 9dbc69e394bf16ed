"""A build replaces an earlier one whole, or leaves everything as it was; the server stays at home."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import urllib.request

import pytest

from oildrop.rules.errors import UsageError
from oildrop.site.pages.build import build_site
from oildrop.site.pages.output import MARKER, Output
from oildrop.site.pages.serve import open_server

BUILT = "2026-11-22T12:34:56Z"


def files(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_same_runs_make_the_same_bytes_whatever_was_built_before(runs, tmp_path):
    rows, book = runs.one_of_each(), runs.rulebook()
    first = build_site(rows, book, tmp_path / "a", built_utc=BUILT)
    build_site(runs.many_rows(50), book, tmp_path / "b", built_utc=BUILT)
    second = build_site(rows, book, tmp_path / "b", built_utc=BUILT)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert (first.pages, first.runs) == (second.pages, second.runs)
    assert first.pages == len(list((tmp_path / "a").rglob("*.html"))) and first.runs == len(rows)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_addresses_of_runs_stay_when_more_runs_come(runs, tmp_path):
    rows, book = runs.many_rows(40), runs.rulebook()
    build_site(rows[20:], book, tmp_path / "page", built_utc=BUILT)
    before = {path for path in files(tmp_path / "page") if path.startswith("r/")}
    build_site(rows, book, tmp_path / "page", built_utc=BUILT)
    assert before <= set(files(tmp_path / "page"))


def test_foreign_folder_file_and_link_are_refused_untouched(runs, tmp_path):
    foreign = tmp_path / "photos"
    foreign.mkdir()
    (foreign / "holiday.jpg").write_bytes(b"1")
    (tmp_path / "file").write_text("2")
    (tmp_path / "link").symlink_to(foreign)
    for out in ("photos", "file", "link"):
        with pytest.raises(UsageError, match=out):
            build_site([], runs.rulebook(), tmp_path / out, built_utc=BUILT)
    assert files(foreign) == {"holiday.jpg": b"1"} and (tmp_path / "file").read_text() == "2"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "photos"]


def test_empty_folder_is_taken(runs, tmp_path):
    (tmp_path / "page").mkdir()
    build_site([], runs.rulebook(), tmp_path / "page", built_utc=BUILT)
    assert (tmp_path / "page" / MARKER).is_file()


def test_failing_build_leaves_the_old_page_and_no_rubbish(runs, tmp_path):
    build_site(runs.one_of_each(), runs.rulebook(), tmp_path / "page", built_utc=BUILT)
    before = files(tmp_path / "page")
    with pytest.raises(RuntimeError), Output(tmp_path / "page") as output:
        output.write("index.html", "half a page")
        raise RuntimeError("the disk is on fire")
    assert files(tmp_path / "page") == before
    assert [path.name for path in tmp_path.iterdir()] == ["page"]


UNFINISHED = """
import sys
from pathlib import Path
from oildrop.site.pages.output import Output
with Output(Path(sys.argv[1])) as output:
    output.write("r/000/index.html", "half a page")
    print(flush=True)
    sys.stdin.read()
"""


def start_unfinished(out):
    """A process that is in the middle of building `out` until its input ends."""
    command = [sys.executable, "-P", "-c", UNFINISHED, str(out)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    return process


def lock(folder, how):
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, how)
    return descriptor


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_leftovers_of_killed_builds_go_with_the_next_and_those_of_live_ones_stay(runs, tmp_path):
    with start_unfinished(tmp_path / "page") as dead:
        dead.send_signal(signal.SIGKILL)
    (leftover,) = tmp_path.glob(f"page.tmp-{dead.pid}-*")
    assert (leftover / "r/000/index.html").read_text() == "half a page"
    foreign = [
        f"page.tmp-{os.getpid()}-abcdef",  # alive, on a file system that knows no locks
        f"page.tmp-{dead.pid}",
        "page.tmp-notes",
        f"pages.tmp-{dead.pid}-abcdef",
        f"a-page.tmp-{dead.pid}-abcdef",
    ]
    for name in foreign:
        (tmp_path / name).mkdir()
    (tmp_path / f"page.tmp-{dead.pid}-000000").write_text("a file")
    with start_unfinished(tmp_path / "page") as live:
        (held,) = tmp_path.glob(f"page.tmp-{live.pid}-*")
        with pytest.raises(BlockingIOError):
            lock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        build_site([], runs.rulebook(), tmp_path / "page", built_utc=BUILT)
        assert names(tmp_path) == sorted([*foreign, f"page.tmp-{dead.pid}-000000", held.name, "page"])
        live.communicate(b"")
    assert live.returncode == 0
    assert (tmp_path / "page/r/000/index.html").read_text() == "half a page"  # it ended last, and whole
    assert names(tmp_path) == sorted([*foreign, f"page.tmp-{dead.pid}-000000", "page"])


def test_a_folder_that_is_held_stays_though_its_process_cannot_be_seen(runs, tmp_path):
    with start_unfinished(tmp_path / "page") as dead:
        dead.send_signal(signal.SIGKILL)
    (leftover,) = tmp_path.glob("page.tmp-*")
    descriptor = lock(leftover, fcntl.LOCK_SH)
    build_site([], runs.rulebook(), tmp_path / "page", built_utc=BUILT)
    assert leftover.is_dir()
    os.close(descriptor)
    build_site([], runs.rulebook(), tmp_path / "page", built_utc=BUILT)
    assert names(tmp_path) == ["page"]


def test_an_old_page_set_aside_stays_until_a_new_one_stands(runs, tmp_path):
    with start_unfinished(tmp_path / "page") as dead:
        dead.send_signal(signal.SIGKILL)
    aside = tmp_path / f"page.old-{dead.pid}-abcdef"
    aside.mkdir()
    with pytest.raises(RuntimeError), Output(tmp_path / "page"):
        raise RuntimeError("the disk is on fire")
    assert names(tmp_path) == [aside.name]
    build_site([], runs.rulebook(), tmp_path / "page", built_utc=BUILT)
    build_site([], runs.rulebook(), tmp_path / "page", built_utc=BUILT)
    assert names(tmp_path) == ["page"]


def test_server_answers_on_this_machine_only(runs, tmp_path):
    build_site(runs.one_of_each(), runs.rulebook(), tmp_path / "page", built_utc=BUILT)
    with open_server(tmp_path / "page", 0) as server:
        assert server.server_address[0] == "127.0.0.1"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/", timeout=5) as answer:
                body = answer.read()
        finally:
            server.shutdown()
            thread.join()
        assert body == (tmp_path / "page/index.html").read_bytes()
        with pytest.raises(UsageError, match=f"port {server.server_port} cannot be opened"):
            open_server(tmp_path / "page", server.server_port)


def test_server_refuses_a_folder_that_is_no_page(tmp_path):
    with pytest.raises(UsageError, match="not a page built here"):
        open_server(tmp_path, 0)
