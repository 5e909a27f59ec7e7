"""A small corpus with its gold set, and libraries over it: the real one, and ones with a fault in one stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rag.config import Config
from rag.errors import ServerNotRunning
from rag.gold.files.gold_set import load_gold
from rag.gold.types import GoldSet, Run
from rag.library import Library
from rag.models.embed import BuiltinEmbedding
from rag.types import Answer, Document, Heading, Hit, Place, Turn

DOCUMENTS = {
    "leave.md": "# Annual leave\n\nFull-time staff get 25 days of annual leave. Unused leave expires on 31 March.\n\n"
    "Part-time staff get annual leave in proportion to their hours.\n",
    "travel.md": "# Business travel\n\nTrain tickets are booked by the travel desk in Lisbon. Flights under four hours "
    "are booked in economy class.\n\nThe daily meal allowance abroad is 48 euros.\n",
    "laptops.md": "# Laptops\n\nA laptop is replaced after four years. Broken laptops are repaired by the workshop in "
    "building seven.\n\nEvery disk is encrypted with the key of the security team.\n",
    "parking.md": "# Parking\n\nThe garage has 310 parking spaces. Bicycles stand in the north courtyard.\n\n"
    "Visitors park on level two and register with Beatriz Almeida.\n",
    "canteen.md": "# Canteen\n\nThe canteen serves lunch from 11:30 to 14:00. A vegetarian dish costs 5.40 euros.\n\n"
    "The chef of the canteen is Tomas Horak.\n",
    "security.md": "# Security\n\nVisitor badges are handed out at the main gate. A lost badge costs 15 euros.\n\n"
    "The alarm is tested on the first Monday of each month.\n",
}
GOLD = """version: 1
defaults: {k: 2, repeats: 1}
questions:
- id: leave
  tags: [hr]
  question: How many days of annual leave do full-time staff get?
  facts: [{id: days, number: 25, unit: days}]
  sources: [{file: leave.md, quote: Full-time staff get 25 days of annual leave.}]
- id: tickets
  tags: [travel]
  question: Where is the travel desk that books train tickets?
  facts: [{id: place, any: [Lisbon]}]
  sources: [{file: travel.md, quote: Train tickets are booked by the travel desk in Lisbon.}]
- id: meals
  tags: [travel]
  question: How high is the daily meal allowance abroad?
  facts: [{id: sum, number: 48, unit: euros}]
  sources: [{file: travel.md, quote: The daily meal allowance abroad is 48 euros.}]
- id: laptop
  tags: [it]
  question: After how many years is a laptop replaced?
  facts: [{id: years, number: 4, unit: years}]
  sources: [{file: laptops.md, quote: A laptop is replaced after four years.}]
- id: garage
  tags: [site]
  question: How many parking spaces does the garage have?
  facts: [{id: spaces, number: 310}]
  sources: [{file: parking.md, quote: The garage has 310 parking spaces.}]
- id: chef
  tags: [site]
  question: Who is the chef of the canteen?
  facts: [{id: name, any: [Tomas Horak]}]
  must_not_contain: [Beatriz Almeida]
  sources: [{file: canteen.md, quote: The chef of the canteen is Tomas Horak.}]
- id: badge
  tags: [site]
  question: What does a lost badge cost?
  facts: [{id: cost, number: 15, unit: euros}]
  sources: [{file: security.md, quote: A lost badge costs 15 euros.}]
- id: alarm
  tags: [site]
  question: When is the alarm tested?
  facts: [{id: day, any: [first Monday]}]
  sources: [{file: security.md, quote: The alarm is tested on the first Monday of each month.}]
- id: volcano
  tags: [none]
  question: Which volcano erupted in Iceland last winter?
  unanswerable: true
- id: symphony
  tags: [none]
  question: Who composed the Jupiter symphony?
  unanswerable: true
"""


def write_corpus(folder: Path) -> Path:
    """The documents as files."""
    corpus = folder / "corpus"
    corpus.mkdir()
    for name, text in DOCUMENTS.items():
        (corpus / name).write_text(text, encoding="utf-8")
    return corpus


def write_gold(folder: Path) -> Path:
    """The gold set as a file."""
    path = folder / "gold.yaml"
    path.write_text(GOLD, encoding="utf-8")
    return path


def config(**settings: Any) -> Config:
    """Quotes from the documents, with the built-in embedder."""
    return Config(llm="quotes", embedder="builtin").with_(**settings)


@contextmanager
def library(folder: Path, **settings: Any) -> Iterator[Library]:
    """A library over the documents, kept in ``folder``."""
    embedder = settings.pop("embed_model", None)
    with Library.open(folder / "library", config=config(**settings), embed_model=embedder) as opened:
        opened.ingest(folder / "corpus" if (folder / "corpus").is_dir() else write_corpus(folder))
        # What the encoder has not seen it looks at while a question waits, as far as the clock lets it.
        assert all(event.done for event in opened.encode_events())
        yield opened


def gold_set(folder: Path) -> GoldSet:
    """The gold set, read from its file."""
    path = folder / "gold.yaml"
    return load_gold(path if path.exists() else write_gold(folder)).select()


class DeafEmbedding(BuiltinEmbedding):
    """The built-in embedder, but every question is embedded as another one: the dense side finds nothing."""

    def get_query_embedding(self, query: str) -> list[float]:
        return super().get_query_embedding("umbrella thunder zebra")


@dataclass(frozen=True)
class Tampered:
    """A library whose answers are changed on the way out, as a bug behind the engine would."""

    library: Library

    def ask(self, question: str, *, history: Sequence[Turn] = (), collection: str | None = None) -> Answer:
        return self.tamper(self.library.ask(question, history=history, collection=collection))

    def tamper(self, answer: Answer) -> Answer:
        return answer

    def search(self, question: str, k: int | None = None, collection: str | None = None) -> tuple[Hit, ...]:
        return self.library.search(question, k, collection)

    def sources(self, collection: str | None = None) -> tuple[Document, ...]:
        return self.library.sources(collection)

    def text(self, document_id: int) -> str:
        return self.library.text(document_id)

    def layout(self, document_id: int) -> tuple[tuple[Heading, ...], tuple[Place, ...]]:
        return self.library.layout(document_id)

    def fingerprint(self, collection: str | None = None) -> Mapping[str, Any]:
        return self.library.fingerprint(collection)


class Swapped(Tampered):
    """Cites, for every sentence, another passage than the one it came from."""

    def tamper(self, answer: Answer) -> Answer:
        others = {hit.passage.source: hit.passage for hit in reversed(answer.hits)}
        moved = []
        for citation in answer.citations:
            other = next((p for source, p in sorted(others.items()) if source != citation.source), None)
            if other is None:
                moved.append(citation)
                continue
            moved.append(
                replace(
                    citation,
                    source=other.source,
                    document_id=other.document_id,
                    passage_id=other.id,
                    title=other.title,
                    start=other.start,
                    end=other.end,
                    quote=other.text,
                )
            )
        return replace(answer, citations=tuple(moved))


class Unplugged(Tampered):
    """A model that has gone away."""

    def ask(self, question: str, *, history: Sequence[Turn] = (), collection: str | None = None) -> Answer:
        raise ServerNotRunning("Ollama is not running at http://127.0.0.1:9.")


@dataclass(frozen=True)
class Interrupted(Tampered):
    """Ctrl-C comes with the question after ``after`` answers."""

    after: int
    asked: list[str]

    def ask(self, question: str, *, history: Sequence[Turn] = (), collection: str | None = None) -> Answer:
        if len(self.asked) == self.after:
            raise KeyboardInterrupt
        self.asked.append(question)
        return super().ask(question, history=history, collection=collection)


def plain(run: Run) -> list[object]:
    """Records without their times, which differ from run to run."""
    return [
        (r.id, r.repeat, r.ranking, r.notes, {k: v for k, v in r.metrics.items() if not k.endswith("_ms")},
         r.reply and replace(r.reply, timings={}))
        for r in run.records
    ]  # fmt: skip
