"""Paired statistics: the bootstrap over questions, McNemar's exact test, and what they can and cannot show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, comb, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Matrix = npt.NDArray[np.floating[Any]]

SAMPLES = 10_000
LEVEL = 0.95
ALPHA = 0.05
POWER = 0.8
_CELLS = 2_000_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over ``n`` questions with its bootstrap interval at 95 %, and ``p``, the bootstrap's two-sided p-value
    of the mean being 0 (1.0 for a mean that is no difference)."""

    mean: float
    low: float
    high: float
    n: int
    p: float = 1.0

    @property
    def significant(self) -> bool:
        """Whether 0 lies outside the interval and p is below 0.05."""
        return self.n > 0 and self.p < ALPHA and not self.low <= 0.0 <= self.high

    def __format__(self, spec: str) -> str:
        return "{0:{3}} [{1:{3}}, {2:{3}}]".format(self.mean, self.low, self.high, spec or ".3f")


def bootstrap(values: Sequence[float], *, samples: int = SAMPLES, seed: int = 0) -> Interval:
    """The percentile bootstrap of the mean of ``values`` (Efron, 1979): questions are drawn again with replacement.

    For a paired comparison pass the differences of the same questions. The same values and seed give the same
    interval. The p-value is 2 · min(share of means ≤ 0, share ≥ 0), with one added to both counts so that it is
    never 0 (Davison and Hinkley, 1997), and never below 2 / 2^m for m values other than 0, the least that their
    signs alone can give: few questions prove little. No values give an empty interval at 0.
    """
    import numpy as np

    data = np.asarray(values, dtype=np.float64)
    if not len(data):
        return Interval(0.0, 0.0, 0.0, 0)
    least = min(1.0, 0.5 ** max(0.0, float(np.count_nonzero(data)) - 1))
    if np.all(data == data[0]):
        constant = float(data[0])
        return Interval(constant, constant, constant, len(data), least)
    means = np.concatenate([counts @ data for counts in _resamples(len(data), samples, seed)]) / len(data)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    below, above = int((means <= 0).sum()), int((means >= 0).sum())
    p = min(1.0, max(least, 2.0 * (min(below, above) + 1) / (samples + 1)))
    return Interval(float(data.mean()), float(low), float(high), len(data), p)


def _resamples(n: int, samples: int, seed: int) -> tuple[Matrix, ...] | Iterator[Matrix]:
    """How often each of ``n`` values is drawn in each of ``samples`` resamples, in blocks of rows."""
    return _kept_resamples(n, samples, seed) if n * samples <= _CELLS else _draw(n, samples, seed)


@lru_cache(maxsize=2)
def _kept_resamples(n: int, samples: int, seed: int) -> tuple[Matrix, ...]:
    return tuple(_draw(n, samples, seed))


def _draw(n: int, samples: int, seed: int) -> Iterator[Matrix]:
    import numpy as np

    random = np.random.default_rng(seed)
    rows = max(1, _CELLS // n)
    for start in range(0, samples, rows):
        count = min(rows, samples - start)
        drawn = random.integers(0, n, (count, n)) + np.arange(count)[:, None] * n
        yield np.bincount(drawn.ravel(), minlength=count * n).reshape(count, n).astype(np.float64)


def mcnemar(regressions: int, fixes: int) -> float:
    """The two-sided exact p-value that ``regressions`` and ``fixes`` differ by chance: a binomial test at 1/2.

    (McNemar, 1947; exact as in Fagerland and others, 2013.) 1.0 when nothing changed.
    """
    total = regressions + fixes
    if not total:
        return 1.0
    tail = sum(comb(total, i) for i in range(min(regressions, fixes) + 1))
    return min(1.0, 2 * tail / (1 << total))


def smallest_significant(fixes: int = 0) -> int:
    """How many regressions against ``fixes`` McNemar's test needs to reach p < 0.05."""
    regressions = fixes + 1
    while mcnemar(regressions, fixes) >= ALPHA:
        regressions += 1
    return regressions


def power_text(regressions: int, fixes: int) -> str:
    """What McNemar's test says of the questions that got worse and better, and what it could not have seen."""
    p = mcnemar(regressions, fixes)
    needed = smallest_significant(fixes)
    decided = "a difference" if p < ALPHA else "no proof of a difference"
    return (
        f"{regressions} worse to {fixes} better, p = {p:.4g} by McNemar's exact test, {decided}; "
        f"against {fixes} better it takes {needed} worse to reach p < {ALPHA:g}."
    )


def binomial_tail(hits: int, trials: int, chance: float) -> float:
    """P(at least ``hits`` of ``trials``) at ``chance`` each."""
    return float(sum(comb(trials, i) * chance**i * (1 - chance) ** (trials - i) for i in range(hits, trials + 1)))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for looking at several of them (Holm, 1979), in the order given."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    worst = 0.0
    for rank, index in enumerate(order):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = worst
    return adjusted


def quantile(values: Sequence[float], share: float) -> float:
    """The ``share`` quantile (0.5: median), linear between neighbours; 0 for no values."""
    import numpy as np

    return float(np.quantile(values, share)) if values else 0.0


def least_rate(hits: int, trials: int) -> float:
    """The smallest rate that ``hits`` of ``trials`` leave possible at a one-sided confidence of 95 % (Clopper and
    Pearson, 1934)."""
    low, high = 0.0, hits / trials if trials else 0.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if binomial_tail(hits, trials, middle) > 1 - LEVEL else (middle, high)
    return low


def questions_needed(better: float, wavering: float = 0.0) -> int:
    """How many questions show by McNemar's test, with a power of 80 % at p < 0.05, that a share ``better`` more of them
    pass (Connor, 1987), where a share ``wavering`` differs between identical runs."""
    differing = min(1.0, better + wavering)
    z = NormalDist().inv_cdf
    root = z(1 - ALPHA / 2) * sqrt(differing) + z(POWER) * sqrt(max(0.0, differing - better**2))
    return max(ceil((root / better) ** 2 - 1e-9), smallest_significant())


def smallest_claim(questions: int, wavering: float = 0.0) -> float:
    """The smallest gain, in steps of 0.1 %, that ``questions`` can show (see ``questions_needed``); 1 if none."""
    return next((n / 1000 for n in range(1, 1000) if questions_needed(n / 1000, wavering) <= questions), 1.0)
