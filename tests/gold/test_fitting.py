from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from rag.config import Config
from rag.errors import ConfigError, GoldError
from rag.gold.commands.tuning import calibrate, grid
from rag.gold.metrics.tuning import (
    PASS,
    Decision,
    Point,
    Ranked,
    best_threshold,
    fit_threshold,
    fit_weight,
    quality,
    rate,
)
from rag.gold.types import GoldSet, Question, Source
from rag.types import Hit, Passage
from tests.gold import handbook
from tests.gold.made import question, record, run_of, worse


def drawn(count: int, seed: int = 0) -> list[Decision]:
    """Answerable questions around 0.7, unanswerable ones around 0.3."""
    chance = random.Random(seed)
    return [
        Decision(f"q{n}", min(1.0, max(0.0, chance.gauss(0.7 if n % 2 else 0.3, 0.12))), bool(n % 2))
        for n in range(count)
    ]


def test_the_threshold_lies_between_the_two_kinds() -> None:
    fit = fit_threshold(drawn(200), old=0.05)
    assert 0.4 < fit.new < 0.6
    assert fit.before.mean == pytest.approx(0.5, abs=0.03)  # at 0.05 nothing is refused
    assert fit.after.mean > 0.9 and fit.better
    names = [name for name, *_ in fit.parts]
    assert names == ["abstention accuracy", "unanswerable refused", "answerable answered"]


def test_a_good_threshold_is_not_called_worse_than_a_fitted_one() -> None:
    fit = fit_threshold(drawn(200), old=0.5)
    assert not fit.better
    assert abs(fit.delta.mean) < 0.05


def test_cross_validation_does_not_reward_noise() -> None:
    chance = random.Random(2)
    noise = [Decision(f"q{n}", chance.random(), bool(n % 2)) for n in range(60)]
    fit = fit_threshold(noise, old=0.5)
    assert not fit.better and fit.after.mean < 0.65


def test_the_best_threshold_is_the_middle_of_the_widest_best_gap() -> None:
    found = [Decision("a", 0.2, False), Decision("b", 0.4, False), Decision("c", 0.8, True)]
    assert best_threshold(found) == 0.6


def test_too_few_questions_are_refused() -> None:
    with pytest.raises(GoldError, match="10 answerable and 10 unanswerable questions, not 5 and 5"):
        fit_threshold(drawn(10), 0.2)


def passage(number: int, source: str) -> Passage:
    return Passage(number, number, source, "", 0, 0, 10, f"text {number}")


class Bare:
    """A backend with documents only."""

    def sources(self, collection: str | None = None) -> tuple[object, ...]:
        return tuple(SimpleNamespace(id=number, source=f"{number}.md", passages=9) for number in (1, 2, 3))


def test_the_weight_follows_the_side_that_ranks_the_gold_first() -> None:
    ranked = []
    for number in range(20):
        hits = (
            Hit(passage(1, "noise.md"), 1.0, dense=0.9, lexical=0.1),
            Hit(passage(2, "gold.md"), 1.0, dense=0.2, lexical=8.0),
            Hit(passage(3, "more.md"), 1.0, dense=0.1, lexical=0.0),
        )
        ranked.append(Ranked(Question(f"q{number}", "?", sources=(Source("gold.md"),)), hits))
    fit = fit_weight(ranked, Bare(), old=1.0)  # type: ignore[arg-type]
    assert fit.new <= 0.5 and fit.before.mean == 0.5 and fit.after.mean == 1.0 and fit.better
    assert fit_weight(ranked, Bare(), old=0.3).new == 0.3  # type: ignore[arg-type] # of equals the present one
    with pytest.raises(GoldError, match="needs 10 questions"):
        fit_weight(ranked[:5], Bare(), old=0.5)  # type: ignore[arg-type]


def test_calibration_of_a_library_writes_nothing_by_itself(tmp_path: Path) -> None:
    with handbook.library(tmp_path, abstain_below=0.999) as library:
        gold = handbook.gold_set(tmp_path)
        facts = ["leave", "train", "laptop", "parking", "canteen", "badge", "alarm", "bicycles", "visitors", "chef"]
        yes = [replace(q, id=f"{q.id}-{n}") for n in range(2) for q in gold.questions if not q.unanswerable]
        no = [
            Question(
                f"none-{n}", f"Which opera by {name} Verdi was sung about the {name} in Vienna?", unanswerable=True
            )
            for n, name in enumerate(facts)
        ]
        fits = calibrate(GoldSet("x", (*yes, *no)), library, fusion=True)
        assert [fit.setting for fit in fits] == ["abstain_below", "fusion_weight"]
        assert fits[0].old == 0.999 and fits[0].new < 0.999
        assert library.collections.settings() == {}


def test_the_grid_is_every_combination() -> None:
    points = grid(Config(), ["top_k=4,6", "fusion_weight=0.3,0.5"])
    assert [name for name, *_ in points] == [
        f"top_k={k} fusion_weight={weight}" for k in ("4", "6") for weight in ("0.3", "0.5")
    ]
    assert points[0][2].top_k == 4 and points[3][2].fusion_weight == 0.5
    assert grid(Config(), [])[0][0] == "as configured"
    for wrong in ("topk=1", "top_k", "top_k=", "limits=1"):
        with pytest.raises(ConfigError, match="no choice of a setting"):
            grid(Config(), [wrong])
    with pytest.raises(ConfigError, match="top_k"):
        grid(Config(), ["top_k=many"])


def point(name: str, passing: int, total: int, ms: float = 10.0) -> Point:
    asked = [question(f"q{n}") for n in range(total)]
    records = [record(q.id, worse(total_ms=ms, fact_recall=float(n < passing))) for n, q in enumerate(asked)]
    return Point(name, {}, run_of(asked, records))


def test_a_winner_is_named_only_where_the_difference_is_significant() -> None:
    clear = rate([point("bad", 10, 40), point("good", 38, 40), point("worse", 2, 40)])
    assert clear.conclusion == "good is best on pass, significantly so."
    assert [rated.point.name for rated in clear.rated] == ["good", "bad", "worse"]
    close = rate([point("a", 38, 40), point("b", 37, 40), point("c", 5, 40)])
    assert close.conclusion == "No winner on pass: a is not significantly better than b."
    assert rate([point("only", 3, 4)]).conclusion == "Only only ran."


def test_less_is_better_for_times() -> None:
    found = rate([point("slow", 4, 10, 90.0), point("quick", 4, 10, 10.0)], "total_ms")
    assert [rated.point.name for rated in found.rated] == ["quick", "slow"]
    assert found.rated[1].lead is not None and found.rated[1].lead.mean == 80.0


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(ConfigError, match="There is no metric 'fact_recal'"):
        rate([point("a", 1, 2)], "fact_recal")
    with pytest.raises(ConfigError, match="No question has the metric 'passage_rr'"):
        rate([point("a", 1, 2)], "passage_rr")


def test_quality_by_passing_leaves_errors_out() -> None:
    found = point("a", 1, 3).run
    failed = replace(found.records[2], error="down", metrics={})
    assert quality(replace(found, records=(*found.records[:2], failed)), PASS) == {"q0": 1.0, "q1": 0.0}
