"""What each part of the verification is worth: all, without the encoder, without any rule, without each, on every set.

``python -m tests.bench ablation``. QAGS, the made sets and the briefs are in halves (tuned on, held out); WiCE and
FEVER-Symmetric were never tuned on. A rule that moves no held-out set has no place. The same for the constants of the
rules, each half and twice as large, and what comes out at the verdicts' thresholds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from statistics import fmean
from unittest.mock import patch

from rag.answer.verify import RULES, Gates, Reader, gates, is_claim, quoted_span, score_of, support_of
from rag.answer.verify.checker import STRICT
from rag.answer.verify.evidence import Claim, Window
from rag.answer.verify.tokens import Likeness, TokenReader
from rag.models.encoder import shared_encoder
from rag.models.static import static_vectors
from rag.types import Support
from tests.bench import answer_data as data
from tests.bench.claims_data import (
    Claimed,
    about_briefs,
    about_paragraphs,
    in_pairs,
    judged_news,
    of_briefs,
    of_encyclopaedia,
)
from tests.bench.tables import say, table

SETS: Mapping[str, Callable[[], Iterator[Claimed]]] = {
    "QAGS": judged_news,
    "made, briefs": about_briefs,
    "made, XQuAD": about_paragraphs,
    "originals": of_briefs,
    "WiCE": of_encyclopaedia,
    "FEVER": in_pairs,
}
_TRIED, _KEPT = 3, 5
_HALVES = ((data.TUNE, "tuned"), (data.HOLD, "held out"))
CONSTANTS: Mapping[str, tuple[tuple[str, ...], tuple[float, float]]] = {
    "_APPROXIMATELY": (("another value", "of another thing", "beside another"), (0.02, 0.1)),
    "_SMALL": (("another value",), (3, 100)),
    "_NAME_BEGINNING": (("another name",), (2, 8)),
    "_BEFORE": (("another name",), (0, 4)),
    "_REACH": (("of another thing",), (2, 8)),
    "_ASTRAY": (("beside another",), (0, 2)),
    "_BETWEEN": (("turned round",), (2, 8)),
}
"""Constants of the rules, the rules that use each, and what it is set to beside what it is."""
Varied = Mapping[tuple[str, float], Mapping[str, float]]
_BANDS = ("strict", Support.SUPPORTED, Support.PARTIAL, Support.UNSUPPORTED)


@dataclass(frozen=True, slots=True)
class Held:
    """A window, what every rule says of the sentence there, the same where a constant is another, and the likeness of
    its whole text to the sentence."""

    window: Window
    outcomes: Mapping[str, float]
    likeness: Likeness | None
    varied: Varied = field(default_factory=dict)

    def gates(self, without: Collection[str], constant: tuple[str, float] | None = None) -> Gates:
        """The gates, some rules left out, or with another constant."""
        outcomes = {**self.outcomes, **(self.varied[constant] if constant else {})}
        held: dict[str, float] = {}
        for rule, (gate, _) in RULES.items():
            if rule not in without:
                held[gate] = min(held.get(gate, 1.0), outcomes[rule])
        return Gates(**held, unchecked=())


@dataclass(frozen=True, slots=True)
class Examined:
    """A sentence's best windows; none of them where it is quoted."""

    right: bool
    half: int
    quoted: bool
    windows: tuple[Held, ...]

    def verdict(
        self, without: Collection[str] = (), *, encoder: bool = True, constant: tuple[str, float] | None = None
    ) -> tuple[float, bool]:
        """The score and whether it is supported, some rules or the encoder left out, or with another constant."""
        if self.quoted:
            return 1.0, True
        found = [(False, 0.0)]
        for one in self.windows:
            held = one.gates(without, constant)
            score = score_of(one.window, held, one.likeness if encoder else None)
            found.append((support_of(score, held) is Support.SUPPORTED, score))
        holds, score = max(found)
        return score, holds

    def support(self) -> str:
        """What it comes to: supported strictly (quoted, or far over the threshold with every gate passed), supported,
        partly, or not."""
        if self.quoted:
            return "strict"
        best: tuple[bool, float, str] = (False, 0.0, Support.UNSUPPORTED)
        for one in self.windows:
            held = one.gates(())
            score = score_of(one.window, held, one.likeness)
            support = support_of(score, held)
            told = "strict" if score >= STRICT and held.worst >= 1 else support.value
            best = max(best, (support is Support.SUPPORTED, score, told))
        return best[2]


def _varied(claim: Claim, window: Window, text: str) -> Varied:
    room = import_module("rag.answer.verify.gates")
    found: dict[tuple[str, float], Mapping[str, float]] = {}
    for name, (rules, values) in CONSTANTS.items():
        for value in values:
            with patch.object(room, name, type(getattr(room, name))(value)):
                found[name, value] = {
                    rule: gates(claim, window, text, without=RULES.keys() - {rule}).worst for rule in rules
                }
    return found


def examine(reader: Reader, tokens: TokenReader, one: Claimed, *, constants: bool = False) -> Examined:
    """Hold a sentence against its sources, once for all that is left out. Of a long page the five windows that say
    most of it by words alone stand for all, as the found passages stand for a collection."""
    if any(quoted_span(one.sentence, text) for text in one.sources):
        return Examined(one.right, one.half, True, ())
    claim = reader.claim(one.sentence)
    windows = [(w, text) for text in one.sources for w in reader.windows(claim, reader.source(text))[:_TRIED]]
    windows.sort(key=lambda found: -found[0].logit)
    held = [
        Held(
            window,
            {rule: gates(claim, window, text, without=RULES.keys() - {rule}).worst for rule in RULES},
            tokens.likeness(claim, text),
            _varied(claim, window, text) if constants else {},
        )
        for window, text in windows[:_KEPT]
    ]
    return Examined(one.right, one.half, False, tuple(held))


def figures(
    examined: Sequence[Examined],
    without: Collection[str] = (),
    *,
    encoder: bool = True,
    constant: tuple[str, float] | None = None,
) -> tuple[float, float, float]:
    """AUC, the share of right ones supported, the share of the supported that is right (1 where none is)."""
    verdicts = [one.verdict(without, encoder=encoder, constant=constant) for one in examined]
    above = [score for (score, _), one in zip(verdicts, examined, strict=True) if one.right]
    below = [score for (score, _), one in zip(verdicts, examined, strict=True) if not one.right]
    area = fmean((a > b) + 0.5 * (a == b) for a in above for b in below)
    held = [one.right for (_, holds), one in zip(verdicts, examined, strict=True) if holds]
    return area, sum(held) / len(above), fmean(held) if held else 1.0


def main() -> None:
    """Print, for every set and half, the figures with all rules and the differences without."""
    if data.available():
        say(f"skipped: not there: {data.available()}")
        return
    reader, tokens = Reader(static_vectors()), TokenReader(shared_encoder())
    whole = ("all", "without the encoder", "without any rule")
    varied = {f"{name} = {value:g}": (name, value) for name, (_, values) in CONSTANTS.items() for value in values}
    rows: dict[str, list[object]] = {name: [name] for name in (*whole, *(f"without {rule}" for rule in RULES), *varied)}
    head = ["AUC / right supported / of the supported right"]
    bands: list[list[object]] = []
    for name, claims in SETS.items():
        examined = [examine(reader, tokens, one, constants=True) for one in claims() if is_claim(one.sentence)]
        for half, label in _HALVES:
            own = [one for one in examined if one.half == half]
            if not own:
                continue
            head.append(f"{name}, {label} ({len(own)})")
            there = figures(own)
            for case, found in zip(
                whole, (there, figures(own, encoder=False), figures(own, RULES.keys())), strict=True
            ):
                rows[case].append(" ".join(f"{value:.3f}" for value in found))
            for rule in RULES:
                less = (a - b for a, b in zip(figures(own, (rule,)), there, strict=True))
                rows[f"without {rule}"].append(" ".join(f"{value:+.3f}" for value in less))
            for title, constant in varied.items():
                less = (a - b for a, b in zip(figures(own, constant=constant), there, strict=True))
                rows[title].append(" ".join(f"{value:+.3f}" for value in less))
            for right in (True, False):
                told = [one.support() for one in own if one.right == right]
                shares = [sum(kind == band for kind in told) / len(told) for band in _BANDS]
                bands.append([f"{name}, {label}", "right" if right else "wrong", len(told), *shares])
    for place, title in enumerate(head[1:], 1):
        table([title, head[0]], [[case, row[place]] for case, row in rows.items()])
        say()
    table(["of the sentences of", "that are", "count", *_BANDS], bands)


if __name__ == "__main__":
    main()
