"""Names and locks as every system has them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.platform.files import Busy, as_text, lock, long, open_private, sync, unlock, usable_part

ROOT = Path(__file__).parents[2]


def test_paths_are_written_with_slashes_and_whole_ones_begin_with_one() -> None:
    for path, written in (
        (PureWindowsPath("C:\\Users\\Ada\\a.md"), "/C:/Users/Ada/a.md"),
        (PureWindowsPath("\\\\server\\share\\a.md"), "//server/share/a.md"),
        (PureWindowsPath("deep\\a.md"), "deep/a.md"),
        (PurePosixPath("/home/ada/a\\b.md"), "/home/ada/a\\b.md"),
        ("deep/sur\udce9.md", "deep/sur\\xe9.md"),
    ):
        assert as_text(path) == written


@given(parts=st.lists(st.text("ab ü.", min_size=1).filter(lambda p: p.strip(". ")), min_size=1, max_size=4))
def test_the_same_file_is_written_alike_on_every_system(parts: list[str]) -> None:
    below = "/".join(parts)
    assert as_text(PureWindowsPath(*parts)) == as_text(PurePosixPath(*parts)) == below


@pytest.mark.parametrize(
    ("part", "usable"),
    [
        ("a.md", True), ("Straße 7.txt", True), ("console.md", True), ("com.txt", True), ("com10.md", True),
        ("con", False), ("NUL.txt", False), ("Lpt1.tar.gz", False), ("aux .md", False), ("a.", False), ("a ", False),
        ("a:b.md", False), ("what?.md", False), ('"a".md', False), ("a\\b.md", False), ("a\tb.md", False),
    ],
)  # fmt: skip
def test_names_that_some_system_cannot_have(part: str, usable: bool) -> None:
    assert usable_part(part) is usable


def test_a_lock_is_one_processes_until_it_is_given_back(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first, second = open_private(path), open_private(path)
    assert path.stat().st_mode & 0o777 == 0o600
    lock(first)
    for shared in (True, False):
        with pytest.raises(Busy):
            lock(second, shared=shared)
    with subprocess.Popen([sys.executable, "-c", "input()"], close_fds=False, stdin=subprocess.PIPE) as child:
        unlock(first)
        lock(second)
        child.communicate(b"\n")
    os.close(first)
    os.close(second)
    sync(path)
    sync(tmp_path)


def test_a_long_path_is_left_alone_where_paths_may_be_long(tmp_path: Path) -> None:
    assert long(tmp_path / ("x" * 300)) == tmp_path / ("x" * 300)


def test_the_program_walks_where_nothing_of_posix_is() -> None:
    """Ingest, ask, sync, lock, chat, doctor, gold work and the page, with fork, fcntl, resource and their like gone."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.portable", "--hidden"], capture_output=True, text=True, cwd=ROOT, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:-1] == [
        f"ok {name}" for name in ("ingest ask sync", "lock", "chat", "doctor", "gold", "page")
    ]
