"""What a child sends is checked: nothing false, endless or oversized gets past."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.config import Limits
from rag.documents import wire
from rag.documents.wire import BadReply, Job, read_reply, receive, send
from rag.errors import DocumentError, EncryptedDocument

JOB = Job("a.pdf", Limits(characters=1_000, pages=5, passages=10), 100, 10)
TEXT = "Heading\nsome text 😀\n\nmore"
GOOD: dict[str, Any] = {
    "title": "T",
    "headings": [[1, "Heading", 0]],
    "places": [[1, 0, 19, "page", "iv"], [2, 19, 19, "page", ""], [3, 21, 25, "page", ""], [1, 21, 24, "hidden", ""]],
    "spans": [[0, 19], [21, 25]],
    "attachments": [],
}


def page(start: Any, end: Any, *, number: Any = 1, kind: Any = "page", label: Any = "") -> list[Any]:
    return [number, start, end, kind, label]


def reply(body: str = TEXT, **changes: Any) -> wire.Parsed:
    return read_reply(json.loads(json.dumps({**GOOD, **changes})), body.encode(), JOB)


def test_a_true_reply_is_read() -> None:
    parsed = reply()
    assert [(s.page, s.heading) for s in parsed.slices] == [(1, ("Heading",)), (3, ("Heading",))]
    assert [place.label for place in parsed.slices[0].places] == ["iv"]
    assert [place.kind for place in parsed.slices[1].places] == ["page", "hidden"]
    assert parsed.document.media_type == "application/pdf" and parsed.document.empty_pages == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"title": ""}, {"title": None}, {"title": "two\nlines"}, {"title": "x" * 201}, {"title": "zero\u200bwidth"},
        {"headings": None}, {"headings": [[0, "x", 0]]}, {"headings": [[7, "x", 0]]}, {"headings": [[1, "x", 26]]},
        {"headings": [[1, "x", -1]]}, {"headings": [[1, "", 0]]}, {"headings": [[1, "x", 9], [1, "x", 3]]},
        {"headings": [[True, "x", 0]]}, {"headings": [[1, "x"]]}, {"headings": [[1, 2, 3]]}, {"headings": {"a": 1}},
        {"headings": [[1, "x", 0]] * 10_001},
        {"places": None}, {"places": [page(0, 26)]}, {"places": [page(5, 0)]}, {"places": [page(0, 9), page(8, 12)]},
        {"places": [page(0, 1)] * 6}, {"places": [page(n, n) for n in range(6)]},
        {"places": [page(0, 1.5)]}, {"places": [page(0, "1")]}, {"places": [0, 1]}, {"places": [page(False, True)]},
        {"places": [page(0, 1, number=0)]}, {"places": [page(0, 1, number=2**40)]}, {"places": [page(0, 1, kind="x")]},
        {"places": [page(0, 1, label="a\nb")]}, {"places": [page(0, 1, label=3)]}, {"places": [page(0, 1)[:4]]},
        {"places": [page(5, 6), page(0, 9, kind="note")]}, {"places": [page(0, 1, kind=["page"])]},
        {"spans": None}, {"spans": []}, {"spans": [[0, 0]]}, {"spans": [[0, 26]]}, {"spans": [[-1, 5]]},
        {"spans": [[9, 3]]},
        {"spans": [[19, 21]]}, {"spans": [[0, 5], [0, 5]]}, {"spans": [[n, n + 2] for n in range(11)]},
        {"spans": [[0, 10**30]]}, {"spans": [[0, 5, 6]]}, {"spans": "x"},
        {"attachments": None}, {"attachments": [["a", -1]]}, {"attachments": [["a/b", 1]]}, {"attachments": [["", 1]]},
        {"attachments": [["..", 1]]}, {"attachments": [["a", 10**9]]}, {"attachments": [["a"]]},
        {"attachments": [["a", 0]] * 101}, {"attachments": [["a", True]]}, {"attachments": [["a", 26]]},
        {"error": "x"}, {"error": {}}, {"error": {"code": "limit", "message": "m"}},
        {"error": {"code": "config", "message": "m", "hint": "h"}},
        {"error": {"code": ["limit"], "message": "m", "hint": "h"}},
        {"error": {"code": "limit", "message": 1, "hint": "h"}},
    ],
    ids=str,
)  # fmt: skip
def test_a_false_reply_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadReply):
        reply(**changes)


@pytest.mark.parametrize("body", ["", "   ", "\u200b", "x" * 1_001, "nul \0 in " + TEXT])
def test_a_false_text_is_refused(body: str) -> None:
    with pytest.raises(BadReply):
        reply(body, headings=[], pages=[], spans=[[0, 1]])


def test_a_text_that_is_no_utf8_is_refused() -> None:
    with pytest.raises(BadReply):
        read_reply(GOOD, b"\xff\xfe text", JOB)
    with pytest.raises(BadReply):
        read_reply(GOOD, "\ud800".encode("utf-8", "surrogatepass"), JOB)


def test_an_error_is_one_line_of_its_own_kind() -> None:
    with pytest.raises(EncryptedDocument) as caught:
        reply(error={"code": "encrypted", "message": "a\nb " + "x" * 10_000, "hint": "h\ni"})
    assert "\n" not in str(caught.value) and len(str(caught.value)) <= 500 and caught.value.hint == "h i"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(st.sampled_from([*GOOD, "error"]), JSON)
def test_any_value_anywhere_is_a_reply_or_refused(key: str, value: Any) -> None:
    try:
        parsed = read_reply({**GOOD, key: value}, TEXT.encode(), JOB)
    except (BadReply, DocumentError):
        return
    assert all(parsed.document.text[s.start : s.end].strip() for s in parsed.slices)


def through(write: Callable[[socket.socket], object], body_max: int = 100) -> tuple[dict[str, Any], bytearray]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        write(theirs)
        theirs.shutdown(socket.SHUT_WR)
        return receive(ours, body_max, time.monotonic() + 5)


def test_attachments_follow_the_text() -> None:
    header = {**GOOD, "attachments": [["a.txt", 3], ["b.txt", 0], ["c.txt", 2]]}
    parsed = read_reply(header, TEXT.encode() + b"\xff\x00abc", JOB)
    assert parsed.document.text == TEXT
    assert [(a.name, a.data) for a in parsed.document.attachments] == [
        ("a.txt", b"\xff\x00a"), ("b.txt", b""), ("c.txt", b"bc")
    ]  # fmt: skip


def test_frames_round_trip() -> None:
    assert through(lambda s: send(s, {"a": ["é", "\ud800"]}, b"body")) == ({"a": ["é", "\ud800"]}, bytearray(b"body"))


@pytest.mark.parametrize(
    "sent",
    [
        struct.pack("!QQ", wire.HEADER_MAX + 1, 0), struct.pack("!QQ", 2, 101) + b"{}",
        struct.pack("!QQ", 2**63, 2**63),
        struct.pack("!QQ", 2, 0) + b"{]", struct.pack("!QQ", 2, 0) + b"[]", struct.pack("!QQ", 2, 0) + b"\xff\xff",
        struct.pack("!QQ", 100_000, 0) + b"[" * 100_000, struct.pack("!QQ", 5_000, 0) + b"9" * 5_000,
    ],
    ids=lambda sent: repr(sent[:18]),
)  # fmt: skip
def test_false_frames_are_refused(sent: bytes) -> None:
    with pytest.raises(BadReply):
        through(lambda s: s.sendall(sent))


@pytest.mark.parametrize("sent", [b"", b"short", struct.pack("!QQ", 2, 50) + b"{}" + b"x" * 49])
def test_a_frame_that_stops_is_an_end(sent: bytes) -> None:
    with pytest.raises(EOFError):
        through(lambda s: s.sendall(sent))


def test_a_frame_that_drips_meets_the_deadline() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(struct.pack("!QQ", 2, 0))
        with pytest.raises(TimeoutError):
            receive(ours, 10, time.monotonic() + 0.05)
