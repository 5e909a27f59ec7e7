"""A fault seeded in each stage is found by the gate, and its questions are put in that stage's group."""

from __future__ import annotations

from pathlib import Path

from rag.gold import Exit, GoldSet, Run, compare, run, verdict
from rag.gold.metrics.comparison import Comparison, State
from rag.gold.metrics.definitions import Stage
from rag.gold.report.content import build_report
from rag.library import Library
from tests.fake_ollama import FakeOllama
from tests.gold import handbook

ANSWERABLE = {"leave", "tickets", "meals", "laptop", "garage", "chef", "badge", "alarm"}


def against(baseline: Run, broken: Run) -> tuple[Comparison, dict[Stage, set[str]]]:
    comparison = compare(baseline, broken)
    report = build_report(broken, comparison, verdict(broken, comparison))
    return comparison, {stage: {case.question.id for case in report.at(stage)} for stage in Stage}


def changed(comparison: Comparison) -> set[str]:
    """The entries of the fingerprint that differ; a commit made while the tests run is not their business."""
    return {change.key for change in comparison.changes} - {"commit"}


def test_the_healthy_library_passes_every_question(healthy: Run, library: Library, gold: GoldSet) -> None:
    assert all(record.error == "" and not record.notes for record in healthy.records)
    comparison, groups = against(healthy, run(gold, library))
    assert verdict(comparison.b, comparison).code is Exit.CLEAN
    assert not any(groups.values())
    assert {pair.state for pair in comparison.pairs} == {State.STABLE}
    assert changed(comparison) == set()


def test_a_broken_retriever_loses_sources(healthy: Run, gold: GoldSet, tmp_path: Path) -> None:
    deaf = handbook.DeafEmbedding()
    with handbook.library(tmp_path, embedder="auto", embed_model=deaf, fusion_weight=1.0, encoder="off") as broken:
        comparison, groups = against(healthy, run(gold, broken))
    assert verdict(comparison.b, comparison).code is Exit.REGRESSION
    assert len(groups[Stage.RETRIEVAL]) >= 4
    assert groups[Stage.RETRIEVAL] == {pair.question.id for pair in comparison.of(State.REGRESSION)}
    assert "retrieval.fusion_weight" in changed(comparison)


def test_a_broken_prompt_makes_answers_wrong(gold: GoldSet, handbook_folder: Path, tmp_path: Path) -> None:
    prompt = (Path(__file__).parents[2] / "prompts" / "answer.md").read_text(encoding="utf-8")
    asked_something_else = "\n\nQuestion: Which broken laptops are repaired by the workshop in building seven?\n"
    (tmp_path / "answer.md").write_text(prompt.rstrip() + asked_something_else, encoding="utf-8")
    with FakeOllama() as server:
        model = handbook.config(llm="ollama:fake-chat", ollama_host=server.url)
        with Library.open(handbook_folder / "library", config=model, write=False) as well:
            before = run(gold, well)
        with Library.open(handbook_folder / "library", config=model.with_(prompts=tmp_path), write=False) as broken:
            comparison, groups = against(before, run(gold, broken))
    assert verdict(comparison.b, comparison).code is Exit.REGRESSION
    # What is written beside the question counts as a refusal.
    assert groups[Stage.ABSTENTION] | groups[Stage.ANSWER] >= ANSWERABLE - {"laptop"}
    assert not groups[Stage.RETRIEVAL]
    assert changed(comparison) == {"prompts.answer"}


def test_swapped_citations_are_wrong_citations(healthy: Run, library: Library, gold: GoldSet) -> None:
    comparison, groups = against(healthy, run(gold, handbook.Swapped(library)))
    assert verdict(comparison.b, comparison).code is Exit.REGRESSION
    assert groups == {stage: ANSWERABLE if stage is Stage.CITATION else set() for stage in Stage}


def test_abstention_switched_off_answers_what_it_should_refuse(
    healthy: Run, gold: GoldSet, handbook_folder: Path
) -> None:
    never = handbook.config(abstain_below=0.0)
    with Library.open(handbook_folder / "library", config=never, write=False) as broken:
        comparison, groups = against(healthy, run(gold, broken))
    assert verdict(comparison.b, comparison).code is Exit.REGRESSION
    assert groups[Stage.ABSTENTION] == {"volcano", "symphony"}
    assert changed(comparison) == {"retrieval.abstain_below"}


def test_abstention_stuck_on_is_a_wrong_abstention_too(healthy: Run, gold: GoldSet, handbook_folder: Path) -> None:
    always = handbook.config(abstain_below=1.0)
    with Library.open(handbook_folder / "library", config=always, write=False) as broken:
        comparison, groups = against(healthy, run(gold, broken))
    assert groups[Stage.ABSTENTION] >= ANSWERABLE - {"leave", "tickets", "garage"}
    assert not groups[Stage.RETRIEVAL] and not groups[Stage.ANSWER]
    assert verdict(comparison.b, comparison).code is Exit.REGRESSION
