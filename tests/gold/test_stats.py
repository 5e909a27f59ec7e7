from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.gold.metrics.statistics import (
    binomial_tail,
    bootstrap,
    holm,
    least_rate,
    mcnemar,
    power_text,
    quantile,
    questions_needed,
    smallest_claim,
    smallest_significant,
)


@pytest.mark.parametrize(
    ("regressions", "fixes", "p"),
    [
        (0, 0, 1.0),
        (5, 0, 0.0625),  # the limit the specification names
        (6, 0, 0.03125),
        (1, 0, 1.0),
        (1, 1, 1.0),
        (10, 2, 2 * (1 + 12 + 66) / 4096),  # by hand: (C(12,0)+C(12,1)+C(12,2)) * 2 / 2^12
        (2, 10, 2 * 79 / 4096),
        (9, 1, 2 * 11 / 1024),
        # Fagerland, Lydersen and Laake (2013), airway hyper-responsiveness: 7 against 1, exact conditional p = 0.070
        (7, 1, 0.0703125),
        # Agresti, Categorical Data Analysis, table 10.1 (86 against 150): exact two-sided p
        (150, 86, 2 * sum(comb(236, i) for i in range(87)) / 2**236),
    ],
)
def test_mcnemar_equals_hand_computed_values(regressions: int, fixes: int, p: float) -> None:
    assert mcnemar(regressions, fixes) == pytest.approx(p, rel=1e-12)


def test_mcnemar_on_agrestis_table_is_the_published_size() -> None:
    assert 1e-5 < mcnemar(150, 86) < 1e-4  # z^2 = (86-150)^2/236 = 17.36, p = 3.1e-5 by the normal approximation


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_symmetric_and_a_probability(a: int, b: int) -> None:
    assert mcnemar(a, b) == mcnemar(b, a)
    assert 0 < mcnemar(a, b) <= 1


def test_the_power_limit_is_said() -> None:
    assert smallest_significant(0) == 6
    assert smallest_significant(1) == 8
    text = power_text(5, 0)
    assert "5 worse to 0 better, p = 0.0625 by McNemar's exact test, no proof of a difference" in text
    assert "it takes 6 worse" in text


def test_the_bootstrap_equals_full_enumeration_for_three_values() -> None:
    # All 27 resamples of (0, 0, 1): the mean is 0 in 8, 1/3 in 12, 2/3 in 6 and 1 in 1 of them.
    interval = bootstrap([0.0, 0.0, 1.0])
    assert interval.mean == pytest.approx(1 / 3)
    assert (interval.low, interval.high) == (0.0, 1.0)  # P(0) = 8/27 > 2.5 %, P(1) = 1/27 > 2.5 %
    wide = bootstrap([0.0, 0.0, 0.0, 0.0, 1.0])  # P(mean ≥ 0.8) = 21/3125 < 2.5 %, P(0.6) = 160/3125 > 2.5 %
    assert [wide.low, wide.high] == pytest.approx([0.0, 0.6])


def test_the_bootstrap_comes_near_the_normal_interval_for_many_values() -> None:
    data = np.random.default_rng(7).normal(0.2, 1.0, 2_000)
    interval = bootstrap(list(data))
    error = 1.96 * data.std(ddof=1) / np.sqrt(len(data))
    assert interval.low == pytest.approx(data.mean() - error, abs=0.004)
    assert interval.high == pytest.approx(data.mean() + error, abs=0.004)
    assert interval.significant


# Efron and Tibshirani, An Introduction to the Bootstrap (1993), table 2.1: survival of treated mice, in days.
MICE = (94.0, 197.0, 16.0, 38.0, 99.0, 141.0, 23.0)


def test_the_bootstrap_of_efrons_mice_equals_all_resamples() -> None:
    """All 7^7 resamples are enumerated; the book gives their standard error as 23.36 and the mean as 86.86."""
    means = np.zeros(1)
    for _ in MICE:
        means = np.add.outer(means, MICE).ravel()
    means /= len(MICE)
    assert len(means) == 7**7
    assert (means.mean(), means.std()) == pytest.approx((86.86, 23.36), abs=0.005)
    interval = bootstrap(MICE)
    assert interval.mean == pytest.approx(86.86, abs=0.005)
    for end, share in ((interval.low, 0.025), (interval.high, 0.975)):
        # 10,000 draws place the share below an end to within four standard errors of sqrt(0.025 * 0.975 / 10000).
        assert (means < end).mean() <= share + 0.0063 and (means <= end).mean() >= share - 0.0063


def test_the_bootstrap_is_seeded() -> None:
    data = [0.0, 1.0, 0.5, -1.0, 0.25, 0.75]
    assert bootstrap(data) == bootstrap(data)
    assert bootstrap(data, seed=1) == bootstrap(data, seed=1)


@pytest.mark.parametrize(("count", "p"), [(1, 1.0), (5, 0.0625), (6, 0.03125)])
def test_equal_losses_are_as_sure_as_their_signs(count: int, p: float) -> None:
    interval = bootstrap([-0.5] * count)
    assert interval.p == pytest.approx(p)
    assert interval.significant is (count >= 6)


def test_nothing_and_no_difference_are_not_significant() -> None:
    assert not bootstrap([]).significant
    assert bootstrap([0.0] * 50).p == 1.0
    assert not bootstrap([0.0] * 50).significant


def test_the_false_alarm_rate_of_the_bootstrap_is_nominal() -> None:
    random = np.random.default_rng(3)
    alarms = 0
    for _ in range(200):
        a, b = random.random(60) < 0.8, random.random(60) < 0.8
        alarms += bootstrap(list(b.astype(float) - a.astype(float)), samples=2_000).significant
    assert alarms <= 16  # 5 % of 200 is 10; more than 16 has a chance of 2 %


def test_holm_equals_the_worked_example() -> None:
    # Holm's step-down on 0.01, 0.04, 0.03, 0.005: 0.03, 0.06, 0.06, 0.02
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.5, 0.9]) == [1.0, 1.0]


def test_binomial_tail_by_hand() -> None:
    assert binomial_tail(1, 1, 1 / 3) == pytest.approx(1 / 3)
    assert binomial_tail(3, 3, 1 / 3) == pytest.approx(1 / 27)
    assert binomial_tail(0, 5, 0.2) == pytest.approx(1.0)


def test_quantiles_interpolate() -> None:
    assert quantile([], 0.5) == 0.0
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([0.0, 10.0], 0.95) == pytest.approx(9.5)


def test_the_number_of_questions_for_a_claim_is_connors() -> None:
    # Connor (1987), two-sided 0.05 and power 0.8: discordant 0.2 and difference 0.1 need 155 pairs by his formula.
    assert questions_needed(0.1, 0.1) == 155
    assert questions_needed(0.05) == 155 and questions_needed(0.5) >= smallest_significant()
    assert questions_needed(0.05, 0.1) > questions_needed(0.05)
    assert smallest_claim(155) == 0.05 and smallest_claim(3) == 1.0


@given(st.integers(1, 40), st.data())
def test_the_least_rate_is_the_one_at_which_so_many_hits_are_rare(trials: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, trials))
    least = least_rate(hits, trials)
    assert 0.0 <= least <= hits / trials
    assert hits == 0 or binomial_tail(hits, trials, least) == pytest.approx(0.05, abs=1e-6)
    assert least_rate(5, 5) == pytest.approx(0.05 ** (1 / 5))
