"""Files are written whole or not at all, by one writer at a time; what cannot be written is named."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rag.errors import GoldError
from rag.gold.files.disk import claimed, write_whole
from rag.gold.files.gold_set import append_questions, load_gold
from rag.gold.metrics.matching import SlowPattern, occurs
from rag.gold.types import Question, Review

NEW = Question("new", "Why?", aliases=("because",), review=Review("draft", "model"))


def test_a_file_is_replaced_in_one_step_and_keeps_its_rights_and_its_link(tmp_path: Path) -> None:
    real, link = tmp_path / "deep" / "real.txt", tmp_path / "link.txt"
    write_whole(real, "one\n")
    real.chmod(0o640)
    link.symlink_to(real)
    write_whole(link, b"two\r\n")
    assert real.read_bytes() == b"two\r\n" and link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in real.parent.iterdir()) == ["real.txt"]


def test_a_device_is_written_to_and_not_replaced() -> None:
    write_whole(Path("/dev/null"), "gone")
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("name", ["/proc/nothing/x", "/dev/full", "file.txt/below"])
def test_what_cannot_be_written_is_named_with_a_remedy(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.txt").write_text("kept", encoding="utf-8")
    with pytest.raises(GoldError, match=r"Cannot write .*: ") as caught:
        write_whole(tmp_path / name, "text")
    assert "another path" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


def test_a_claim_keeps_another_process_out_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl.part"
    program = (
        "import sys\nfrom pathlib import Path\nfrom rag.gold.files.disk import claimed\n"
        "with claimed(Path(sys.argv[1])):\n    print('mine', flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "mine\n"
        with pytest.raises(GoldError, match=r"Another run is being written to .*run\.jsonl\.part"):
            with claimed(path):
                pytest.fail("two have it")
        other.kill()
    with claimed(path):
        assert path.exists()


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("last", [True, False])
def test_what_stands_in_a_gold_file_stays_to_the_byte(tmp_path: Path, ending: str, mark: bytes, last: bool) -> None:
    path = tmp_path / "gold.yaml"
    lines = ["version: 1", "# mine \u00e9", "questions:", "- {id: a, question: b, unanswerable: true}"]
    before = mark + (ending.join(lines) + (ending if last else "")).encode()
    path.write_bytes(before)
    append_questions(path, [NEW])
    whole = path.read_bytes()
    assert whole.startswith(before) and load_gold(path).questions[-1] == NEW
    assert whole.count(b"\n") == whole.count(ending.encode())


LONG = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac " * 100


@pytest.mark.parametrize("pattern", ["(a|aa)+$", "(a|ab|aa)+$"])
def test_an_explosive_pattern_is_stopped_in_any_thread(pattern: str) -> None:
    started = time.process_time()
    with ThreadPoolExecutor(1) as other, pytest.raises(SlowPattern, match="took over 2 s on one text") as caught:
        other.submit(occurs, f"re:{pattern}", LONG).result()
    assert time.process_time() - started < 30
    assert "without them" in caught.value.hint


@pytest.mark.parametrize("pattern", [r"([a-z]+\s*)+9999", "(((a*)*)*)*b", r"(\w+\s?)*!"])
def test_repeats_within_repeats_are_seen_through(pattern: str) -> None:
    assert not occurs(f"re:{pattern}", LONG)


def test_a_sound_pattern_on_a_long_text_is_quick_enough() -> None:
    text = "the quick brown fox jumps over the lazy dog " * 2_000
    for pattern in (r"re:fox\s+\w+\s+over", r"re:(?:cat|bird)\b.*?\d", r"re:\b\w+ \w+ \w+ 99\b"):
        assert occurs(pattern, text) is ("fox" in pattern)
