"""Pictures of pages: what is marked, what cannot be drawn, and that the child that draws is apart and confined."""

from __future__ import annotations

import io
import json
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from rag.config import Limits
from rag.documents.sandbox import ParserPool
from rag.errors import ParserCrashed
from rag.platform.apart import isolated
from ui.pageimage import draw


def test_a_page_is_drawn_with_the_words_marked(corpus: Path) -> None:
    original = (corpus / "handbook.pdf").read_bytes()
    plain = Image.open(io.BytesIO(draw(original, 2, "")))
    marked = Image.open(io.BytesIO(draw(original, 2, "Full-time staff receive 28 days of paid annual leave.")))
    assert plain.size == marked.size and plain.size[0] == 1_100
    assert yellow(plain) == 0
    assert yellow(marked) > 5_000
    across = draw(original, 2, "Bank holidays are counted separately. Carry-over Requests go")
    assert yellow(Image.open(io.BytesIO(across))) > 1_000


def test_the_working_folder_is_no_part_of_the_program(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder with packages named like ours, or like those it draws with, runs none of them."""
    for name in ("ui", "rag", "PIL", "pypdfium2", "json", "struct"):
        package = tmp_path / name
        package.mkdir()
        (package / "__init__.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write({name!r})", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for path in (["", *sys.path], [str(tmp_path), *sys.path], [".", *sys.path]):
        monkeypatch.setattr(sys, "path", path)
        assert draw((corpus / "handbook.pdf").read_bytes(), 1, "").startswith(b"\x89PNG")
        with ParserPool(Limits(), characters=1_000, overlap=100) as pool:
            assert "28 days" in pool.parse((corpus / "handbook.pdf").read_bytes(), "handbook.pdf").document.text
    assert not (tmp_path / "ran").exists()


def test_a_page_is_drawn_by_a_confined_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child that reads the PDF can open no file, reach no address and start nothing."""
    probe = tmp_path / "pypdfium2.py"
    probe.write_text(PROBE.format(secret=str(secret(tmp_path))), encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with socket.socket() as canary:
        canary.bind(("127.0.0.1", 0))
        canary.listen()
        canary.setblocking(False)
        order = f"{canary.getsockname()[1]}".encode()
        done = subprocess.run(**isolated("ui.pageimage"), input=message(order), capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        with pytest.raises(BlockingIOError):
            canary.accept()
    assert told["folder"] == "/" and set(told["tried"].values()) == {"refused"}, told


def secret(folder: Path) -> Path:
    path = folder / "secret.txt"
    path.write_text("secret", encoding="utf-8")
    return path


def message(data: bytes) -> bytes:
    """An order to draw page 1 of ``data``, as the child takes it."""
    head = json.dumps({"page": 1, "quote": "", "width": 100}).encode()
    return struct.pack(">I", len(head)) + head + data


PROBE = """
import json, os, socket, subprocess, sys

sys.path[:] = sys.path[1:]
probe = sys.modules.pop("pypdfium2")
import pypdfium2 as real
sys.modules["pypdfium2"] = probe

FOLDER = os.getcwd()

def PdfDocument(data):
    if data.startswith(b"%PDF"):
        return real.PdfDocument(data)
    tried = {{}}
    for name, attempt in (
        ("read", lambda: open({secret!r}).read()),
        ("list", lambda: os.listdir("/")),
        ("write", lambda: open("/tmp/written-by-a-picture", "w")),
        ("connect", lambda: socket.create_connection(("127.0.0.1", int(data)), 1)),
        ("run", lambda: subprocess.run(["true"])),
    ):
        try:
            attempt()
            tried[name] = "done"
        except (OSError, ValueError):
            tried[name] = "refused"
    sys.stdout.write(json.dumps({{"folder": FOLDER, "tried": tried}}))
    sys.stdout.flush()
    os._exit(0)
"""


def yellow(picture: Image.Image) -> int:
    """How many pixels are of the marking's colour."""
    data = picture.convert("RGB").tobytes()
    return sum(red > 240 and blue < 200 for red, blue in zip(data[::3], data[2::3], strict=True))


@pytest.mark.parametrize("data", [b"", b"no pdf", b"%PDF-1.7\n1 0 obj<<>>endobj"])
def test_what_cannot_be_drawn_is_an_error(data: bytes) -> None:
    with pytest.raises(ParserCrashed, match="Page 1"):
        draw(data, 1, "x")
