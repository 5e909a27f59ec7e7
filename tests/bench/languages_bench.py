"""XQuAD in English, German, Spanish, Chinese and Arabic, quotes mode, each alone and all in one collection: the right
passage first, the answer in the quotes, and what was refused though it is there; without the encoder and with it. And
which language a text is taken for, also with each constant of that smaller and larger.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from statistics import fmean

from rag.language import sentences
from rag.library import Library
from tests.bench.answer_bench import HALVES
from tests.bench.answer_data import half
from tests.bench.tables import data, table

LANGUAGES = ("en", "de", "es", "zh", "ar")
CONSTANTS: tuple[tuple[str, tuple[float, float]], ...] = (
    ("_LEAST", (0.06, 0.24)),
    ("_MARGIN", (1.0, 1.3)),
    ("_NONE", (0.0, 0.06)),
    ("_ENOUGH", (10, 40)),
    ("_RARER", (0.7, 1.0)),
    ("_MOSTLY", (0.2, 0.6)),
)
"""Of ``rag.language.languages``, and what each is set to beside what it is."""
EVERY = 5
"""Of the other languages, and of all in one collection, every so many questions are asked."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked in which language, of which document, and the answer's wordings."""

    text: str
    language: str
    source: str
    strings: tuple[str, ...]
    half: int


def main() -> None:
    """Each language alone, then all in one collection."""
    folder = data("xquad")
    if folder is None:
        return
    texts = {language: load(folder, language) for language in LANGUAGES}
    tell(texts)
    rows: list[list[object]] = []
    for language, (documents, questions) in texts.items():
        rows += measure(f"{language}, alone", documents, questions[:: 2 if language == "en" else EVERY])
    everything = {name: text for documents, _ in texts.values() for name, text in documents.items()}
    for language, (_, questions) in texts.items():
        rows += measure(f"{language}, among all", everything, questions[::EVERY])
    table(["XQuAD", "encoder", "half", "questions", "passage @1", "@5", "in the quotes", "not answered"], rows)


def load(folder: Path, language: str) -> tuple[dict[str, str], list[Question]]:
    """The articles of a language as documents, and their questions; halves as everywhere by the article."""
    documents: dict[str, str] = {}
    questions = []
    for number, article in enumerate(json.loads((folder / f"xquad.{language}.json").read_text("utf-8"))["data"]):
        source = f"{language}-{number:02d}.txt"
        documents[source] = "\n\n".join(paragraph["context"] for paragraph in article["paragraphs"])
        for item in (item for paragraph in article["paragraphs"] for item in paragraph["qas"]):
            strings = tuple(answer["text"] for answer in item["answers"])
            questions.append(Question(item["question"], language, source, strings, half(f"article-{number:02d}.txt")))
    return documents, questions


def tell(texts: Mapping[str, tuple[dict[str, str], list[Question]]]) -> None:
    """Print the share of paragraphs, of their sentences and of questions whose language is told right, and wrong; the
    rest is not told."""
    languages = import_module("rag.language.languages")
    pieces: dict[str, list[tuple[str, str]]] = {"paragraphs": [], "sentences": [], "questions": []}
    for language, (documents, questions) in texts.items():
        paragraphs = [part for text in documents.values() for part in text.split("\n\n")]
        pieces["paragraphs"] += [(language, part) for part in paragraphs]
        pieces["sentences"] += [(language, part[a:b]) for part in paragraphs[::EVERY] for a, b in sentences(part)]
        pieces["questions"] += [(language, question.text) for question in questions[::EVERY]]
    rows: list[list[object]] = []
    for name, value in [("", 0.0), *((name, value) for name, values in CONSTANTS for value in values)]:
        before = getattr(languages, name or "_LEAST")
        setattr(languages, name or "_LEAST", value if name else before)
        row: list[object] = [f"{name} = {value:g}" if name else "as it is"]
        for own in pieces.values():
            languages.language_of.cache_clear()
            found = [(language, languages.language_of(text)) for language, text in own]
            row += [fmean(a == b for a, b in found), fmean(bool(b) and a != b for a, b in found)]
        setattr(languages, name or "_LEAST", before)
        rows.append(row)
    languages.language_of.cache_clear()
    table(["language told", *(f"{kind}, {how}" for kind in pieces for how in ("right", "wrong"))], rows)


def measure(name: str, documents: dict[str, str], questions: Sequence[Question]) -> list[list[object]]:
    """A row for the ranking without the encoder and one with it, for each half."""
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "documents"
        folder.mkdir()
        for source, text in documents.items():
            (folder / source).write_text(text, encoding="utf-8")
        for encoder in ("off", "builtin"):
            with Library.open(Path(home) / "library", llm="quotes", embedder="builtin", encoder=encoder) as library:
                library.ingest(folder)
                for _ in library.encode_events():
                    pass
                answers = [library.ask(q.text) for q in questions]
            for half_, label in HALVES[:2]:
                own = [(q, a) for q, a in zip(questions, answers, strict=True) if q.half == half_]
                held = [[_holds(q, hit.passage.source, hit.passage.text) for hit in a.hits] for q, a in own]
                rows.append([
                    name, encoder, label, len(own), fmean(any(h[:1]) for h in held), fmean(any(h[:5]) for h in held),
                    fmean(any(_holds(q, c.source, c.quote) for c in a.citations) for q, a in own),
                    fmean(a.abstained for _, a in own),
                ])  # fmt: skip
    return rows


def _holds(question: Question, source: str, text: str) -> bool:
    return source == question.source and any(string in text for string in question.strings)
