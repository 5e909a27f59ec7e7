"""The questions and judged sentences that the answer benchmarks and the fitting use, each set in two halves.

A half is chosen by the hash of an article's or document's name or text, never by the question, so that what was
fitted on one half meets documents it has not seen in the other. The data lie outside the project.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from rag.answer.writing import condense_by_rule
from rag.language import words_of
from rag.language.words import words_for_country
from rag.models.encoder import Encoder
from rag.models.static import StaticVectors
from rag.text import find_folded
from rag.types import Hit, Turn
from tests.bench.memory_index import MemoryIndex

REPO = Path(__file__).parents[2]
SHARED = REPO.parent / "shared"
TUNE, HOLD = 0, 1
_NAME = re.compile(r"(?<=[a-z,] )((?:[A-Z][\w'-]+)(?: (?:of |the )?[A-Z][\w'-]+)*)")
# Plausible questions that documents about a name hardly ever answer.
_HARDLY_ANSWERED = (
    "How old is {}?", "What salary does {} get?", "When did {} marry?", "How many children does {} have?",
    "Which university did {} graduate from?", "What is the annual budget of {}?", "Who succeeded {} in office?",
    "When did {} retire?", "What is the phone number of {}?", "How much money did {} borrow from the bank?",
    "Which hotel did {} book?", "How many employees does {} have today?", "What did the prime minister say about {}?",
    "At which address was {} found?", "Which company won the contract for {}?", "How much does a ticket to {} cost?",
    "Who painted the portrait of {}?", "What is the interest rate of the loan to {}?", "What car does {} drive?",
    "Which newspaper interviewed {} last year?", "How many votes did {} get?", "Why did {} cancel the meeting?",
    "On what date was {} insured?", "Who is the finance minister of {}?", "Where is the spokesman of {} buried?",
    "How many passengers does {} carry each day?",
)  # fmt: skip


def half(name: str) -> int:
    """TUNE or HOLD, by the hash of a document's name or text."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 2


@dataclass(frozen=True, slots=True)
class Asked:
    """A question asked of an index: its hits, its words' document frequencies, and what is right.

    ``spans`` are (source, start, end) of the gold text; ``strings`` the answer's exact wordings.
    """

    id: str
    text: str
    half: int
    hits: tuple[Hit, ...]
    frequency: dict[str, int]
    count: int
    answerable: bool
    sources: frozenset[str] = frozenset()
    strings: tuple[str, ...] = ()
    spans: tuple[tuple[str, int, int], ...] = ()

    def document_frequency(self, word: str) -> int:
        """In how many passages the word occurs."""
        return self.frequency.get(word, 0)


@dataclass(frozen=True, slots=True)
class Judged:
    """A sentence that people judged to be supported by the article or not."""

    article: str
    sentence: str
    supported: bool
    half: int


@dataclass(slots=True)
class Corpus:
    """An index with the words of its passages, to ask it questions as if some passages were absent."""

    index: MemoryIndex
    stems: list[frozenset[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stems = [frozenset(word.stem for word in words_of(p.text)) for p in self.index.passages]

    def ask(self, asked: Asked, without: frozenset[int] = frozenset()) -> Asked:
        """``asked`` with hits and frequencies, the passages ``without`` not existing."""
        frequency = {}
        for word in words_of(asked.text):
            hidden = sum(word.stem in self.stems[i] for i in without)
            for shown in words_for_country(word.stem) or (asked.text[word.start : word.end],):
                frequency[shown] = max(0, self.index.document_frequency(shown) - hidden)
        hits = tuple(self.index.hits(asked.text, 6, without))
        return replace(asked, hits=hits, frequency=frequency, count=len(self.index.passages))


def available() -> str:
    """Empty if the data are there, else what is missing."""
    wanted = [SHARED / "data" / "xquad", SHARED / "data" / "qags", SHARED / "data" / "sec-10-q", SHARED / "seeds"]
    return ", ".join(str(path) for path in wanted if not path.is_dir())


def xquad() -> tuple[dict[str, str], list[Asked]]:
    """48 documents (the paragraphs of an article joined) and 1,190 questions, without hits."""
    data = json.loads((SHARED / "data" / "xquad" / "xquad.en.json").read_text("utf-8"))["data"]
    documents: dict[str, str] = {}
    questions: list[Asked] = []
    for number, article in enumerate(data):
        name, text = f"article-{number:02d}.txt", ""
        for paragraph in article["paragraphs"]:
            for item in paragraph["qas"]:
                strings = tuple(answer["text"] for answer in item["answers"])
                start = len(text) + int(item["answers"][0]["answer_start"])
                questions.append(
                    Asked(
                        item["id"], item["question"], half(name), (), {}, 0, True, frozenset([name]), strings,
                        ((name, start, start + len(strings[0])),),
                    )
                )  # fmt: skip
            text += paragraph["context"] + "\n\n"
        documents[name] = text
    return documents, questions


def qags() -> list[Judged]:
    """714 sentences about news articles; supported when most of three judges say so."""
    found = []
    for line in (SHARED / "data" / "qags" / "mturk_cnndm.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        for item in row["summary_sentences"]:
            votes = [response["response"] == "yes" for response in item["responses"]]
            found.append(Judged(row["article"], item["sentence"], 2 * sum(votes) > len(votes), half(row["article"])))
    return found


def reports() -> dict[str, str]:
    """The texts of the quarterly reports, by file name."""
    import pypdfium2 as pdfium

    found = {}
    for path in sorted((SHARED / "data" / "sec-10-q" / "docs").glob("*.pdf")):
        document = pdfium.PdfDocument(path)  # type: ignore[no-untyped-call]
        pages = [document[i].get_textpage().get_text_range().replace("\r\n", "\n") for i in range(len(document))]
        document.close()  # type: ignore[no-untyped-call]
        found[path.name] = "\n\n".join(pages)
    return found


def report_questions() -> list[Asked]:
    """The questions asked of the quarterly reports; halved by the reports they are about."""
    text = (SHARED / "data" / "sec-10-q" / "qna_data.csv").read_text("utf-8-sig")
    rows = csv.DictReader(text.splitlines(keepends=True))
    return [Asked(f"sec-{i}", row["Question"], half(row["Source Docs"]), (), {}, 0, True) for i, row in enumerate(rows)]


def briefs() -> tuple[dict[str, str], list[Asked]]:
    """The sample corpus and its gold questions, follow-ups condensed; halves as the gold set tags them."""
    documents = {path.name: path.read_text("utf-8") for path in sorted((REPO / "seeds").glob("*.md"))}
    gold = yaml.safe_load((REPO / "tests" / "data" / "seeds.yaml").read_text("utf-8"))["questions"]
    return documents, [_gold(item, documents) for item in gold]


def originals() -> tuple[dict[str, str], list[Asked]]:
    """The originals of the sample corpus, with the same questions."""
    texts, questions = briefs()
    name = {file: re.findall(r"Original: `(.*?)`", text)[0] for file, text in texts.items()}
    documents = {path.name: path.read_text("utf-8") for path in sorted((SHARED / "seeds").glob("*.txt"))}
    return documents, [replace(q, sources=frozenset(name[s] for s in q.sources), spans=()) for q in questions]


def _gold(item: dict[str, object], documents: dict[str, str]) -> Asked:
    turns = [Turn(t["user"], t["bot"]) for t in item.get("turns", [])]  # type: ignore[attr-defined]
    text = str(item["question"])
    condensed = condense_by_rule(text, turns)
    spans = []
    sources: list[dict[str, str]] = item.get("sources", [])  # type: ignore[assignment]
    for source in sources:
        span = find_folded(source["quote"], documents[source["file"]])
        if span:
            spans.append((source["file"], *span))
    return Asked(
        str(item["id"]), condensed.question if condensed else text, HOLD if "holdout" in item["tags"] else TUNE,  # type: ignore[operator]
        (), {}, 0, not item["unanswerable"], frozenset(s["file"] for s in sources), (), tuple(spans),
    )  # fmt: skip


def unanswerable(corpus: Corpus, questions: list[Asked]) -> Iterator[tuple[str, Asked]]:
    """Questions that XQuAD's documents do not answer, with the name of the kind.

    ``paragraph``: the answer's paragraph is taken out; ``article``: the whole article; ``swap``: a name is exchanged
    for one of another article; ``made``: a question that hardly any document answers.
    """
    passages = corpus.index.passages
    asked_of: set[tuple[str, str]] = set()
    for number, question in enumerate(questions):
        ((source, start, end),) = question.spans
        text = corpus.index.documents[source]
        first, last = text.rfind("\n\n", 0, start), text.find("\n\n", end)
        article = frozenset(p.id for p in passages if p.source == source)
        paragraph = frozenset(i for i in article if passages[i].start < last and passages[i].end > first)
        no = none(question)
        yield "paragraph", corpus.ask(no, paragraph)
        yield "article", corpus.ask(no, article)
        if swapped := _swapped(number, questions, text):
            yield "swap", corpus.ask(swapped)
        own = max(_NAME.findall(question.text), key=len, default="")
        if own and (own, source) not in asked_of:
            asked_of.add((own, source))
            template = _HARDLY_ANSWERED[len(asked_of) % len(_HARDLY_ANSWERED)]
            yield "made", corpus.ask(replace(no, text=template.format(own)))


def _swapped(number: int, questions: list[Asked], text: str) -> Asked | None:
    """Question ``number`` with its longest name exchanged for one of another article, which ``text`` does not hold."""
    question = questions[number]
    own = max(_NAME.findall(question.text), key=len, default="")
    names = [(name, q) for q in questions for name in _NAME.findall(q.text)]
    for step in range(1, 40) if own else ():
        name, other = names[(number * 7919 + step * 104_729) % len(names)]
        if other.half == question.half and not other.sources & question.sources and name.lower() not in text.lower():
            return replace(none(question), text=question.text.replace(own, name))
    return None


def none(asked: Asked) -> Asked:
    """The question as one that is not answered."""
    return replace(asked, answerable=False, sources=frozenset(), strings=(), spans=())


def alone(
    vectors: StaticVectors, documents: dict[str, str], questions: list[Asked], encoder: Encoder | None = None
) -> Iterator[Asked]:
    """The questions asked of a collection that holds their document only, and then of the next one's."""
    names = sorted({name for question in questions for name in question.sources})
    for number, name in enumerate(names):
        corpus = corpus_of(vectors, {name: documents[name]}, encoder)
        other = names[(number + 1) % len(names)]
        for question in questions:
            if name in question.sources:
                yield corpus.ask(question)
            elif other in question.sources:
                yield corpus.ask(none(question))


def pages(
    vectors: StaticVectors, documents: dict[str, str], questions: list[Asked], encoder: Encoder | None = None
) -> Iterator[tuple[str, Asked]]:
    """Questions asked of a collection that holds one paragraph of XQuAD, with the name of the kind: ``page``, its own;
    ``page-other``, one about another paragraph of its article; ``page-swap``, its own, a name exchanged."""
    for number, question in enumerate(questions):
        ((source, start, end),) = question.spans
        text = documents[source]
        first, last = text.rfind("\n\n", 0, start) + 2 if "\n\n" in text[:start] else 0, text.find("\n\n", end)
        page = corpus_of(vectors, {source: text[first:last]}, encoder)
        yield "page", page.ask(replace(question, spans=((source, start - first, end - first),)))
        others = [q for q in questions if source in q.sources and not first <= q.spans[0][1] < last]
        if others:
            yield "page-other", page.ask(none(others[number * 7919 % len(others)]))
        if swapped := _swapped(number, questions, text):
            yield "page-swap", page.ask(swapped)


def corpus_of(vectors: StaticVectors, documents: dict[str, str], encoder: Encoder | None = None) -> Corpus:
    """An index over the documents; ``encoder`` ranks what it finds."""
    return Corpus(MemoryIndex(vectors, documents, encoder))


def clapnq() -> tuple[dict[str, str], list[Asked]]:
    """300 articles, and a real search question about each, of which every second is not answered by its article."""
    documents: dict[str, str] = {}
    questions: list[Asked] = []
    for line in (SHARED / "data" / "clapnq" / "questions.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        name = f"{row['id']}.txt"
        documents[name] = f"{row['title']}\n\n{row['text']}"
        answers = tuple(row["answers"]) if row["answerable"] else ()
        questions.append(
            Asked(
                row["id"],
                row["question"],
                half(row["title"]),
                (),
                {},
                0,
                row["answerable"],
                frozenset([name]),
                answers,
            )
        )
    return documents, questions
