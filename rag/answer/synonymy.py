"""How well one word stands for another, in [0, 1]: by its stem, its beginning, or what the static vectors tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# Letters that two words begin with, of long words a share of the shorter one, and what that is worth. The weights of
# all that is built on it were fitted over these.
_BEGINNING, _SHARE_OF_WORD = 5, 0.75
SAME_BEGINNING = 0.8
"""From here on one word counts as matched by another."""


@dataclass(frozen=True, slots=True)
class Softness:
    """Cosines from ``low`` to ``high`` count from 0 to ``most``: fitted with the weights of those who use them."""

    low: float
    high: float
    most: float


class Vocabulary:
    """The stems of a text, a row each, found by their first five characters."""

    def __init__(self, stems: Iterable[str]) -> None:
        self.stems = tuple(stems)
        self.row = {stem: row for row, stem in enumerate(self.stems)}
        self._digits = [row for row, stem in enumerate(self.stems) if has_digit(stem)]
        self._beginnings: dict[str, list[int]] = {}
        for row, stem in enumerate(self.stems):
            self._beginnings.setdefault(stem[:_BEGINNING], []).append(row)

    def matches(self, wanted: Sequence[str], cosines: npt.NDArray[np.floating], softness: Softness) -> Array:
        """For each stem ``wanted`` and each of the vocabulary, how well it stands for it.

        ``cosines`` are those of their words. 1 for the same stem, at least 0.8 for a long common beginning; what holds
        a digit matches only itself.
        """
        span = softness.high - softness.low
        table: Array = np.asarray(np.clip((cosines - softness.low) / span, 0, 1) * softness.most, dtype=np.float64)
        table[:, self._digits] = 0
        for place, stem in enumerate(wanted):
            if has_digit(stem):
                table[place] = 0
            for row in self._beginnings.get(stem[:_BEGINNING], ()):
                other = self.stems[row]
                size = max(_BEGINNING, round(_SHARE_OF_WORD * min(len(stem), len(other))))
                if stem == other:
                    table[place, row] = 1.0
                elif stem[:size] == other[:size] and not has_digit(stem + other):
                    table[place, row] = max(table[place, row], SAME_BEGINNING)
        return table


@lru_cache(maxsize=50_000)
def has_digit(stem: str) -> bool:
    """Whether a stem is a number or holds one: such words match only themselves."""
    return any(c.isdigit() for c in stem)
