"""The baseline: a file beside the gold set, changed only by accepting answers explicitly, each with a reason."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rag.errors import GoldError
from rag.gold.backend import Backend, LibraryCorpus
from rag.gold.fingerprint import configuration_digest, corpus_digest, scorer_version
from rag.gold.linting import patterns_of
from rag.gold.records import Acceptance, Record, Run
from rag.gold.runfile import read_run, write_run
from rag.gold.schema import GoldSet
from rag.gold.scoring import Scorer
from rag.gold.spans import Finder

if TYPE_CHECKING:
    from rag.gold.support import Evidence


class NotComparable(GoldError):
    """The baseline cannot be held against this run."""

    code = "baseline"


@dataclass(frozen=True, slots=True)
class Accepted:
    """What ``accept`` did: ids ``added`` to and ``changed`` in the baseline; ``refused`` had an error; ``kept`` are
    those of the baseline that it left as they were."""

    baseline: Run
    added: tuple[str, ...]
    changed: tuple[str, ...]
    refused: tuple[str, ...]
    kept: tuple[str, ...]


def baseline_path(gold: str | Path) -> Path:
    """Where the baseline of a gold set stands: ``seeds.yaml`` has ``seeds.baseline.jsonl``."""
    path = Path(gold)
    return path.with_name(f"{path.stem}.baseline.jsonl")


def run_path(gold: str | Path, *, retrieval_only: bool = False) -> Path:
    """Where the last run of a gold set is kept unless told otherwise: ``seeds.run.jsonl``, and
    ``seeds.retrieval.run.jsonl`` for one without answers."""
    path = Path(gold)
    return path.with_name(f"{path.stem}{'.retrieval' if retrieval_only else ''}.run.jsonl")


def load_baseline(gold: str | Path) -> Run | None:
    """The baseline of a gold set, or ``None`` before the first accept. Raises GoldError when it is damaged."""
    path = baseline_path(gold)
    return read_run(path) if path.is_file() else None


def accept(
    run: Run, baseline: Run | None, ids: Sequence[str] = (), *, reason: str, now: float | None = None
) -> Accepted:
    """Take the records of ``ids`` (empty: all) of ``run`` into the baseline.

    Raises GoldError for an empty reason, an id that did not run or that ended in an error, and for a retrieval-only
    run over a baseline with answers. Without ids, questions with an error are left out and named in ``refused``.
    Questions of the baseline that are not accepted now stay as they are, whether they ran or not.
    """
    if not reason.strip():
        raise GoldError("Accepting needs a reason.", hint="Say why the answers are right: --reason '...'.")
    if baseline is not None and run.retrieval_only and not baseline.retrieval_only:
        raise GoldError(
            "A retrieval-only run cannot replace a baseline with answers.", hint="Run without --retrieval-only first."
        )
    groups = run.by_id()
    failed = {name for name, records in groups.items() if any(record.error for record in records)}
    for name in ids:
        if name not in groups:
            raise GoldError(f"'{name}' did not run, so there is nothing to accept.", hint="Run it first.")
        if name in failed:
            raise GoldError(f"'{name}' ended in an error: {groups[name][0].error}", hint="Run it again.")
    chosen = [name for name in (ids or groups) if name not in failed]
    if not chosen:
        raise GoldError("There is nothing to accept: every question ended in an error.", hint="Run again.")
    old = baseline.by_id() if baseline is not None else {}
    merged = _merge(run, baseline, chosen, Acceptance(
        reason.strip(), time.time() if now is None else now,
        corpus_digest(run.fingerprint), configuration_digest(run.fingerprint),
    ))  # fmt: skip
    return Accepted(
        merged,
        added=tuple(name for name in chosen if name not in old),
        changed=tuple(name for name in chosen if name in old and not _alike(old[name], groups[name])),
        refused=tuple(sorted(failed)) if not ids else (),
        kept=tuple(name for name in old if name not in chosen),
    )


def save_baseline(gold: str | Path, baseline: Run) -> Path:
    """Write the baseline beside the gold set in one step, with the texts of cited passages only."""
    path = baseline_path(gold)
    cited = {c.passage for record in baseline.records if record.reply for c in record.reply.citations}
    kept = {key: text for key, text in baseline.passages.items() if key in cited}
    write_run(path, replace(baseline, passages=kept))
    return path


def _merge(run: Run, baseline: Run | None, chosen: Sequence[str], acceptance: Acceptance) -> Run:
    groups = run.by_id()
    old = baseline.by_id() if baseline is not None else {}
    accepted = dict(baseline.accepted) if baseline is not None else {}
    records: list[Record] = []
    names = dict.fromkeys([*(q.id for q in run.questions), *old])
    for name in names:
        if name not in chosen:
            records.extend(old.get(name, []))
            continue
        # What came out the same stays as it was written, so that the file's own history shows changes only.
        same = name in old and _alike(old[name], groups[name])
        records.extend(old[name] if same else groups[name])
        if not (same and _settled(accepted.get(name), acceptance)):
            accepted[name] = acceptance
    known = {q.id: q for q in (*(baseline.questions if baseline else ()), *run.questions)}
    there = {record.id for record in records}
    return replace(
        run,
        questions=tuple(known[name] for name in names if name in there),
        records=tuple(records),
        passages={**(baseline.passages if baseline else {}), **run.passages},
        accepted=accepted,
        noise=run.noise or (baseline.noise if baseline else None),
    )


def _settled(old: Acceptance | None, new: Acceptance) -> bool:
    return old is not None and (old.corpus, old.configuration) == (new.corpus, new.configuration)


def _alike(old: Sequence[Record], new: Sequence[Record]) -> bool:
    return [_told(record) for record in old] == [_told(record) for record in new]


def _told(record: Record) -> tuple[object, ...]:
    """What of a record a reader would see change: not the times."""
    kept = {name: round(value, 6) for name, value in record.metrics.items() if not name.endswith("_ms")}
    reply = record.reply
    places = tuple(found.place for found in record.ranking)
    return (places, reply.text, reply.citations, kept) if reply is not None else (places, kept)


def rescore(
    run: Run,
    gold: GoldSet,
    backend: Backend,
    collection: str | None,
    *,
    k: int,
    evidence: Evidence,
) -> Run:
    """``run``'s stored answers scored again at ``k`` by ``gold`` as it is now. Questions it no longer has stay."""
    now = gold.by_id()
    known = {question.id: question for question in run.questions}
    finder = Finder(LibraryCorpus(backend, collection))
    scorer = Scorer(finder, k, run.passages, evidence.entails, evidence.similarity)
    records: list[Record] = []
    for record in run.records:
        question = now.get(record.id) or known[record.id]
        with patterns_of(question, gold.path):
            records.append(scorer.score(question, record))
    questions = tuple(now.get(question.id, question) for question in run.questions)
    mark = {**run.fingerprint, "scorer": scorer_version(), "gold": {"sha256": gold.sha256, "questions": len(now)}}
    return replace(run, records=tuple(records), questions=questions, fingerprint=mark, k=k)


def needs_rescoring(old: Run, new: Run) -> str:
    """Why stored answers of ``old`` must be scored again before they are held against ``new``; empty if not."""
    if old.fingerprint.get("scorer") != new.fingerprint.get("scorer"):
        return "the scorer has changed"
    if old.k != new.k:
        return "k has changed"
    shared = {question.id: question for question in old.questions}
    if any(question.id in shared and shared[question.id] != question for question in new.questions):
        return "the gold set has changed"
    return ""
