from __future__ import annotations

import random
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from rag.gold.metrics.comparison import (
    Exit,
    State,
    changes,
    compare,
    noise_floor,
    passes,
    requirements,
    threshold_misses,
    verdict,
)
from rag.gold.metrics.definitions import Stage, known_names, metric
from rag.gold.metrics.scoring import scoring_code
from rag.gold.types import Acceptance, Question, Record, Review
from tests.gold.made import (
    FAULTS,
    FINGERPRINT,
    GOOD,
    REFUSED,
    noisy_run,
    question,
    record,
    run_of,
    unanswerable,
    worse,
)


def one(before: Record, after: Record, asked: Question | None = None) -> tuple[State, Stage | None, Exit]:
    asked = asked or question("a")
    found = compare(run_of([asked], [before]), run_of([asked], [after]))
    return found.pairs[0].state, found.pairs[0].stage, verdict(found.b, found).code


def test_the_same_run_is_stable_and_clean() -> None:
    assert one(record("a"), record("a")) == (State.STABLE, None, Exit.CLEAN)


@pytest.mark.parametrize("stage", list(Stage))
def test_each_fault_is_put_at_its_stage(stage: Stage) -> None:
    assert one(record("a"), record("a", FAULTS[stage])) == (State.REGRESSION, stage, Exit.REGRESSION)


@pytest.mark.parametrize("stage", list(Stage))
def test_the_way_back_is_fixed(stage: Stage) -> None:
    assert one(record("a", FAULTS[stage]), record("a")) == (State.FIXED, None, Exit.CLEAN)


def test_an_answer_to_an_unanswerable_question_is_a_wrong_abstention() -> None:
    answered = {"abstention_accuracy": 0.0, "abstention_recall": 0.0}
    found = one(record("a", REFUSED), record("a", answered), unanswerable("a"))
    assert found == (State.REGRESSION, Stage.ABSTENTION, Exit.REGRESSION)


def test_watch_and_drafts_never_gate() -> None:
    bad = record("a", FAULTS[Stage.ANSWER])
    for asked in (question("a", severity="watch"), question("a", review=Review("draft"))):
        assert one(record("a"), bad, asked) == (State.REGRESSION, Stage.ANSWER, Exit.CLEAN)


def test_a_gain_that_costs_something_else_is_still_a_regression() -> None:
    before = worse(fact_recall=0.0)
    after = worse(citation_precision=0.5)
    assert one(record("a", before), record("a", after))[:2] == (State.REGRESSION, Stage.CITATION)


def test_what_does_not_gate_may_move() -> None:
    assert one(record("a"), record("a", worse(file_rr=0.5, total_ms=900.0)))[0] is State.STABLE


def test_new_and_error_and_infrastructure() -> None:
    failed = Record("a", error="The server is down.", error_code="server-down")
    assert one(record("a"), failed) == (State.ERROR, None, Exit.INFRASTRUCTURE)
    assert one(failed, record("a")) == (State.NEW, None, Exit.CLEAN)
    asked = [question("a"), question("b")]
    found = compare(run_of(asked[:1], [record("a")]), run_of(asked, [record("a"), record("b")]))
    assert [pair.state for pair in found.pairs] == [State.STABLE, State.NEW]
    # A regression is told even when something else could not run.
    found = compare(
        run_of(asked, [record("a"), record("b")]),
        run_of(asked, [record("a", FAULTS[Stage.ANSWER]), replace(failed, id="b")]),
    )
    assert verdict(found.b, found).code is Exit.REGRESSION
    assert any("could not be asked: b" in reason for reason in verdict(found.b, found).reasons)


def test_what_did_not_run_and_what_was_removed_is_listed() -> None:
    asked = [question("a"), question("b"), question("c")]
    before = run_of(asked, [record("a"), record("b"), record("c")])
    found = compare(before, run_of(asked[:2], [record("a")]))
    assert (found.not_run, found.removed) == (("b",), ("c",))


def test_repeats_that_differ_are_flaky_and_do_not_gate() -> None:
    asked = question("a")
    mixed = [record("a"), record("a", FAULTS[Stage.ANSWER], repeat=1, text="No.")]
    found = compare(run_of([asked], [record("a")]), run_of([asked], mixed))
    assert found.pairs[0].state is State.FLAKY
    assert verdict(found.b, found).code is Exit.CLEAN
    assert found.pairs[0].after["fact_recall"] == 0.5


def test_questions_that_flip_between_identical_runs_are_flaky() -> None:
    asked = [question("a"), question("b")]
    first = run_of(asked, [record("a"), record("b")])
    second = run_of(asked, [record("a", FAULTS[Stage.ANSWER], text="No."), record("b")])
    noise = noise_floor(first, second)
    assert (noise.questions, noise.identical, noise.flips, noise.silent) == (2, 1, ("a",), False)
    assert noise.spread["fact_recall"] == 0.5
    found = compare(replace(first, noise=noise), second)
    assert [pair.state for pair in found.pairs] == [State.FLAKY, State.STABLE]
    assert not found.deterministic


def test_a_silent_floor_makes_every_loss_count() -> None:
    asked = [question("a")]
    first = run_of(asked, [record("a")])
    noise = noise_floor(first, first)
    assert noise.silent
    found = compare(replace(first, noise=noise), run_of(asked, [record("a", worse(citation_precision=0.9))]))
    assert found.deterministic
    assert found.pairs[0].state is State.REGRESSION


def test_mcnemar_counts_the_flips_of_questions_that_gate() -> None:
    asked = [question(f"q{n}") for n in range(8)] + [question("w", severity="watch")]
    good = [record(q.id) for q in asked]
    bad = [record(q.id, FAULTS[Stage.ANSWER]) for q in asked[:5]] + [record(q.id) for q in asked[5:8]]
    found = compare(run_of(asked, good), run_of(asked, [*bad, record("w", FAULTS[Stage.ANSWER])]))
    assert (found.regressions, found.fixes, found.p) == (5, 0, 0.0625)


def test_thresholds_are_absolute_and_watch_does_not_gate() -> None:
    asked = [
        question("a", thresholds={"fact_recall": 1.0}),
        question("b", thresholds={"fact_recall": 1.0}, severity="watch"),
    ]
    bad = worse(fact_recall=0.5)
    found = run_of(asked, [record("a", bad), record("b", bad)])
    assert [(m.id, m.gates) for m in threshold_misses(found)] == [("a", True), ("b", False)]
    decided = verdict(found)
    assert decided.code is Exit.REGRESSION
    assert "a fact_recall 0.5 < 1" in decided.reasons[0]
    # Also when the baseline was no better.
    assert verdict(found, compare(found, found)).code is Exit.REGRESSION


def test_the_first_run_says_how_many_questions_fail_although_no_threshold_is_missed() -> None:
    asked = [question("a"), question("b"), question("w", severity="watch")]
    bad = worse(fact_recall=0.0)
    decided = verdict(run_of(asked, [record("a"), record("b", bad), record("w", bad)]))
    assert decided.code is Exit.CLEAN
    assert decided.reasons[0].endswith("no baseline yet. Failing all the same, so read before you accept: 1 question.")


def test_thresholds_of_counts_and_times_are_ceilings() -> None:
    asked = question("a", thresholds={"total_ms": 100.0, "violations": 0.0})
    assert threshold_misses(run_of([asked], [record("a", worse(total_ms=99.0, violations=0.0))])) == ()
    assert len(threshold_misses(run_of([asked], [record("a", worse(total_ms=101.0, violations=1.0))]))) == 2


def test_requirements_follow_from_the_question() -> None:
    asked = question("a", must_not_contain=("y",), thresholds={"fact_recall": 0.5})
    needed = {r.metric: (r.value, r.explicit) for r in requirements(asked, 5)}
    assert needed == {
        "fact_recall": (0.5, True),
        "abstention_accuracy": (1.0, False),
        "violations": (0.0, False),
        "file_hit@5": (1.0, False),
    }
    assert passes(asked, worse(fact_recall=0.5), 5)
    assert passes(asked, {"file_hit@5": 1.0}, 5)  # a retrieval-only run misses nothing it did not measure


def test_a_changed_corpus_is_not_comparable_unless_allowed() -> None:
    asked = [question("a")]
    before = run_of(asked, [record("a")])
    after = run_of(asked, [record("a")], fingerprint={**FINGERPRINT, "corpus": {"sha256": "d"}})
    found = compare(before, after)
    assert verdict(after, found).code is Exit.NOT_COMPARABLE
    assert verdict(after, found, allow_corpus_change=True).code is Exit.CLEAN
    # Records that were accepted over other documents count too.
    older = replace(before, accepted={"a": Acceptance("why", 1.0, corpus="older")})
    assert verdict(before, compare(older, before)).code is Exit.NOT_COMPARABLE


def test_fingerprint_changes_come_in_the_order_that_matters() -> None:
    old = {**FINGERPRINT, "commit": "1", "packages": {"x": "1"}, "prompts": {"answer": "p"}}
    new = {
        **FINGERPRINT,
        "commit": "2",
        "packages": {"y": "1"},
        "prompts": {"answer": "q"},
        "model": {"name": "n", "digest": "1"},
    }
    assert [(c.key, c.old, c.new) for c in changes(old, new)] == [
        ("model.name", "m", "n"),
        ("prompts.answer", "p", "q"),
        ("packages.x", "1", ""),
        ("packages.y", "", "1"),
        ("commit", "1", "2"),
    ]


@pytest.mark.parametrize(("spread", "repeats"), [("steady", 1), ("wavering", 1), ("mixed", 3)])
def test_identical_noisy_runs_raise_no_more_than_the_nominal_false_alarms(spread: str, repeats: int) -> None:
    """A/A: 200 comparisons of runs drawn from the same answerer; at most 5 % may end in a verdict of worse."""
    chance = random.Random(11)
    rates = {
        "steady": [0.97] * 40,
        "wavering": [0.6] * 40,
        "mixed": [1.0] * 25 + [0.9] * 5 + [0.5] * 5 + [0.0] * 5,
    }[spread]
    alarms = 0
    for _ in range(200):
        first, again, later = (noisy_run(chance, rates, repeats) for _ in range(3))
        found = compare(replace(first, noise=noise_floor(first, again)), later)
        assert not found.deterministic
        alarms += verdict(later, found).code is Exit.REGRESSION
    assert alarms <= 10, f"{alarms} false alarms in 200"


def test_a_real_loss_is_found_in_spite_of_noise() -> None:
    chance = random.Random(5)
    found = 0
    for _ in range(20):
        first, again = (noisy_run(chance, [0.95] * 60, 1) for _ in range(2))
        later = noisy_run(chance, [0.6] * 60, 1)
        comparison = compare(replace(first, noise=noise_floor(first, again)), later)
        found += verdict(later, comparison).code is Exit.REGRESSION
    assert found >= 18, f"only {found} of 20 losses of a third of the answers were found"


def test_every_metric_has_a_title_and_a_direction() -> None:
    for name in known_names():
        known = metric(name)
        assert known is not None and known.name == name and known.title
        assert known.loss(1.0, 0.0) == (-1.0 if known.lower else 1.0)
    assert metric("file_hit@0") is None
    assert metric("file_hit@k") is None
    assert set(GOOD) <= set(known_names())


def test_the_scorers_version_covers_all_the_code_that_scores() -> None:
    """In a fresh process: every module of ours that judging a sentence and scoring an answer loads."""
    program = (
        "import sys\nfrom rag.gold.metrics.scoring import default_evidence, scoring_code\n"
        "from rag.types import Passage\n"
        "default_evidence().supports('It is 5 days.', [Passage(0, 0, 'a', '', 0, 0, 13, 'It is 5 days.')])\n"
        "ours = ('rag.answer.', 'rag.gold.', 'rag.text', 'rag.models.')\n"
        "used = {name for name in sys.modules if name.startswith(ours)}\n"
        "print(sorted(used - set(scoring_code())))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True)
    missing = set(re.findall(r"'([\w.]+)'", done.stdout))
    assert missing <= {"rag.gold.metrics"}, missing
    assert {"rag.answer.verify.verifier", "rag.gold.metrics.scoring", "rag.text"} <= set(scoring_code())
