from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from rag.errors import GoldError
from rag.gold import Exit, GoldSet, Record, Run, Settings, accept, load_baseline, load_gold, run, save_baseline
from rag.gold.commands.gate import check, hold, last_run
from rag.gold.files.runs import NotComparable, baseline_path, run_path
from rag.gold.metrics.scoring import needs_rescoring
from rag.library import Library
from tests.fake_ollama import FakeOllama
from tests.gold import handbook
from tests.gold.made import FINGERPRINT, question, record, run_of, worse


def test_accepting_everything_then_one_id_keeps_the_rest() -> None:
    asked = [question("a"), question("b")]
    first = accept(run_of(asked, [record("a"), record("b")]), None, reason="start", now=1.0)
    assert (first.added, first.changed, first.kept) == (("a", "b"), (), ())
    better = run_of(asked, [record("a", text="It is x, says a."), record("b", text="It is x, says b.")])
    second = accept(better, first.baseline, ["a"], reason="clearer", now=2.0)
    assert (second.added, second.changed, second.kept) == ((), ("a",), ("b",))
    kept = {r.id: r.reply.plain for r in second.baseline.records if r.reply}
    assert kept == {"a": "It is x, says a.", "b": "It is x."}
    assert {name: (entry.reason, entry.at) for name, entry in second.baseline.accepted.items()} == {
        "a": ("clearer", 2.0), "b": ("start", 1.0),
    }  # fmt: skip


def test_questions_that_did_not_run_are_never_dropped() -> None:
    asked = [question("a"), question("b")]
    base = accept(run_of(asked, [record("a"), record("b")]), None, reason="start").baseline
    after = accept(run_of(asked[:1], [record("a", text="New.")]), base, reason="only a ran")
    assert after.kept == ("b",)
    assert [r.id for r in after.baseline.records] == ["a", "b"]
    assert [q.id for q in after.baseline.questions] == ["a", "b"]


def test_errors_are_refused() -> None:
    asked = [question("a"), question("b")]
    broken = run_of(asked, [record("a"), Record("b", error="The server is down.")])
    assert accept(broken, None, reason="x").refused == ("b",)
    with pytest.raises(GoldError, match="'b' ended in an error: The server is down"):
        accept(broken, None, ["b"], reason="x")
    with pytest.raises(GoldError, match="nothing to accept"):
        accept(run_of(asked, [Record("b", error="down")]), None, reason="x")


@pytest.mark.parametrize(("ids", "reason", "message"), [((), "  ", "needs a reason"), (("c",), "x", "'c' did not run")])
def test_a_reason_and_a_record_are_needed(ids: tuple[str, ...], reason: str, message: str) -> None:
    with pytest.raises(GoldError, match=message):
        accept(run_of([question("a")], [record("a")]), None, ids, reason=reason)


def test_a_run_without_answers_cannot_replace_answers() -> None:
    base = accept(run_of([question("a")], [record("a")]), None, reason="x").baseline
    with pytest.raises(GoldError, match="cannot replace a baseline with answers"):
        accept(run_of([question("a")], [record("a")], retrieval_only=True), base, reason="x")


def test_what_came_out_the_same_stays_as_it_is_written() -> None:
    base = accept(run_of([question("a")], [record("a")]), None, reason="x", now=1.0).baseline
    slower = run_of([question("a")], [record("a", worse(total_ms=99.0))])
    again = accept(slower, base, reason="y", now=2.0)
    assert again.changed == ()
    assert again.baseline.records == base.records
    assert again.baseline.accepted == base.accepted
    moved = run_of([question("a")], [record("a")], fingerprint={**FINGERPRINT, "corpus": {"sha256": "new"}})
    unchanged = accept(moved, base, reason="y", now=2.0).baseline.accepted["a"]
    assert (unchanged.reason, unchanged.at, unchanged.corpus) == ("x", 1.0, "new")
    assert accept(moved, base, ["a"], reason="y", now=2.0).baseline.accepted["a"].reason == "y"


def test_a_baseline_of_two_scorers_is_scored_again() -> None:
    asked = [question("a"), question("b")]
    base = accept(run_of(asked, [record("a"), record("b")]), None, reason="x").baseline
    later = run_of(asked, [record("a"), record("b")], fingerprint={**FINGERPRINT, "scorer": "t"})
    assert accept(later, base, reason="y").baseline.fingerprint["scorer"] == "t"
    partly = accept(later, base, ["a"], reason="y").baseline
    assert needs_rescoring(partly, later) == "the scorer has changed"
    stricter = run_of([asked[0], question("b", must_not_contain=("z",))], [record("a"), record("b")])
    assert needs_rescoring(accept(stricter, base, ["a"], reason="y").baseline, stricter)


def test_the_baseline_file_stands_beside_the_gold_set(tmp_path: Path) -> None:
    path = tmp_path / "seeds.yaml"
    assert baseline_path(path) == tmp_path / "seeds.baseline.jsonl"
    assert run_path(path) == tmp_path / "seeds.run.jsonl"
    assert run_path(path, retrieval_only=True) == tmp_path / "seeds.retrieval.run.jsonl"
    assert load_baseline(path) is None
    base = accept(run_of([question("a")], [record("a")]), None, reason="x").baseline
    save_baseline(path, base)
    loaded = load_baseline(path)
    assert loaded is not None
    assert (loaded.records, loaded.accepted) == (base.records, base.accepted)
    assert set(loaded.passages) == {"a.md:0-20"}  # only the cited passage's text is kept
    with pytest.raises(GoldError, match="There is no run"):
        last_run(path)


def test_a_writing_model_at_temperature_0_makes_no_noise(tmp_path: Path) -> None:
    gold = load_gold(handbook.write_gold(tmp_path))
    with (
        FakeOllama(["chat-s"]) as server,
        handbook.library(tmp_path, llm="ollama:chat-s", ollama_host=server.url) as library,
    ):
        noise = check(gold, library).run.noise
        assert noise is not None and noise.silent and noise.identical == noise.questions == len(gold.questions)
        prompts = Counter(json.dumps(record.json["messages"]) for record in server.sent("/api/chat"))
        assert len(prompts) >= 5 and set(prompts.values()) == {2}, "the fences' code is the same, too"


def test_the_gate_from_the_first_run_to_an_accepted_change(tmp_path: Path) -> None:
    gold_file = handbook.write_gold(tmp_path)
    gold = load_gold(gold_file)
    with handbook.library(tmp_path) as library:
        first = check(gold, library)
        assert first.comparison is None and first.verdict.code is Exit.CLEAN
        assert first.run.noise is not None and first.run.noise.silent
        save_baseline(gold_file, accept(first.run, None, reason="all answers were read").baseline)

        again = check(gold, library)
        assert again.run.noise is None and again.verdict.code is Exit.CLEAN and again.comparison is not None

        broken = check(gold, handbook.Swapped(library))
        assert broken.verdict.code is Exit.REGRESSION
        baseline = load_baseline(gold_file)
        save_baseline(gold_file, accept(broken.run, baseline, ["leave"], reason="a test").baseline)
        rest = check(gold, handbook.Swapped(library))
        assert rest.comparison is not None
        assert {p.question.id for p in rest.comparison.pairs if p.state == "stable"} >= {"leave"}

        (tmp_path / "corpus" / "news.md").write_text("# News\n\nNothing happened at all this week.\n", encoding="utf-8")
        library.ingest(tmp_path / "corpus")
        moved = check(gold, library)
        assert moved.verdict.code is Exit.NOT_COMPARABLE
        assert check(gold, library, allow_corpus_change=True).verdict.code in (Exit.CLEAN, Exit.REGRESSION)


def test_a_changed_gold_set_scores_the_stored_answers_again(library: Library, gold: GoldSet, healthy: Run) -> None:
    stricter = tuple(replace(q, must_not_contain=("annual leave",)) if q.id == "leave" else q for q in gold.questions)
    now = run(replace(gold, questions=stricter, sha256="other"), library)
    with pytest.raises(NotComparable, match="the gold set has changed"):
        hold(now, healthy, None, None)
    outcome = hold(now, healthy, replace(gold, questions=stricter, sha256="other"), library)
    assert outcome.rescored == "the gold set has changed"
    assert outcome.comparison is not None
    leave = next(pair for pair in outcome.comparison.pairs if pair.question.id == "leave")
    # Both answers violate the new rule: the rule is new, the answer is not worse.
    assert leave.before["violations"] == leave.after["violations"] == 1.0
    assert leave.state == "stable"


def test_another_scorer_or_k_scores_the_stored_answers_again(library: Library, gold: GoldSet, healthy: Run) -> None:
    old = replace(
        healthy,
        fingerprint={**healthy.fingerprint, "scorer": "older"},
        records=tuple(replace(r, metrics={**r.metrics, "fact_recall": 0.0}) for r in healthy.records),
    )
    outcome = hold(run(gold, library), old, gold, library)
    assert outcome.rescored == "the scorer has changed"
    assert outcome.verdict.code is Exit.CLEAN and not outcome.comparison.of("fixed")  # type: ignore[union-attr,arg-type]
    deeper = run(gold, library, Settings(k=1))
    assert hold(deeper, healthy, gold, library).rescored == "k has changed"


def test_the_file_of_a_run_is_kept_beside_it(library: Library, gold: GoldSet, tmp_path: Path) -> None:
    out = run_path(tmp_path / "gold.yaml")
    run(gold, library, Settings(out=out))
    assert last_run(tmp_path / "gold.yaml").ids == gold.ids
    assert json.loads(out.read_text(encoding="utf-8").splitlines()[0])["kind"] == "run"
