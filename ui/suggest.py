"""Questions worth a click: made from facts of the documents, or by the model, and asked before they are shown.

They are made in the background, a collection at a time, and kept beside the library until its documents change.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.answer.suggest import FactQuestion, fact_questions, own_questions
from rag.errors import RagError
from rag.gold.commands.draft import drafts
from rag.gold.metrics.llm_judge import open_chat
from rag.gold.metrics.matching import LibraryCorpus
from rag.models.choose import OLLAMA
from rag.prompts import load_prompt
from rag.types import Outcome
from ui.chips import Record
from ui.escape import inert
from ui.signal import Signal

if TYPE_CHECKING:
    from rag.library import Library
    from rag.types import Citation, Document

logger = logging.getLogger(__name__)
EXAMPLES = 4
FOLLOW_UPS = 3
_KEPT = 12
_DOCUMENTS = 24
_READ = 30_000
_OF_ONE = 3
_ASKED = 48
QUESTIONS = "questions.json"
_IDLE = 30.0
_LAST_SECONDS = 10.0
_QUIET = 2.0
"""Seconds that it waits before it begins, so that a page that opens comes first."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A question that the library answers, and the document and the words that do."""

    question: str
    source: str
    fact: str = ""


class Suggestions:
    """The questions of the collections of ``library``. Thread-safe; ``changed`` is told when some are ready.

    ``idle`` says whether nobody has asked anything for so many seconds; ``kept`` is the file that they are kept in.
    """

    def __init__(self, library: Library, idle: Callable[[float], bool], kept: Path | None) -> None:
        self._library = library
        self._idle = idle
        self._path = kept
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._known: dict[str, tuple[str, tuple[Suggestion, ...]]] = _read(kept) if kept else {}
        self._wanted: list[str] = []
        self._thread: threading.Thread | None = None
        self.changed = Signal()

    def of(self, collection: str) -> tuple[Suggestion, ...]:
        """Those that are known of a collection, perhaps of its documents as they were."""
        with self._lock:
            return self._known.get(collection, ("", ()))[1]

    def want(self, collection: str) -> None:
        """Make those of a collection in the background, unless they are known."""
        with self._lock:
            if self._stop.is_set() or collection in self._wanted:
                return
            self._wanted.append(collection)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="questions", daemon=True)
                self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether any are being made."""
        with self._lock:
            return bool(self._wanted)

    def close(self) -> None:
        """Stop after the question in hand. May be called twice."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_LAST_SECONDS)

    def _run(self) -> None:
        while not self._stop.wait(_QUIET):
            with self._lock:
                if not self._wanted:
                    self._thread = None
                    return
                collection = self._wanted[0]
            try:
                self.make(collection)
            except RagError as error:
                logger.info("No questions could be made for %s: %s", collection, error)
            finally:
                with self._lock:
                    self._wanted.remove(collection)
                self.changed.notify()

    def make(self, collection: str) -> None:
        """Make those of a collection now, unless they are known: from facts in seconds, then by the model."""
        documents = sorted(self._library.sources(collection), key=lambda document: -document.added_at)
        state = self._state(documents)
        with self._lock:
            if self._known.get(collection, ("",))[0] == state:
                return
        latest = documents[:_DOCUMENTS]
        mixed = chain.from_iterable(zip_longest(*(self._facts(document) for document in latest)))
        facts = self._answered((s for s in mixed if s is not None), collection, _KEPT)
        self._keep(collection, "", facts)
        written = self._answered(self._written(collection, latest), collection, EXAMPLES)
        if not self._stop.is_set():
            self._keep(collection, state, (*written, *facts)[:_KEPT])
            if self._path is not None:
                with self._lock:
                    _write(self._path, self._known)

    def _keep(self, collection: str, state: str, found: Sequence[Suggestion]) -> None:
        with self._lock:
            self._known[collection] = (state, tuple(found))
        self.changed.notify()

    def _state(self, documents: Sequence[Document]) -> str:
        """What the questions depend on."""
        told = [self._library.llm_choice.name, *(f"{document.id} {document.sha256}" for document in documents)]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]

    def _answered(self, candidates: Iterator[Suggestion], collection: str, most: int) -> tuple[Suggestion, ...]:
        """Those that are answered, each from the very words that it was made of."""
        found: dict[str, Suggestion] = {}
        for asked, one in enumerate(candidates):
            if self._stop.is_set() or len(found) == most or asked == _ASKED:
                break
            answer = self._library.quoted(one.question, collection)
            if answer.outcome is Outcome.ANSWERED and any(_from(one, cited) for cited in answer.citations):
                found.setdefault(one.question, one)
        return tuple(found.values())

    def _written(self, collection: str, documents: Sequence[Document]) -> Iterator[Suggestion]:
        """The model's own, once nobody has asked anything for a while: it answers one question at a time."""

        name = self._library.llm_choice.name
        if not documents or not name.startswith(OLLAMA):
            return
        while not self._idle(_IDLE):
            if self._stop.wait(1.0):
                return
        config = self._library.config
        try:
            with open_chat(config, name) as chat:
                corpus = LibraryCorpus(self._library, collection)
                files = [document.source for document in documents]
                prompt = load_prompt("draft", config.prompts)
                made = drafts(corpus, chat, prompt, files=files[:EXAMPLES], count=EXAMPLES, each=1)
        except RagError as error:
            logger.info("The model made no questions: %s", error)
            return
        for question in made.questions:
            source = question.sources[0]
            yield Suggestion(question.question, source.file, source.quote or "")

    def _facts(self, document: Document) -> list[Suggestion]:
        text = self._library.text(document.id)[:_READ]
        found = [*_spread(list(own_questions(text))), *_spread(list(fact_questions(text)))]
        return [Suggestion(f.question, document.source, text[f.start : f.end]) for f in found]


def _spread(found: Sequence[FactQuestion]) -> Sequence[FactQuestion]:
    """A few of those of a document, evenly over it."""
    return found[:: max(1, len(found) // _OF_ONE)][:_OF_ONE]


def _from(one: Suggestion, cited: Citation) -> bool:
    """Whether a citation names what a question was made of."""
    fact, quote = " ".join(one.fact.split()), " ".join(cited.quote.split())
    return cited.source == one.source and (fact in quote or quote in fact)


def follow_ups(record: Record, known: Sequence[Suggestion], limit: int = FOLLOW_UPS) -> list[str]:
    """Up to ``limit`` of the known questions, of the documents that an answer cites, then of others that were found for
    it, but for those that were asked, or that the answer answers already."""
    if record.get("state"):
        return []
    cited = {citation["source"] for citation in record.get("citations", ())}
    near = cited | {hit["passage"]["source"] for hit in record.get("hits", ())}
    asked = {record.get("question", ""), record.get("asked", "")}
    said = [citation.get("quote", "") for citation in record.get("citations", ())]
    fresh = [s for s in known if not (s.fact and any(s.fact in quote or quote in s.fact for quote in said))]
    fitting = [s for s in fresh if s.source in near and s.question not in asked]
    return [s.question for s in sorted(fitting, key=lambda s: s.source not in cited)][:limit]


def suggestions_html(known: Sequence[Suggestion]) -> str:
    """Buttons that ask the first few; nothing where there are none."""
    by_source: dict[str, list[Suggestion]] = {}
    for one in known:
        by_source.setdefault(one.source, []).append(one)
    mixed = [s.question for s in chain.from_iterable(zip_longest(*by_source.values())) if s is not None][:EXAMPLES]
    buttons = "".join(
        f'<button type="button" data-act="ask" data-id="{inert(one)}" dir="auto">{inert(one)}</button>' for one in mixed
    )
    return f'<div class="suggest" role="group" aria-label="Questions to try">{buttons}</div>' if buttons else ""


def _read(path: Path) -> dict[str, tuple[str, tuple[Suggestion, ...]]]:
    """What an earlier program kept; nothing where that is not there or not to be understood."""
    try:
        told: dict[str, Any] = json.loads(path.read_bytes())
        return {
            name: (str(of["state"]), tuple(Suggestion(*map(str, one)) for one in of["questions"]))
            for name, of in told.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write(path: Path, known: dict[str, tuple[str, tuple[Suggestion, ...]]]) -> None:
    told = {
        name: {"state": state, "questions": [[one.question, one.source, one.fact] for one in listed]}
        for name, (state, listed) in known.items()
    }
    fresh = path.with_suffix(".new")
    try:
        fresh.write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
        fresh.chmod(0o600)
        fresh.replace(path)
    except OSError as error:
        logger.info("The questions could not be kept: %s", error)
