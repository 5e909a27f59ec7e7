from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import GoldError
from rag.gold.files.disk import from_plain
from rag.gold.files.gold_set import load_gold, parse_gold
from rag.gold.types import Fact, GoldSet, InvalidGold, Question, Review, Source
from rag.types import Turn, to_plain
from tests.conftest import ROOT
from tests.gold.invalid import INVALID, Invalid

EXAMPLE = r"""
version: 1
defaults: {k: 5, repeats: 1}
questions:
- id: leave-007
  tags: [hr, multi-turn]
  turns: [{user: "How much leave?", bot: "25 days."}]     # fixed history
  question: "And part-time?"
  unanswerable: false
  facts:                                                   # all facts, any wording of each
  - {id: days, any: ["15 days", "re:fifteen\\s+days"]}
  - {id: carry-over, number: 5, tolerance: 0, unit: days}
  must_not_contain: ["25 days"]
  sources:
  - {file: hr/leave.pdf, page: 4, quote: "pro rata entitlement is 15 days"}
  thresholds: {fact_recall: 1.0, "file_hit@5": 1}
  severity: must                                           # must | watch
  review: {status: approved, origin: human}
"""


def test_the_example_of_the_format_reads_as_written() -> None:
    gold = parse_gold(EXAMPLE)
    assert (gold.k, gold.repeats) == (5, 1)
    assert gold.questions == (
        Question(
            id="leave-007",
            question="And part-time?",
            tags=("hr", "multi-turn"),
            turns=(Turn("How much leave?", "25 days."),),
            facts=(
                Fact("days", any=("15 days", r"re:fifteen\s+days")),
                Fact("carry-over", number="5", tolerance="0", unit="days"),
            ),
            must_not_contain=("25 days",),
            sources=(Source("hr/leave.pdf", 4, "pro rata entitlement is 15 days"),),
            thresholds={"fact_recall": 1.0, "file_hit@5": 1.0},
            severity="must",
            review=Review("approved", "human"),
        ),
    )
    assert gold.questions[0].line == 5


def test_scalars_are_read_as_text() -> None:
    gold = parse_gold(
        "version: 1\nquestions:\n- {id: no, question: 1e3, tags: [on, 2019-07-20, 0o17],"
        " facts: [{id: 12, any: [yes, 12, 1.50]}]}\n"
    )
    question = gold.questions[0]
    assert (question.id, question.question, question.tags) == ("no", "1e3", ("on", "2019-07-20", "0o17"))
    assert question.facts == (Fact("12", any=("yes", "12", "1.50")),)


def test_the_corpus_of_invalid_files_is_large_and_its_names_differ() -> None:
    assert len({case.name for case in INVALID}) == len(INVALID) >= 40


@pytest.mark.parametrize("case", INVALID, ids=lambda case: case.name)
def test_an_invalid_file_is_refused_with_file_line_and_remedy(case: Invalid, tmp_path: Path) -> None:
    path = tmp_path / f"{case.name}.yaml"
    path.write_bytes(case.content if isinstance(case.content, bytes) else case.content.encode())
    with pytest.raises(InvalidGold) as caught:
        load_gold(path)
    problem = caught.value.problems[0]
    assert problem.line == case.line, str(caught.value)
    assert case.message in problem.message
    assert case.remedy in problem.remedy
    assert f"{path}:{case.line}: " in str(caught.value)


def test_all_problems_of_independent_questions_are_reported() -> None:
    with pytest.raises(InvalidGold) as caught:
        parse_gold("version: 1\nquestions:\n- id: a\n- id: b\n  question: x\n  seen: 1\n- id: c d\n  question: y\n")
    assert [problem.line for problem in caught.value.problems] == [3, 6, 7]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(GoldError, match=r"nothing\.yaml: No such file"):
        load_gold(tmp_path / "nothing.yaml")


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(InvalidGold, match="nested too deeply"):
        parse_gold("version: 1\nquestions: " + "[" * 5_000)


def test_a_large_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_bytes(b"#" * 20_000_001)
    with pytest.raises(InvalidGold, match="over 20 MB"):
        load_gold(path)


def lines_of(gold: GoldSet) -> list[tuple[int, ...]]:
    return [(question.line, *(source.line for source in question.sources)) for question in gold.questions]


@pytest.mark.parametrize("text", [EXAMPLE, EXAMPLE.replace("\n", "\r\n"), "\ufeff" + EXAMPLE, None])
def test_with_and_without_libyaml_the_same_is_read(text: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    text = text or (ROOT / "tests" / "data" / "seeds.yaml").read_text(encoding="utf-8")
    quick = parse_gold(text)
    monkeypatch.setitem(sys.modules, "yaml.cyaml", None)
    careful = parse_gold(text)
    assert quick == careful and lines_of(quick) == lines_of(careful)


@pytest.mark.parametrize("case", INVALID, ids=lambda case: case.name)
def test_without_libyaml_the_same_is_refused(case: Invalid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml.cyaml", None)
    test_an_invalid_file_is_refused_with_file_line_and_remedy(case, tmp_path)


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_gold(text)
    except InvalidGold as error:
        assert error.problems


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["id", "question", "facts", "sources", "file", "any", "number", "turns", "thresholds", "file_hit@5", "x"]
    ), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.lists(JUNK, max_size=3))
def test_any_structure_is_read_or_refused(questions: list[object]) -> None:
    text = yaml.safe_dump({"version": 1, "questions": questions})
    try:
        parse_gold(text)
    except InvalidGold as error:
        assert all(1 <= problem.line <= text.count("\n") + 1 and problem.remedy for problem in error.problems)


def test_select_by_id_tag_and_review() -> None:
    gold = parse_gold(
        "version: 1\nquestions:\n"
        "- {id: a, question: a, tags: [x], unanswerable: true}\n"
        "- {id: b, question: b, tags: [y], unanswerable: true}\n"
        "- {id: c, question: c, tags: [x], review: {status: draft}}\n"
    )

    def ids(chosen: GoldSet) -> list[str]:
        return [question.id for question in chosen.questions]

    assert ids(gold.select()) == ["a", "b"]
    assert ids(gold.select(drafts=True)) == ["a", "b", "c"]
    assert ids(gold.select(tags=("x",))) == ["a"]
    assert ids(gold.select(ids=("c",))) == ["c"]
    with pytest.raises(InvalidGold, match=r"id 'aa'.*Did you mean 'a'"):
        gold.select(ids=("aa",))
    with pytest.raises(InvalidGold, match="tag 'zzz'"):
        gold.select(tags=("zzz",))


def test_a_question_survives_the_way_through_json() -> None:
    for question in parse_gold(EXAMPLE).questions:
        assert from_plain(Question, to_plain(question)) == question


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"id": 3, "question": "x"}, "Question.id should be a valid string"),
        ({"id": "a"}, "Question.question is missing"),
        ({"id": "a", "question": "b", "sources": {"file": "x"}}, "sources"),
        ({"id": "a", "question": "b", "severity": "high"}, "severity"),
        ([], "Question should be"),
    ],
)
def test_damaged_json_is_refused_with_the_field(value: object, message: str) -> None:
    with pytest.raises(GoldError, match=message):
        from_plain(Question, value)


def test_the_front_door_is_pinned_and_no_module_shadows_a_name() -> None:
    import rag.gold

    assert rag.gold.__all__ == sorted(rag.gold.__all__)
    assert dir(rag.gold) == sorted(rag.gold.__all__)
    folder = Path(rag.gold.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")}
    assert not modules & set(rag.gold.__all__)
    assert all(getattr(rag.gold, name) is not None for name in rag.gold.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        rag.gold.nothing  # noqa: B018
