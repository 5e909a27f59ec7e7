"""The shipped questions over the shipped briefs, and over the originals they were written from, without any model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import pytest

from rag.config import Config
from rag.gold import GoldSet, Question, Record, Run, Settings, State, load_baseline, load_gold, run
from rag.gold.commands.gate import hold
from rag.gold.types import Source
from rag.library import Library

ROOT = Path(__file__).parents[2]
GOLD = ROOT / "tests" / "data" / "seeds.yaml"
SEEDS = ROOT / "seeds"
CONFIG = Config(llm="quotes", embedder="builtin")


@dataclass(frozen=True)
class Figures:
    """What the questions with one tag (or all) came to. ``wrong`` lists the cited files that are not gold."""

    tag: str
    questions: int
    retrieved: float
    cited: float
    abstention: float
    over_refused: tuple[str, ...]
    answered_though_unanswerable: tuple[str, ...]
    not_cited: tuple[str, ...]
    wrong: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"\n[{self.tag}] {self.questions} questions: a gold file in the 5 best passages {self.retrieved:.3f}, "
            f"a gold file among the first 5 cited {self.cited:.3f}, abstention accuracy {self.abstention:.3f}"
            f"\n  refused though answerable: {', '.join(self.over_refused) or 'none'}"
            f"\n  answered though unanswerable: {', '.join(self.answered_though_unanswerable) or 'none'}"
            f"\n  no gold file cited: {', '.join(self.not_cited) or 'none'}"
            f"\n  wrong citations: {', '.join(self.wrong) or 'none'}"
        )


def figures(finished: Run, tag: str) -> Figures:
    """The figures of the questions that carry ``tag`` ("all": every question)."""
    asked = {q.id: q for q in finished.questions if tag in ("all", *q.tags)}
    rows = [(asked[record.id], record) for record in finished.records if record.id in asked]
    answerable = [(q, r) for q, r in rows if not q.unanswerable]
    answered = [(q, r) for q, r in answerable if not abstained(r)]
    return Figures(
        tag=tag,
        questions=len(rows),
        retrieved=fmean(record.metrics["file_hit@5"] for _, record in answerable),
        cited=fmean(bool(set(cited(r)[:5]) & set(q.files)) for q, r in answered),
        abstention=fmean(record.metrics["abstention_accuracy"] for _, record in rows),
        over_refused=tuple(q.id for q, r in answerable if abstained(r)),
        answered_though_unanswerable=tuple(q.id for q, r in rows if q.unanswerable and not abstained(r)),
        not_cited=tuple(q.id for q, r in answered if not set(cited(r)[:5]) & set(q.files)),
        wrong=tuple(f"{q.id} cites {file}" for q, r in answered for file in cited(r) if file not in q.files),
    )


def abstained(record: Record) -> bool:
    assert record.reply is not None, record.error
    return record.reply.abstained


def cited(record: Record) -> tuple[str, ...]:
    assert record.reply is not None, record.error
    return record.reply.cited_files


def finished_run(folder: Path, gold: GoldSet, library: Path, *, check: bool) -> Run:
    with Library.open(library, config=CONFIG) as opened:
        report = opened.ingest(folder)
        assert not report.failed
        assert list(opened.encode_events())  # so that no answer hangs on the clock
        return run(gold, opened, Settings(check=check))


@pytest.fixture(scope="module")
def gold() -> GoldSet:
    return load_gold(GOLD)


@pytest.fixture(scope="module")
def briefs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("briefs") / "library"


@pytest.fixture(scope="module")
def on_briefs(gold: GoldSet, briefs: Path) -> Iterator[Run]:
    yield finished_run(SEEDS, gold, briefs, check=True)


@pytest.fixture(scope="module")
def on_originals(gold: GoldSet, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    names = originals()
    moved = tuple(replace(question, sources=moved_sources(question, names)) for question in gold.questions)
    folder = tmp_path_factory.mktemp("originals") / "library"
    yield finished_run(shared / "seeds", replace(gold, questions=moved), folder, check=False)


def originals() -> dict[str, str]:
    """The file each brief says it was written from."""
    found: dict[str, str] = {}
    for path in sorted(SEEDS.glob("*.md")):
        match = re.search(r"^Original: `([^`]+)`", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert match, f"{path} does not name its original"
        found[path.name] = match[1]
    return found


def moved_sources(question: Question, names: dict[str, str]) -> tuple[Source, ...]:
    """The same files among the originals; the briefs' own words are not there, so the quotes go."""
    return tuple(replace(source, file=names[source.file], quote="") for source in question.sources)


def test_the_set_is_large_enough_and_its_parts_are_marked(gold: GoldSet) -> None:
    assert len(gold.questions) >= 50
    assert sum(question.unanswerable for question in gold.questions) >= 12
    for question in gold.questions:
        assert ("tune" in question.tags) != ("holdout" in question.tags), question.id


@pytest.mark.parametrize("corpus", ["on_briefs", "on_originals"])
def test_quotes_mode_answers_the_shipped_questions(corpus: str, request: pytest.FixtureRequest) -> None:
    """Guards what is reached, on 118 questions that mostly avoid the documents' words.

    The aims are 0.95 for both file figures and no citation of another file; the quoted sentence stands in another file
    for about one answered question in twelve, where question and answer share no word. Of the originals' questions
    one in eight gets the closest passages instead of an answer, those with the right file among them.
    """
    finished = request.getfixturevalue(corpus)
    whole = figures(finished, "all")
    shown = "".join(f"\n{figures(finished, tag)}" for tag in ("tune", "holdout"))
    message = f"{corpus}{whole}{shown}"
    answered = sum(1 for record in finished.records if not abstained(record))
    assert whole.retrieved >= 0.95, message
    none = [abstained(record) for record in finished.records if record.id.startswith("none-")]
    assert sum(none) >= 0.8 * len(none) > 0, message
    assert whole.abstention >= 0.85, message
    assert whole.cited >= 0.88, message
    assert len(whole.wrong) <= 0.12 * answered, message


def test_nothing_got_worse_than_the_accepted_baseline(on_briefs: Run, gold: GoldSet, briefs: Path) -> None:
    """The gate over the project's own answers: no loss, and no threshold missed."""
    baseline = load_baseline(GOLD)
    assert baseline is not None
    with Library.open(briefs, config=CONFIG, write=False) as library:
        outcome = hold(on_briefs, baseline, gold, library)
    assert outcome.comparison is not None and outcome.comparison.same_corpus, outcome.verdict.headline
    lost = [pair for pair in outcome.comparison.of(State.REGRESSION) if pair.question.gates]
    missed = [miss for miss in outcome.verdict.misses if miss.gates]
    told = "".join(f"\n{p.question.id}: {p.stage}, {', '.join(p.worse)}" for p in lost) + f"\n{missed or ''}"
    assert not lost and not missed, f"""{told}
Look at them: rag gold run tests/data/seeds.yaml --corpus seeds --llm quotes --embedder builtin --html report.html
If the new answers are right: rag gold accept tests/data/seeds.yaml ID... --reason '...'"""
    assert outcome.comparison.noise is not None and outcome.comparison.noise.silent
