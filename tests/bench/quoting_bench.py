"""What each constant and each mechanism of quoting is worth: the same questions asked with each left out or changed.

``python -m tests.bench.quoting_bench [part ...]``; parts: ``xquad``, ``clapnq``, ``samples``, ``originals``,
``reports`` (each in halves, tuned on and held out, asked in ``quotes`` mode of a library, found once) and ``cases``,
which runs the tests of whole answers under each change and names those that fail. What moves no held-out set, no case
and nothing that was asked for by name has no place.
"""

from __future__ import annotations

import csv
import fnmatch
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from inspect import signature
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pytest

from rag.answer.quoting import FEATURES, Identified, ranging_of, sides_of
from rag.answer.quoting.quoter import _goes_on
from rag.answer.quoting.ranking import _SOFTNESS
from rag.answer.reading import Reader
from rag.answer.weights import QUOTE
from rag.config import Config
from rag.gold.files.gold_set import load_gold
from rag.gold.metrics.matching import states
from rag.gold.types import Fact
from rag.language import words_of
from rag.library import Library
from rag.models.static import StaticVectors
from rag.retrieve import HybridRetriever
from rag.store.tables.lexical import LexicalTables
from rag.types import Answer, Outcome
from tests.bench import answer_data as data
from tests.bench.answer_bench import _best
from tests.bench.remembering import Remembering, RememberingSpans
from tests.bench.tables import say, table

ROOM = "rag.answer"
TESTS = ("test_cases.py", "test_part_numbers.py", "test_series.py", "test_follow_ups.py", "quoting")
"""Of tests/answer, those whose libraries serve all their questions."""
_KEPT: Sequence[tuple[type, str]] = (
    (HybridRetriever, "found"), (LexicalTables, "document_frequency"), (StaticVectors, "embed"),
    (StaticVectors, "embed_words"), (Reader, "_read"),
)  # fmt: skip
"""What is asked for alike under each change."""
_FIGURE = re.compile(r"\d[\d.,]{2,}\d")
_HALVES = ((data.TUNE, "tuned on"), (data.HOLD, "held out"))
_HEAD = ("inside", "best", "right file", "quotes", "held back")


@dataclass(frozen=True, slots=True)
class Change:
    """Names below ``rag.answer`` set to something else. ``anew``: the sentences are ranked anew by it. Only questions
    that it ``meets`` are asked again."""

    name: str
    patches: tuple[tuple[str, Any], ...]
    anew: bool = False
    meets: Callable[[str], bool] = lambda _: True

    @contextmanager
    def made(self) -> Iterator[None]:
        """Within it the change is made."""
        with ExitStack() as stack:
            for path, value in self.patches:
                stack.enter_context(patch.object(*_found(path), value))
            if self.anew:
                _forget()
            try:
                yield
            finally:
                if self.anew:
                    _forget()


def _found(path: str) -> tuple[Any, str]:
    """What holds the last name of a dotted path below the room."""
    names = path.split(".")
    for cut in range(len(names) - 1, 0, -1):
        try:
            holder: Any = import_module(".".join([ROOM, *names[:cut]]))
        except ModuleNotFoundError:
            continue
        for name in names[cut:-1]:
            holder = getattr(holder, name)
        return holder, names[-1]
    raise ValueError(path)


def _forget() -> None:
    """Nothing that was ranked or read of codes is kept."""
    for room in ("ranking", "identifiers"):
        for held in vars(import_module(f"{ROOM}.quoting.{room}")).values():
            if hasattr(held, "cache_clear"):
                held.cache_clear()


def _no(*_: object, **__: object) -> bool:
    return False


def _nothing(*_: object, **__: object) -> tuple[Any, ...]:
    return ()


_NEVER = property(_no)


def _without() -> Iterator[Change]:
    """Each mechanism left out."""

    def quoted(name: str, path: str, value: Any, **others: Any) -> Change:
        return Change(f"without {name}", ((f"quoting.{path}", value),), **others)

    series: dict[str, Any] = {"meets": lambda question: ranging_of(question) is not None}
    sides: dict[str, Any] = {"meets": lambda question: bool(sides_of(question))}
    for name in FEATURES:
        yield quoted(f"feature {name}", "quoter.QUOTE", {**QUOTE, name: 0.0})
    yield quoted("the encoder's nearness", "quoter.Quoter._nearness", lambda _, ranked, __: 0.0 * ranked.features[:, 0])
    yield quoted("leaving out what says nothing", "quoter.says_nothing", _no)
    yield quoted("leaving out scraps", "quoter._FEWEST_WORDS", 0)
    yield quoted("leaving out questions", "quoter.QUESTION_MARKS", ("\0",))
    yield quoted("headings", "ranking.Candidate.is_heading", _NEVER, anew=True)
    yield quoted("heads of tables", "ranking.Candidate.is_head", _NEVER, anew=True)
    yield quoted("fragments", "ranking.Candidate.is_fragment", _NEVER, anew=True)
    yield quoted("near-duplicates", "quoter._alike", _no)
    yield quoted("doubt which document", "quoter._backing", lambda *_: 1.0)
    yield quoted("backing by much the same", "quoter._MUCH_THE_SAME", 2.0)
    yield quoted("the sentence before", "quoter._goes_on", _no)
    yield quoted("a pronoun's noun", "quoter._goes_on", lambda c: not c.unit.points_back and _goes_on(c))
    yield quoted("what connects", "quoter._goes_on", lambda c: not c.unit.connects and _goes_on(c))
    yield quoted("what refers", "quoter._goes_on", lambda c: not c.unit.refers and _goes_on(c))
    yield quoted("what the one before names", "quoter._NAMED_BEFORE", 9.0)
    yield quoted("a row's head", "quoter._above_row", lambda _: None)
    yield quoted("a head of figures", "quoter._above_figures", lambda _: None)
    yield quoted("misspelt words", "ranking.misspelt", _no, anew=True)
    yield quoted("seats", "ranking.seat_of", _no, anew=True)
    yield quoted("near-synonyms", "ranking._SOFTNESS", replace(_SOFTNESS, most=0.0), anew=True)
    yield quoted("asked codes", "ranking._of_asked_codes", lambda _, candidates: candidates, anew=True)
    yield quoted("rows beside a code's", "ranking.Candidate.siblings", property(_nothing), anew=True)
    yield quoted("asked years", "ranking._of_asked_year", lambda _, candidates: candidates, anew=True)
    yield quoted("the focus", "question.focus_of", lambda _: None, anew=True)
    yield Change("without identifiers", (("engine.identified", lambda question, _: Identified(question)),))
    yield Change("without holders of a code", (("engine.with_holders", lambda _, hits, __: list(hits)),))
    yield quoted("days spelled otherwise", "identifiers._date_in", lambda value, texts: "", anew=True)
    yield quoted("quoted names", "identifiers._QUOTED", re.compile(r"(?!)"))
    yield quoted("bare numbers of codes", "identifiers._numbers_of_codes", _nothing)
    yield quoted("a noun that bears a number", "identifiers._borne", _nothing)
    yield quoted("names spelled otherwise", "identifiers._names_respelled", _nothing)
    yield Change("without sides", (("engine.sides_of", _nothing),), **sides)
    yield quoted("linked names", "sides._LINK", re.compile(r"(?!)"))
    yield quoted("an owner's ending", "sides._OWNER", re.compile(r"(?!)"), **sides)
    yield quoted("the opening verb", "sides._without_opening", lambda _, *name: name)
    yield quoted("series", "series.SeriesReader.read", lambda *_: None, **series)
    yield quoted("what is said outright", "series.SeriesReader._outright", _no, **series)
    yield quoted("rows in a series", "series.is_row", _no, **series)
    yield Change("without whole sentences", (("engine.AnswerEngine._whole", lambda _, hits: list(hits)),))


CONSTANTS: Mapping[str, tuple[float, ...]] = {
    "quoting.quoter._SAME_DOCUMENT": (2.5, 10.0),
    "quoting.quoter._OTHER_DOCUMENT": (0.35, 1.4),
    "quoting.quoter._COVERED": (0.0, 0.35, 1.0),
    "quoting.quoter._SAME_WORDS": (0.4, 1.0),
    "quoting.quoter._MUCH_THE_SAME": (0.17, 0.7),
    "quoting.quoter._DOUBTFUL": (0.0, 0.2, 0.8),
    "quoting.quoter._FEWEST_WORDS": (1, 6),
    "quoting.quoter._NAMED_BEFORE": (0.1, 0.4),
    "quoting.quoter._NEIGHBOUR": (0.0, 0.35, 1.0),
    "quoting.ranking._SEAT": (0.35, 1.0),
    "quoting.ranking._MISSPELT": (0.35, 1.0),
    "quoting.ranking._LEAST_SPELLING": (3, 10),
    "quoting.ranking._NEAR": (2, 8, 99),
    "quoting.ranking._REACH": (20, 80),
    "quoting.ranking.ALIKE": (0.0, 0.3, 1.0),
    "quoting.ranking._FEW_WORDS": (6, 24),
    "quoting.ranking._LETTERS": (1.5, 6),
    "quoting.question._TYPED_FOCUS": (0.18, 0.7, 1.0),
    "quoting.question._FOCUS_WEIGHT": (0.35, 1.0),
    "quoting.series._FEWEST": (2, 6),
    "quoting.series.ALIKE": (0.3, 1.0),
    "quoting.series._TRIED": (1, 4, 16),
    "quoting.series._MOSTLY": (0.4, 1.0),
    "quoting.series._COVERED": (0.3, 1.0),
    "abstain._BEST": (1, 6),
    "abstain._SMALLEST": (5, 20),
    "abstain._PRESENT": (0.25, 1.0),
    "abstain._SHORT": (3, 12),
    "abstain._STRONG": (15.0, 60.0),
    "abstain._LEAST_WINDOW": (0.1, 0.4),
}
"""What each constant is set to beside what it is: about half, about twice, and the ends that change most."""


def _changed() -> Iterator[Change]:
    """Each constant smaller and larger."""
    meets = {"series": lambda question: ranging_of(question) is not None, "sides": lambda _: True}
    for path, values in CONSTANTS.items():
        room, name = path.split(".")[-2:]
        for value in values:
            anew = room in ("ranking", "question", "identifiers")
            asked = meets.get(room, lambda _: True)
            yield Change(f"{room}.{name} = {value:g}", ((path, value),), anew, asked)
    for name, values in (("low", (0.18, 0.6)), ("high", (0.6, 1.0)), ("most", (0.45, 1.0))):
        for value in values:
            made = replace(_SOFTNESS, **{name: value})
            yield Change(f"ranking._SOFTNESS.{name} = {value:g}", (("quoting.ranking._SOFTNESS", made),), anew=True)
    for digits in (2, 6):
        bare = re.compile(rf"(?<![\w.,-])\d{{{digits},}}(?![\w-]|[.,]\d)")
        yield Change(f"identifiers._LEAST_DIGITS = {digits}", (("quoting.identifiers._BARE", bare),), anew=True)
    for limit in (2, 8):
        yield Change(f"quoter.LIMIT = {limit}", (("quoting.quoter.Quoter.answer.__defaults__", (limit,)),))


def changes() -> list[Change]:
    """All of them, those first by which nothing is ranked anew."""
    return sorted([*_without(), *_changed()], key=lambda change: change.anew)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question; ``inside`` tells what share of the right answer a text holds, None for one that has none."""

    text: str
    half: int
    answered: bool
    files: frozenset[str] = frozenset()
    inside: Callable[[str], float] | None = None


Told = tuple[float | None, float | None, float | None, float, float]
"""By ``_HEAD``; None where there is nothing to tell."""


def _told(asked: Asked, answer: Answer) -> Told:
    quoted = "\n".join(citation.quote for citation in answer.citations)
    inside = best = file = None
    if asked.inside is not None:
        inside, best = asked.inside(quoted), asked.inside(_best(answer))
    if asked.files and answer.citations:
        file = fmean(Path(citation.source).name in asked.files for citation in answer.citations)
    return inside, best, file, float(len(answer.citations)), float(answer.outcome is not Outcome.ANSWERED)


def _any_of(strings: Sequence[str]) -> Callable[[str], float]:
    return lambda text: float(any(string in text for string in strings))


def _recalled(answers: Sequence[str]) -> Callable[[str], float]:
    """The share of an answer's content words that a text has; of the answer of which it has most."""
    wanted = [{w.stem for w in words_of(answer) if w.content} for answer in answers]

    def inside(text: str) -> float:
        own = {w.stem for w in words_of(text)}
        return max(len(stems & own) / len(stems) for stems in wanted if stems)

    return inside


def _stated(facts: Sequence[Fact]) -> Callable[[str], float]:
    return lambda text: fmean(states(fact, text) for fact in facts)


def _figures(answer: str) -> Callable[[str], float] | None:
    """The share of an answer's figures that a text has."""
    wanted = set(_FIGURE.findall(answer)) - {str(year) for year in range(2020, 2026)}
    return (lambda text: fmean(figure in text for figure in wanted)) if wanted else None


def _xquad() -> tuple[Any, list[Asked]]:
    documents, questions = data.xquad()
    return documents, [Asked(q.text, q.half, True, q.sources, _any_of(q.strings)) for q in questions[::8]]


def _clapnq() -> tuple[Any, list[Asked]]:
    documents, questions = data.clapnq()
    asked = []
    for number, q in enumerate(questions):
        if q.answerable or number % 4 == 3:
            inside = _recalled(q.strings) if q.answerable else None
            asked.append(Asked(q.text, q.half, q.answerable, q.sources if q.answerable else frozenset(), inside))
    return documents, asked


def _gold(documents: Mapping[str, str], questions: Sequence[data.Asked], every: int = 1) -> tuple[Any, list[Asked]]:
    facts = {q.id: q.facts for q in load_gold(data.REPO / "tests" / "data" / "seeds.yaml").questions}
    return documents, [
        Asked(q.text, q.half, q.answerable, q.sources, _stated(facts[q.id]) if facts[q.id] else None)
        for q in questions[::every]
    ]


def _reports() -> tuple[Any, list[Asked]]:
    folder = data.SHARED / "data" / "sec-10-q"
    names = [path.name for path in (folder / "docs").glob("*.pdf")]
    asked = []
    with (folder / "qna_data.csv").open(encoding="utf-8-sig", newline="") as file:
        for row in list(csv.DictReader(file))[::4]:
            patterns = [f"{pattern.strip()}*" for pattern in row["Source Docs"].split(",")]
            own = frozenset(name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in patterns))
            asked.append(Asked(row["Question"], data.half(row["Source Docs"]), True, own, _figures(row["Answer"])))
    return folder / "docs", asked


SETS: Mapping[str, Callable[[], tuple[Any, list[Asked]]]] = {
    "xquad": _xquad,
    "clapnq": _clapnq,
    "samples": lambda: _gold(*data.briefs()),
    "originals": lambda: _gold(*data.originals(), every=3),
    "reports": _reports,
}


@contextmanager
def _remembered() -> Iterator[Callable[[], None]]:
    """What is found, embedded and read for a question is kept until the given function is called, over all changes."""
    kept: dict[Any, Any] = {}
    encoder, spans = Remembering(), RememberingSpans()

    def keeping(method: Any) -> Any:
        def known(self: Any, *given: Any, **named: Any) -> Any:
            key = (method.__qualname__, id(self), *(tuple(one) if isinstance(one, list) else one for one in given))
            if key not in kept:
                kept[key] = method(self, *given, **named)
            return kept[key]

        return known

    with ExitStack() as stack:
        stack.enter_context(patch("rag.answer.build.shared_encoder", lambda: encoder))
        stack.enter_context(patch("rag.answer.reading.shared_span_model", lambda: spans))
        stack.enter_context(patch("rag.answer.engine.disagreements", _nothing))
        for holder, name in _KEPT:
            stack.enter_context(patch.object(holder, name, keeping(getattr(holder, name))))
        yield kept.clear


def ask_all(name: str) -> None:
    """Print a set's figures, and by how much each change moves them."""
    documents, asked = SETS[name]()
    ways = changes()
    found: dict[str, list[tuple[Told, bool]]] = {change.name: [] for change in ways}
    usual: list[Told] = []
    with _remembered() as forget, _opened(documents) as library:
        for one in asked:
            forget()
            _forget()
            answer = library.ask(one.text)
            usual.append(_told(one, answer))
            for change in ways:
                other = answer
                if change.meets(one.text):
                    with change.made():
                        other = library.ask(one.text)
                found[change.name].append((_told(one, other), other.text != answer.text))
    for half, label in _HALVES:
        for answered in (True, False):
            own = [place for place, one in enumerate(asked) if one.half == half and one.answered is answered]
            if own:
                _compared(f"{name}, {label}, {'' if answered else 'not '}answered ({len(own)})", own, usual, found)


def _compared(
    title: str, own: Sequence[int], usual: Sequence[Told], found: Mapping[str, Sequence[tuple[Told, bool]]]
) -> None:
    there = _means([usual[place] for place in own])
    rows: list[list[object]] = [["as it is", *(f"{value:.3f}" for value in there), ""]]
    for name, told in found.items():
        less = [a - b for a, b in zip(_means([told[place][0] for place in own]), there, strict=True)]
        other = sum(told[place][1] for place in own)
        if other:
            rows.append([name, *(f"{value:+.3f}" if abs(value) > 0.0004 else "." for value in less), other])
    table([title, *_HEAD, "other answers"], rows)
    say(f"no other answer: {', '.join(name for name, told in found.items() if not any(told[p][1] for p in own))}\n")


def _means(told: Sequence[Told]) -> list[float]:
    columns = ([value for value in column if value is not None] for column in zip(*told, strict=True))
    return [fmean(column) if column else 0.0 for column in columns]


@contextmanager
def _opened(documents: Any) -> Iterator[Library]:
    """A library of texts by name, or of a folder's files, of which the encoder has seen all."""
    with TemporaryDirectory() as home:
        folder = documents
        if not isinstance(documents, Path):
            folder = Path(home) / "documents"
            folder.mkdir()
            for name, text in documents.items():
                (folder / name).write_text(text, encoding="utf-8")
        with Library.open(Path(home) / "library", config=Config(llm="quotes", embedder="builtin")) as library:
            library.ingest(folder)
            for _ in library.encode_events():
                pass
            yield library


class _Cases:
    """Has pytest run each test, once its libraries stand, under every change."""

    def __init__(self) -> None:
        self.failed: dict[str, list[str]] = {change.name: [] for change in changes()}
        self.run = 0

    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool:
        """Run one; its own outcome is that of no change."""
        wanted = signature(pyfuncitem.obj).parameters
        given = {name: pyfuncitem.funcargs[name] for name in wanted if name in pyfuncitem.funcargs}
        if len(given) < len(wanted) or "tmp_path" in given or hasattr(pyfuncitem.obj, "hypothesis"):
            return True
        self.run += 1
        _forget()
        pyfuncitem.obj(**given)
        for change in changes():
            with change.made():
                try:
                    pyfuncitem.obj(**given)
                except (AssertionError, ValueError, LookupError, StopIteration):
                    self.failed[change.name].append(pyfuncitem.name)
        return True


def cases() -> None:
    """Which tests of whole answers fail under each change."""
    found, encoder, spans = _Cases(), Remembering(), RememberingSpans()
    folder = data.REPO / "tests" / "answer"
    with (
        patch("rag.answer.build.shared_encoder", lambda: encoder),
        patch("rag.answer.reading.shared_span_model", lambda: spans),
    ):
        pytest.main(
            ["-q", "--assert=plain", "-p", "no:cacheprovider", "--timeout=0", *(str(folder / name) for name in TESTS)],
            [found],
        )
    say(f"{found.run} tests; under each change fail:")
    for name, failed in found.failed.items():
        if failed:
            say(f"{name}: {len(failed)}: {', '.join(failed)}")
    say(f"none: {', '.join(name for name, failed in found.failed.items() if not failed)}")


def main(parts: Sequence[str] = ()) -> None:
    """Run the named parts (default: all)."""
    missing = data.available()
    if missing:
        say(f"skipped: not there: {missing}")
        return
    for part in parts or (*SETS, "cases"):
        if part == "cases":
            cases()
        else:
            ask_all(part)


if __name__ == "__main__":
    main(sys.argv[1:])
