"""Promise: ingest stays in its folder. Also: what is taken, what is refused, and what each is called."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from rag.config import Limits
from rag.documents import Discovery, SourceFile, discover, read_file
from rag.errors import DocumentError, LimitExceeded, PathError, UnsupportedFormat

LIMITS = Limits()
MEGABYTE = 2**20


def put(folder: Path, *names: str, content: str = "text") -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def sources(found: Discovery) -> list[str]:
    return [file.source for file in found.files]


def refusals(found: Discovery) -> dict[str, str]:
    return {refused.source: str(refused.error) for refused in found.refused}


def test_a_folder_gives_its_files_sorted_and_hides_hidden_ones(tmp_path: Path) -> None:
    put(tmp_path, "b.md", "a.txt", "sub/deep/c.PDF", ".hidden.txt", ".git/d.txt", "sub/.e.md", "x.xyz", "sub/README")
    found = discover([tmp_path], LIMITS)
    assert sources(found) == ["a.txt", "b.md", "sub/deep/c.PDF"]
    assert [type(refused.error) for refused in found.refused] == [UnsupportedFormat, UnsupportedFormat]
    assert list(refusals(found)) == ["sub/README", "x.xyz"]
    assert [read_file(file, LIMITS) for file in found.files] == [b"text"] * 3


def test_single_files_are_named_by_themselves_even_hidden_or_unsupported(tmp_path: Path) -> None:
    put(tmp_path, "a.txt", ".b.md", "c.xyz")
    found = discover([tmp_path / "a.txt", str(tmp_path / ".b.md"), tmp_path / "c.xyz", tmp_path / "a.txt"], LIMITS)
    assert sources(found) == [".b.md", "a.txt"] and list(refusals(found)) == ["c.xyz"]


@pytest.mark.parametrize("name", ["missing", "missing.txt", "a.txt/below", "nul\0byte"])
def test_a_missing_path_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    put(tmp_path, "a.txt")
    with pytest.raises(PathError, match="There is no file or folder") as caught:
        discover([tmp_path / "a.txt", tmp_path / name], LIMITS)
    assert name.split("\0")[0] in str(caught.value) and caught.value.hint


def test_an_empty_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    put(tmp_path, ".hidden", "sub/.also")
    with pytest.raises(PathError, match="holds nothing to ingest") as caught:
        discover([tmp_path], LIMITS)
    assert str(tmp_path) in str(caught.value) and ".pdf" in caught.value.hint


def test_a_relative_path_is_taken_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "docs/a.txt", "other/b.txt")
    monkeypatch.chdir(tmp_path / "other")
    assert sources(discover(["../docs", "b.txt", "."], LIMITS)) == ["a.txt", "b.txt"]
    assert read_file(SourceFile(Path("b.txt"), "b.txt"), LIMITS) == b"text"


def test_equal_names_are_told_apart_by_their_folders_whatever_the_order(tmp_path: Path) -> None:
    put(tmp_path, "x/a.txt", "y/a.txt", "x/only.txt", "p/x/sub/b.md", "q/x/sub/b.md", "z/x/a.txt")
    paths = [tmp_path / "x", tmp_path / "y" / "a.txt", tmp_path / "p" / "x", tmp_path / "q" / "x"]
    found = discover(paths, LIMITS)
    assert sources(found) == ["only.txt", "p/x/sub/b.md", "q/x/sub/b.md", "x/a.txt", "y/a.txt"]
    assert discover(paths[::-1], LIMITS) == found
    everything = discover([tmp_path / "z", tmp_path / "x"], LIMITS)
    assert sources(everything) == ["a.txt", "only.txt", "x/a.txt"]


def test_a_folder_and_a_file_in_it_give_that_file_once(tmp_path: Path) -> None:
    put(tmp_path, "a.txt")
    assert sources(discover([tmp_path, tmp_path / "a.txt", tmp_path], LIMITS)) == ["a.txt"]


def test_links_are_followed_only_to_files_inside(tmp_path: Path) -> None:
    secret = put(tmp_path / "outside", "secret.txt", content="canary") / "secret.txt"
    inside = put(tmp_path / "in", "real.txt", "sub/x.txt")
    (inside / "ok.txt").symlink_to("real.txt")
    (inside / "out.txt").symlink_to(secret)
    (inside / "up.txt").symlink_to("../outside/secret.txt")
    (inside / "folder").symlink_to(secret.parent)
    (inside / "loop").symlink_to(inside)
    (inside / "round.txt").symlink_to("round.txt")
    (inside / "nowhere.txt").symlink_to("gone.txt")
    (inside / "zero.txt").symlink_to("/dev/zero")
    found = discover([inside], LIMITS)
    assert sources(found) == ["ok.txt", "real.txt", "sub/x.txt"]
    assert set(refusals(found)) == {"out.txt", "up.txt", "folder", "loop", "round.txt", "nowhere.txt", "zero.txt"}
    assert all("link" in reason for reason in refusals(found).values())
    assert b"canary" not in b"".join(read_file(file, LIMITS) for file in found.files)


def test_a_link_that_was_named_is_followed(tmp_path: Path) -> None:
    put(tmp_path / "real", "a.txt")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "b.txt").symlink_to(tmp_path / "real" / "a.txt")
    found = discover([tmp_path / "link", tmp_path / "b.txt"], LIMITS)
    assert sources(found) == ["a.txt", "b.txt"]
    assert [read_file(file, LIMITS) for file in found.files] == [b"text"] * 2


def test_pipes_sockets_and_devices_are_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a.txt")
    os.mkfifo(tmp_path / "pipe.txt")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.txt")
        found = discover([tmp_path, "/dev/zero", "/dev/stdin", tmp_path / "pipe.txt"], LIMITS)
    assert sources(found) == ["a.txt"]
    reasons = refusals(found)
    assert "named pipe" in reasons["pipe.txt"] and "socket" in reasons["socket.txt"] and "device" in reasons["zero"]
    for path in (tmp_path / "pipe.txt", Path("/dev/zero"), tmp_path):
        with pytest.raises(DocumentError, match="which is never read"):
            read_file(SourceFile(path, path.name), LIMITS)


def test_a_file_swapped_for_something_else_after_discovery_is_not_read(tmp_path: Path) -> None:
    put(tmp_path / "outside", "a.txt", "secret.txt", content="canary")
    inside = put(tmp_path / "in", "sub/a.txt", "b.txt", "c.txt", "d.txt")
    files = {file.source: file for file in discover([inside], LIMITS).files}
    (inside / "sub").rename(inside / "moved")
    (inside / "sub").symlink_to(tmp_path / "outside")
    for name in ("b.txt", "c.txt", "d.txt"):
        (inside / name).unlink()
    (inside / "b.txt").symlink_to(tmp_path / "outside" / "secret.txt")
    os.mkfifo(inside / "c.txt")
    for source in files:
        with pytest.raises(DocumentError) as caught:
            read_file(files[source], LIMITS)
        assert Path(source).name in str(caught.value) and caught.value.hint


def test_dots_do_not_lead_out_unasked(tmp_path: Path) -> None:
    inside = put(tmp_path / "in", "a.txt", "..b.txt", "...txt")
    put(tmp_path, "secret.txt")
    assert sources(discover([inside], LIMITS)) == ["a.txt"]
    assert sources(discover([inside / ".." / "in" / "a.txt"], LIMITS)) == ["a.txt"]


def test_size_limit_is_exact_before_and_after_opening(tmp_path: Path) -> None:
    limits = Limits(file_mb=1)
    (tmp_path / "fits.txt").write_bytes(bytes(MEGABYTE))
    (tmp_path / "over.txt").write_bytes(bytes(MEGABYTE + 1))
    found = discover([tmp_path], limits)
    assert sources(found) == ["fits.txt"]
    assert isinstance(found.refused[0].error, LimitExceeded) and "limits.file_mb" in str(found.refused[0].error)
    assert len(read_file(found.files[0], limits)) == MEGABYTE
    with (tmp_path / "fits.txt").open("ab") as file:
        file.write(b"x")
    with pytest.raises(LimitExceeded, match=r"larger than 1 MB \(limits\.file_mb\)"):
        read_file(found.files[0], limits)


NASTY = [
    "new\nline.txt",
    "mark\u202etxt.md",
    "<img src=x onerror=alert(1)>.md",
    "x" * 250 + ".txt",
    "'; DROP.txt",
    "-rf.txt",
    "a|b.xyz",
]


@pytest.mark.parametrize("name", NASTY)
def test_nasty_names_are_kept_as_sources_and_shown_on_one_line(tmp_path: Path, name: str) -> None:
    put(tmp_path, name)
    found = discover([tmp_path], Limits(file_mb=1))
    names = [*sources(found), *refusals(found)]
    assert names == [name]
    with pytest.raises(DocumentError) as caught:
        read_file(SourceFile(tmp_path / "gone", name), LIMITS)
    error = caught.value
    assert "\n" not in str(error) and "\u202e" not in str(error) and len(str(error)) < 300


def test_a_name_that_is_no_utf8_becomes_a_source_that_is(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")).write_text("x")
    found = discover([tmp_path], LIMITS)
    assert sources(found) == ["caf\\xe9.txt"] and read_file(found.files[0], LIMITS) == b"x"


def test_missing_and_forbidden_files_have_a_reason(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"gone\.txt cannot be read: No such file"):
        read_file(SourceFile(tmp_path / "gone.txt", "gone.txt"), LIMITS)
    if os.geteuid() == 0:
        return
    put(tmp_path, "shut/a.txt", "b.txt")
    (tmp_path / "shut").chmod(0)
    try:
        assert "cannot be read" in refusals(discover([tmp_path], LIMITS))["shut"]
        with pytest.raises(PathError, match="cannot be read"):
            discover([tmp_path / "shut"], LIMITS)
    finally:
        (tmp_path / "shut").chmod(0o700)


def test_a_deep_folder_needs_no_recursion(tmp_path: Path) -> None:
    folders = [tmp_path]
    for _ in range(1_200):
        folders.append(folders[-1] / "d")
        folders[-1].mkdir()
    put(folders[-1], "a.txt")
    found = discover([tmp_path], LIMITS)
    assert read_file(found.files[0], LIMITS) == b"text" and found.files[0].source.count("/") == 1_200
    (folders[-1] / "a.txt").unlink()
    for folder in reversed(folders[1:]):
        folder.rmdir()
