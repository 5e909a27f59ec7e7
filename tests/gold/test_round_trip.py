"""Questions written in any form come back as far as that form can hold them."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import GoldError
from rag.gold.files.exchange import export, import_file
from rag.gold.files.gold_set import append_questions, gold_yaml, load_gold, parse_gold
from rag.gold.metrics.scoring import references_of
from rag.gold.types import Fact, Question, Review, Source
from rag.types import Turn
from tests.conftest import ROOT
from tests.gold.corpus import Texts
from tests.gold.handbook import DOCUMENTS, GOLD

CORPUS = Texts(DOCUMENTS)
SENTENCES = [
    Source(file, quote=sentence)
    for file, text in DOCUMENTS.items()
    for sentence in re.findall(r"[A-Z][^.#\n]{20,}\.(?=\s)", text)
]


TEXT = st.text(min_size=1, max_size=40).filter(lambda text: text.strip() == text and any(c.isalnum() for c in text))
WORD = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,12}", fullmatch=True)
FACTS = st.builds(
    Fact, id=WORD, any=st.lists(TEXT.filter(lambda t: not t.startswith("re:")), min_size=1, max_size=2).map(tuple)
)
NUMBERS = st.builds(Fact, id=WORD, number=st.integers().map(str), unit=st.sampled_from(["", "days", "%"]))
QUESTIONS = st.builds(
    Question,
    id=WORD,
    question=TEXT,
    tags=st.lists(WORD, max_size=2, unique=True).map(tuple),
    turns=st.lists(st.builds(Turn, TEXT, TEXT), max_size=2).map(tuple),
    facts=st.lists(FACTS | NUMBERS, min_size=1, max_size=2, unique_by=lambda fact: fact.id).map(tuple),
    must_not_contain=st.lists(TEXT.filter(lambda t: not t.startswith("re:")), max_size=2).map(tuple),
    sources=st.lists(st.builds(Source, file=WORD, page=st.none() | st.integers(1, 9), quote=TEXT), max_size=2).map(
        tuple
    ),
    aliases=st.lists(TEXT, max_size=2).map(tuple),
    thresholds=st.sampled_from([{}, {"fact_recall": 0.5}, {"violations": 0.0, "total_ms": 1500.0}]),
    severity=st.sampled_from(["must", "watch"]),
    review=st.builds(Review, st.sampled_from(["approved", "draft"]), st.sampled_from(["human", "model", "import"])),
)


@given(st.lists(QUESTIONS, min_size=1, max_size=3, unique_by=lambda question: question.id))
def test_questions_written_as_yaml_are_read_back_the_same(questions: list[Question]) -> None:
    assert parse_gold(gold_yaml(questions)).questions == tuple(questions)


def test_the_shipped_set_survives_being_written_again() -> None:
    shipped = load_gold(ROOT / "tests" / "data" / "seeds.yaml")
    assert parse_gold(gold_yaml(shipped.questions)).questions == shipped.questions


LINE = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp", "Cn"], exclude_characters="|,;\x85"),
    min_size=1, max_size=40,
).map(lambda text: " ".join(text.split())).filter(lambda text: any(c.isalnum() for c in text))  # fmt: skip
PLAIN = LINE.filter(lambda text: not text.startswith(("re:", "'")))


@st.composite
def asked(draw: st.DrawFn) -> Question:
    """A question about the handbook with a reference answer and up to two gold quotes, or an unanswerable one."""
    name = draw(WORD)
    tags = draw(st.lists(st.from_regex(r"[a-z][a-z0-9-]{0,6}[a-z0-9]", fullmatch=True), max_size=2).map(tuple))
    if draw(st.booleans()):
        return Question(name, draw(PLAIN), tags=tags, unanswerable=True)
    aliases = draw(st.lists(PLAIN, min_size=1, max_size=3, unique=True).map(tuple))
    sources = draw(st.lists(st.sampled_from(SENTENCES), max_size=2, unique=True).map(tuple))
    return Question(name, draw(PLAIN), tags=tags, aliases=aliases, sources=sources)


ASKED = st.lists(asked(), min_size=1, max_size=4, unique_by=lambda question: question.id.strip("-._"))


def back(questions: list[Question], kind: str) -> list[Question]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "questions"
        path.write_text(export(questions, kind, CORPUS), encoding="utf-8")
        return import_file(path, kind, CORPUS).questions


@pytest.mark.parametrize("kind", ["llama-index", "ragas"])
@given(questions=ASKED)
def test_data_sets_keep_question_reference_and_quotes(kind: str, questions: list[Question]) -> None:
    for before, after in zip(questions, back(questions, kind), strict=True):
        assert (after.question, after.unanswerable) == (before.question, before.unanswerable)
        assert (after.sources, after.aliases) == (before.sources, before.aliases[:1])


@given(ASKED)
def test_csv_keeps_ids_files_a_single_quote_answers_and_tags(questions: list[Question]) -> None:
    for before, after in zip(questions, back(questions, "csv"), strict=True):
        assert (after.question, after.unanswerable) == (before.question, before.unanswerable)
        assert after.id == before.id.rstrip("-._") and after.tags == before.tags
        assert (after.files, after.aliases) == (before.files, references_of(before))
        if len(before.sources) == 1:
            assert after.sources == before.sources


@given(
    st.lists(
        st.builds(
            Question,
            id=WORD,
            question=PLAIN,
            facts=st.lists(st.lists(PLAIN, min_size=1, max_size=2), min_size=1, max_size=2).map(
                lambda rows: tuple(Fact(f"fact-{n}", any=tuple(row)) for n, row in enumerate(rows, 1))
            ),
            must_not_contain=st.lists(PLAIN | st.just(r"re:\d+ euros"), max_size=2).map(tuple),
        )
        | st.builds(Question, id=WORD, question=PLAIN, unanswerable=st.just(True)),
        min_size=1,
        max_size=3,
    )
)
def test_promptfoo_keeps_facts_and_forbidden_wordings(questions: list[Question]) -> None:
    for before, after in zip(questions, back(questions, "promptfoo"), strict=True):
        assert (after.question, after.unanswerable) == (before.question, before.unanswerable)
        assert (after.facts, after.must_not_contain) == (before.facts, before.must_not_contain)
        assert after.review.status == "approved"


@given(st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=4, unique=True), st.data())
def test_squad_keeps_the_answer_and_the_sentence_it_stands_in(places: list[Source], data: st.DataObject) -> None:
    questions = []
    for number, place in enumerate(places):
        words = place.quote.rstrip(".").split()
        start = data.draw(st.integers(0, len(words) - 1))
        answer = " ".join(words[start : data.draw(st.integers(start + 1, len(words)))])
        questions.append(Question(f"q{number}", f"What of {number}?", aliases=(answer,), sources=(place,)))
    questions.append(Question("none", "What of nothing?", unanswerable=True))
    found = {question.id: question for question in back(questions, "squad")}
    for before in questions:
        after = found[before.id]
        assert (after.question, after.unanswerable) == (before.question, before.unanswerable)
        assert (after.sources, after.aliases) == (before.sources, before.aliases)


def test_questions_are_added_at_the_end_and_the_rest_stays(tmp_path: Path) -> None:
    path = tmp_path / "gold.yaml"
    new = Question("new", "Why?", aliases=("because",), review=Review("draft", "model"))
    path.write_text(f"# mine\n{GOLD}", encoding="utf-8")
    append_questions(path, [new])
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"# mine\n{GOLD}") and load_gold(path).questions[-1] == new
    with pytest.raises(GoldError, match=r"cannot be added.*'new' is taken"):
        append_questions(path, [new])
    assert path.read_text(encoding="utf-8") == text
    other = tmp_path / "other.yaml"
    other.write_text(
        "version: 1\nquestions:\n- {id: a, question: b, unanswerable: true}\ndefaults: {k: 3}\n", encoding="utf-8"
    )
    with pytest.raises(GoldError, match="cannot be added at the end"):
        append_questions(other, [new])
    append_questions(tmp_path / "deep" / "fresh.yaml", [new])
    assert load_gold(tmp_path / "deep" / "fresh.yaml").questions == (new,)
