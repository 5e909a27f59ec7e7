"""Passages are true slices that cover everything, cross no page or heading, and know where they are."""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.config import Limits
from rag.documents import Slice
from rag.documents.formats import MARKDOWN, PLAIN
from rag.documents.readers import markdown
from rag.documents.split import place, split
from rag.types import Heading, ParsedDocument, Place

WORDS = st.sampled_from(
    ["word", "Sentence ends. ", "\n", "\n\n", " ", "\t", "\u00a0", "é", "e\u0301", "😀", "👩\u200d👩\u200d👧", "שלום ",
     "\u202e", "日本語。", "नमस्ते", "# ", "- item\n", "```\n", "| a | b |\n", "\u2028", "\u200b", "x" * 40]
)  # fmt: skip
TEXTS = st.lists(WORDS, min_size=1, max_size=150).map("".join)


def document(
    text: str, media_type: str = PLAIN, headings: tuple[int, ...] = (), pages: tuple[int, ...] = ()
) -> ParsedDocument:
    bounds = sorted({0, *(p for p in pages if p <= len(text)), len(text)})
    return ParsedDocument(
        text,
        "title",
        media_type,
        tuple(Heading(1 + start % 3, f"h{start}", start) for start in sorted({h for h in headings if h < len(text)})),
        tuple(Place(number, a, b) for number, (a, b) in enumerate(pairwise(bounds), start=1)) if pages else (),
    )


@given(
    TEXTS,
    st.sampled_from([PLAIN, MARKDOWN]),
    st.sets(st.integers(0, 800)),
    st.sets(st.integers(1, 800)),
    st.integers(30, 200),
)
def test_slices_are_true_cover_all_and_stay_inside(
    text: str, media_type: str, headings: set[int], pages: set[int], characters: int
) -> None:
    parsed = document(text, media_type, tuple(headings), tuple(pages))
    spans = split(parsed, characters=characters, overlap=characters // 10)
    covered: set[int] = set()
    going_on = re.compile(r"(?<=[^\n]\n)")
    starts = sorted(page.start for page in parsed.pages if not going_on.match(parsed.text, page.start))
    for start, end in spans:
        assert 0 <= start < end <= len(text)
        assert text[start:end] == text[start:end].strip()
        assert end - start <= characters + characters // 2
        assert bisect_right(starts, start) == bisect_right(starts, end - 1), "one page only"
        covered.update(range(start, end))
    assert all(index in covered or character.isspace() for index, character in enumerate(text))
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(spans))


@given(TEXTS, st.sets(st.integers(0, 800), max_size=8), st.sets(st.integers(1, 800), max_size=5))
def test_page_and_heading_are_those_of_the_first_character(text: str, headings: set[int], pages: set[int]) -> None:
    parsed = document(text, PLAIN, tuple(headings), tuple(pages))
    for piece in place(parsed, split(parsed, characters=60, overlap=6)):
        here = [page.number for page in parsed.pages if page.start <= piece.start < page.end]
        assert here == ([] if piece.page is None else [piece.page])
        before = [heading for heading in parsed.headings if heading.start <= piece.start]
        assert (piece.heading[-1] if piece.heading else None) == (before[-1].title if before else None)


def test_offsets_count_characters_not_bytes() -> None:
    text = "héllo 😀 wörld, größer. " * 100
    for start, end in split(document(text), characters=120, overlap=20):
        assert text[start:end] and end <= len(text)
    assert split(document(text), characters=120, overlap=20)[-1][1] == len(text.rstrip())


def test_neighbours_overlap_only_within_a_section() -> None:
    text = " ".join(f"Sentence number {n} is here." for n in range(60))
    spans = split(document(text), characters=300, overlap=60)
    assert all(0 < a[1] - b[0] <= 60 for a, b in pairwise(spans))
    assert all(a[1] <= b[0] for a, b in pairwise(split(document(text), characters=300, overlap=0)))


def passages(source: str, characters: int = 200) -> list[tuple[str, tuple[str, ...]]]:
    parsed = markdown.parse(source.encode(), "a.md", Limits())
    slices = place(parsed, split(parsed, characters=characters, overlap=0))
    return [(parsed.text[piece.start : piece.end], piece.heading) for piece in slices]


def test_a_heading_goes_with_what_it_heads() -> None:
    long = " ".join(f"Word{n} follows here." for n in range(30))
    found = passages(f"# A\n\n## B\n\n{long}\n\n## C\n\nShort.\n\n## Empty\n")
    assert found[0][0].startswith("# A\n\n## B\n\nWord0 follows") and found[0][1] == ("A",)
    assert all(path == ("A", "B") for _, path in found[1:-2])
    assert found[-2:] == [("## C\n\nShort.", ("A", "C")), ("## Empty", ("A", "Empty"))]


def test_a_setext_heading_goes_with_what_it_heads() -> None:
    long = " ".join(f"Word{n} follows here." for n in range(30))
    assert passages(f"Title\n=====\n\n{long}")[0][0].startswith("Title\n=====\n\nWord0")


def test_many_headings_with_nothing_below_do_not_pile_up() -> None:
    found = passages("".join(f"## Heading {n}\n\n" for n in range(200)))
    assert max(len(text) for text, _ in found) <= 200 and len(found) > 10


def test_a_passage_crosses_pages_only_where_a_sentence_goes_on() -> None:
    text = "The page ends in\nthe next one.\n\nThird."
    parsed = ParsedDocument(text, "t", "application/pdf", (), (Place(1, 0, 16), Place(2, 17, 30), Place(3, 32, 38)))
    first, second, third = parsed.places
    assert place(parsed, split(parsed, characters=1_000, overlap=100)) == (
        Slice(0, 30, 1, (), (first, second)), Slice(32, 38, 3, (), (third,)),
    )  # fmt: skip


def test_a_passage_never_crosses_pages_even_when_both_are_short() -> None:
    text = "First page.\n\nSecond page.\n\nThird."
    parsed = ParsedDocument(
        text, "t", "application/pdf", (), (Place(1, 0, 11), Place(2, 13, 25), Place(3, 25, 25), Place(4, 27, 33))
    )
    slices = place(parsed, split(parsed, characters=1_000, overlap=100))
    first, second, _, fourth = parsed.places
    assert slices == (
        Slice(0, 11, 1, (), (first,)), Slice(13, 25, 2, (), (second,)), Slice(27, 33, 4, (), (fourth,)),
    )  # fmt: skip


@pytest.mark.parametrize("media_type", [PLAIN, MARKDOWN])
@pytest.mark.parametrize(
    "text",
    [
        "x" * 100_000,
        "e" + "\u0301" * 50_000,
        "你好世界" * 20_000,
        "a" + "\n" * 300_000 + "b",
        "- " * 50_000,
        "👩\u200d" * 30_000,
    ],
    ids=["one word", "combining", "Chinese", "newlines", "dashes", "joined"],
)
def test_long_runs_are_cut_and_covered(text: str, media_type: str) -> None:
    spans = split(document(text, media_type), characters=1_000, overlap=100)
    assert all(end - start <= 1_000 for start, end in spans)
    assert spans[0][0] == 0 and spans[-1][1] == len(text.rstrip())
    assert all(not text[a[1] : b[0]].strip() for a, b in pairwise(spans))
