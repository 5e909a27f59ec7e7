"""Retrieval metrics by file and by passage. G is the gold items, R the ranking de-duplicated by first occurrence."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from math import log2

from rag.gold.types import Place, Span

COVERED = 0.9
"""A gold quote is found when at least this share of its characters is covered."""


def merge(spans: Iterable[Span]) -> list[Span]:
    """The union of spans as disjoint spans in order."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def length(spans: Iterable[Span]) -> int:
    """How many characters the union of spans holds."""
    return sum(end - start for start, end in merge(spans))


def overlap(a: Sequence[Span], b: Sequence[Span]) -> int:
    """How many characters two unions of spans share."""
    return length(a) + length(b) - length((*a, *b))


def covers(spans: Sequence[Span], quote: Span) -> bool:
    """Whether the union of ``spans`` holds at least 0.9 of the characters of ``quote``."""
    return overlap(spans, [quote]) >= COVERED * (quote[1] - quote[0]) > 0


def first_occurrences(ranking: Iterable[str]) -> list[str]:
    """The ranking with each item kept where it first stands, so that a file found as three passages counts once."""
    return list(dict.fromkeys(ranking))


def hit(ranking: Sequence[str], gold: Collection[str], k: int) -> float:
    """1 if a gold item is among the first ``k``, else 0."""
    return float(any(item in gold for item in first_occurrences(ranking)[:k]))


def recall(ranking: Sequence[str], gold: Collection[str], k: int) -> float:
    """The share of the gold items that are among the first ``k``."""
    return sum(item in gold for item in first_occurrences(ranking)[:k]) / len(set(gold))


def reciprocal_rank(ranking: Sequence[str], gold: Collection[str]) -> float:
    """1 ÷ the rank (from 1) of the first gold item; 0 when there is none."""
    return next((1 / rank for rank, item in enumerate(first_occurrences(ranking), 1) if item in gold), 0.0)


def ndcg(ranking: Sequence[str], gold: Collection[str], k: int) -> float:
    """Σ rel/log₂(i+1) ÷ Σ_{i≤min(k,|G|)} 1/log₂(i+1) over the first ``k``; at most 1."""
    found = (rank for rank, item in enumerate(first_occurrences(ranking)[:k], 1) if item in gold)
    return sum(1 / log2(rank + 1) for rank in found) / _ideal(k, len(set(gold)))


def _ideal(k: int, relevant: int) -> float:
    return sum(1 / log2(rank + 1) for rank in range(1, min(k, relevant) + 1))


Quote = tuple[Place, ...]
"""A gold quote: every place where its words stand; any of them will do."""


def found_at(ranking: Sequence[Place], quotes: Sequence[Quote]) -> list[int | None]:
    """For each quote the smallest k for which the union of the first k passages of its file covers it, or None."""
    ranks: list[int | None] = [None] * len(quotes)
    seen: dict[str, list[Span]] = {}
    for rank, place in enumerate(dict.fromkeys(ranking), 1):
        spans = seen.setdefault(place.source, [])
        spans.append((place.start, place.end))
        for index, quote in enumerate(quotes):
            own = ((q.start, q.end) for q in quote if q.source == place.source)
            if ranks[index] is None and any(covers(spans, span) for span in own):
                ranks[index] = rank
    return ranks


def passage_metrics(ranking: Sequence[Place], quotes: Sequence[Quote], k: int) -> dict[str, float]:
    """Hit, recall, nDCG, reciprocal rank and character precision for gold quotes (at least one).

    Quotes completed by the same passage count at successive ranks, so that nDCG stays at most 1.
    """
    found = sorted(rank for rank in found_at(ranking, quotes) if rank is not None)
    gain, taken = 0.0, 0
    for rank in found:
        taken = max(rank, taken + 1)
        gain += 1 / log2(taken + 1) if taken <= k else 0.0
    within = sum(rank <= k for rank in found)
    return {
        f"passage_hit@{k}": float(within > 0),
        f"passage_recall@{k}": within / len(quotes),
        f"passage_ndcg@{k}": gain / _ideal(k, len(quotes)),
        "passage_rr": 1 / found[0] if found else 0.0,
        f"character_precision@{k}": character_precision(list(dict.fromkeys(ranking))[:k], quotes),
    }


def character_precision(passages: Sequence[Place], quotes: Sequence[Quote]) -> float:
    """The share of the passages' characters (each counted once) that lies in a gold quote; 0 for no passages."""
    retrieved = _by_source(passages)
    gold = _by_source(place for quote in quotes for place in quote)
    total = sum(length(spans) for spans in retrieved.values())
    return sum(overlap(spans, gold.get(source, ())) for source, spans in retrieved.items()) / total if total else 0.0


def _by_source(places: Iterable[Place]) -> Mapping[str, list[Span]]:
    spans: dict[str, list[Span]] = {}
    for place in places:
        spans.setdefault(place.source, []).append((place.start, place.end))
    return spans


def file_metrics(ranking: Sequence[str], gold: Collection[str], ks: Iterable[int]) -> dict[str, float]:
    """Hit, recall and nDCG at each k, and the reciprocal rank, for gold files (at least one)."""
    measures: dict[str, Callable[[Sequence[str], Collection[str], int], float]]
    measures = {"file_hit": hit, "file_recall": recall, "file_ndcg": ndcg}
    scores = {f"{name}@{k}": measure(ranking, gold, k) for k in ks for name, measure in measures.items()}
    return {**scores, "file_rr": reciprocal_rank(ranking, gold)}
