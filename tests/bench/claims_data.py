"""Sentences with what they are checked against: made ones about XQuAD's paragraphs, the briefs' own, and those of
public sets that people judged.

``made_claims.tsv`` holds pairs of sentences about paragraphs (article.paragraph of XQuAD): one right, in other words;
one like it, but wrong in one respect, which ``kind`` names. Halves go by the paragraph's text.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.answer.verify import is_claim
from rag.language.sentences import sentences
from rag.models.static import static_vectors
from tests.bench import answer_data as data
from tests.bench.made_claims import RIGHT, WRONG

_TABLE = Path(__file__).with_name("made_claims.tsv")
_XQUAD = data.SHARED / "data" / "xquad" / "xquad.en.json"
_SHORTEST = 40


@dataclass(frozen=True, slots=True)
class Claimed:
    """A sentence, the passages it is held against, and whether they say it. ``set_`` names the set it belongs to."""

    set_: str
    sentence: str
    sources: tuple[str, ...]
    right: bool
    half: int
    kind: str = ""


def about_briefs() -> Iterator[Claimed]:
    """The made sentences about the sample corpus, each against its brief's passages."""
    texts, _ = data.briefs()
    index = data.corpus_of(static_vectors(), texts).index
    for claims, right in ((RIGHT, True), (WRONG, False)):
        for source, sentence in claims:
            passages = tuple(p.text for p in index.passages if p.source == source)
            yield Claimed("briefs", sentence, passages, right, data.half(source))


def about_paragraphs() -> Iterator[Claimed]:
    """The made sentences about XQuAD, each against its paragraph; none without the data."""
    for row, _, own in _rows():
        for right in (True, False):
            sentence = row["right" if right else "wrong"]
            yield Claimed("paragraphs", sentence, (own,), right, data.half(own), row["kind"])


def about_others() -> Iterator[Claimed]:
    """The right ones of them against the other paragraphs of their article, which do not say them."""
    for row, paragraphs, own in _rows():
        others = tuple(text for text in paragraphs if text != own)
        yield Claimed("others", row["right"], others, False, data.half(own))


def of_briefs() -> Iterator[Claimed]:
    """The briefs' sentences, each against its original, and against another article of the five."""
    texts, _ = data.briefs()
    originals, _ = data.originals()
    index = data.corpus_of(static_vectors(), originals).index
    passages = {name: tuple(p.text for p in index.passages if p.source == name) for name in originals}
    for file, text in texts.items():
        own = re.findall(r"Original: `(.*?)`", text)[0]
        if own not in passages:
            continue
        others = sorted(name for name in originals if name != own)
        body = text.split("\n## ", 1)[1]
        stated = [" ".join(body[start:end].split()) for start, end in sentences(body)]
        stated = [s for s in stated if len(s) >= _SHORTEST and not s.startswith("#") and is_claim(s)]
        for number, sentence in enumerate(stated):
            yield Claimed("originals", sentence, passages[own], True, data.half(file))
            yield Claimed("originals", sentence, passages[others[number % 4]], False, data.half(file))


def judged_news() -> Iterator[Claimed]:
    """QAGS: sentences that people judged, each against its article."""
    for one in data.qags():
        yield Claimed("qags", one.sentence, (one.article,), one.supported, one.half)


def of_encyclopaedia() -> Iterator[Claimed]:
    """WiCE (development part): an encyclopaedia's claims against the web page they cite; right if wholly supported."""
    for row in _lines("wice-claim-dev.jsonl"):
        yield Claimed("wice", row["claim"], tuple(_pieces(row["evidence"])), row["label"] == "supported", data.HOLD)


def in_pairs() -> Iterator[Claimed]:
    """FEVER-Symmetric (development part): each claim with evidence for it, and with evidence against it."""
    for row in _lines("fever-symmetric-dev.jsonl"):
        if row["gold_label"] in ("SUPPORTS", "REFUTES"):
            yield Claimed("fever", row["claim"], (row["evidence"],), row["gold_label"] == "SUPPORTS", data.HOLD)


def _lines(name: str) -> Iterator[dict[str, Any]]:
    path = data.SHARED / "data" / "verify" / name
    if path.is_file():
        for line in path.read_text("utf-8").splitlines():
            yield json.loads(line)


def _pieces(lines: Sequence[str], longest: int = 1_500) -> Iterator[str]:
    """The lines in passages of at most ``longest`` characters, as a collection would hold them."""
    piece = ""
    for line in lines:
        if piece and len(piece) + len(line) > longest:
            yield piece
            piece = ""
        piece += f"{line}\n"
    yield piece


def _rows() -> Iterator[tuple[dict[str, str], list[str], str]]:
    """The table's rows, each with the paragraphs of its article and its own."""
    if not _XQUAD.is_file():
        return
    articles = json.loads(_XQUAD.read_text("utf-8"))["data"]
    with _TABLE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            article, paragraph = map(int, row["paragraph"].split("."))
            texts = [item["context"] for item in articles[article]["paragraphs"]]
            yield row, texts, texts[paragraph]
