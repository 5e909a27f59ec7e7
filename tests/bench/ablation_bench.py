"""What each rule of the verification is worth: all of them, none, and each one left out, on every set of sentences.

``python -m tests.bench ablation``. QAGS, the made sets and the briefs are in halves (tuned on, held out); WiCE and
FEVER-Symmetric were never tuned on. A rule that moves no held-out set has no place.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from rag.answer.verify import RULES, Gates, Reader, gates, is_claim, quoted_span, score_of, support_of
from rag.answer.verify.evidence import Window
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
_TRIED = 3
_HALVES = ((data.TUNE, "tuned"), (data.HOLD, "held out"))


@dataclass(frozen=True, slots=True)
class Examined:
    """A sentence's best windows, each with what every rule says of it; none of them where it is quoted."""

    right: bool
    half: int
    quoted: bool
    windows: tuple[tuple[Window, Mapping[str, float]], ...]

    def verdict(self, without: Collection[str]) -> tuple[float, bool]:
        """The score and whether it is supported, some rules left out."""
        if self.quoted:
            return 1.0, True
        best, holds = 0.0, False
        for window, outcomes in self.windows:
            held: dict[str, float] = {}
            for rule, (gate, _) in RULES.items():
                if rule not in without:
                    held[gate] = min(held.get(gate, 1.0), outcomes[rule])
            held_all = Gates(**held, unchecked=())
            score = score_of(window, held_all)
            if score >= best:
                best, holds = score, support_of(score, held_all) is Support.SUPPORTED
        return best, holds


def examine(reader: Reader, one: Claimed) -> Examined:
    """Hold a sentence against its sources, once for all that is left out."""
    if any(quoted_span(one.sentence, text) for text in one.sources):
        return Examined(one.right, one.half, True, ())
    claim = reader.claim(one.sentence)
    found = []
    for text in one.sources:
        for window in reader.windows(claim, reader.source(text))[:_TRIED]:
            outcomes = {rule: gates(claim, window, text, without=RULES.keys() - {rule}).worst for rule in RULES}
            found.append((window, outcomes))
    return Examined(one.right, one.half, False, tuple(found))


def figures(examined: Sequence[Examined], without: Collection[str]) -> tuple[float, float, float]:
    """AUC, the share of right ones supported, the share of the supported that is right (1 where none is)."""
    verdicts = [one.verdict(without) for one in examined]
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
    reader = Reader(static_vectors())
    cases: list[tuple[str, Collection[str]]] = [("all rules", ()), ("none", RULES.keys())]
    cases += [(f"without {rule}", (rule,)) for rule in RULES]
    rows: dict[str, list[object]] = {name: [name] for name, _ in cases}
    head = ["AUC / right supported / of the supported right"]
    for name, claims in SETS.items():
        examined = [examine(reader, one) for one in claims() if is_claim(one.sentence)]
        for half, label in _HALVES:
            own = [one for one in examined if one.half == half]
            if not own:
                continue
            head.append(f"{name}, {label} ({len(own)})")
            whole = figures(own, ())
            for case, without in cases:
                there = figures(own, without)
                shown = there if case in ("all rules", "none") else [a - b for a, b in zip(there, whole, strict=True)]
                form = "{:.3f}" if case in ("all rules", "none") else "{:+.3f}"
                rows[case].append(" ".join(form.format(value) for value in shown))
    for place, title in enumerate(head[1:], 1):
        table([title, head[0]], [[case, row[place]] for case, row in rows.items()])
        say()


if __name__ == "__main__":
    main()
