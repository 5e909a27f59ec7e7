"""Runs, recorded answers and baselines on disk: JSON lines, appended as questions are answered."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from rag.errors import GoldError
from rag.gold.files.disk import append, from_plain, write_whole
from rag.gold.types import Acceptance, Found, Noise, Question, Record, Run, conditions_of, corpus_digest, digest
from rag.types import Answer, to_plain

VERSION = 1
_BULK = ("records", "passages", "finished", "noise")


@dataclass(frozen=True, slots=True)
class RunWriter:
    """Appends to the run in ``path``: a header, then each record with the texts of its new passages, then the end.

    A record is written in one piece; what a kill leaves behind is a run with fewer records. Raises GoldError when the
    file cannot be written.
    """

    path: Path
    _known: set[str]

    @classmethod
    def start(cls, path: Path, run: Run) -> RunWriter:
        """Begin a new file, in one step, with the records that ``run`` has already."""
        known: set[str] = set()
        write_whole(path, _begun(run, known))
        return cls(path, known)

    def add(self, record: Record, passages: Mapping[str, str]) -> None:
        """Append a record."""
        append(self.path, _told_of(record, passages, self._known))

    def finish(self, finished: float) -> None:
        """Append the end; without it the run counts as interrupted."""
        append(self.path, _end(finished, None))


def write_run(path: Path, run: Run) -> None:
    """Write a whole run in one step: the old file stays until the new one is complete."""
    write_whole(path, _begun(run, set()) + _end(run.finished, run.noise))


def keys_of(record: Record) -> Iterator[str]:
    """The keys of the passages a record speaks of."""
    yield from (found.key for found in record.ranking)
    if record.reply is not None:
        yield from (citation.passage for citation in record.reply.citations)


def read_run(path: Path, *, interrupted: bool = False) -> Run:
    """Read a run. Raises GoldError naming file and line when it is damaged, and, unless ``interrupted`` runs are
    wanted too, when it has no end."""
    lines = _lines(path)
    header = next(lines, None)
    if header is None or header.get("kind") != "run" or header.get("version") != VERSION:
        raise GoldError(
            f"{path} is no run of this program, or of another version of it.", hint="Make one with `rag gold run`."
        )
    run = from_plain(Run, {**header, "records": ()})
    records: list[Record] = []
    passages: dict[str, str] = {}
    end: Mapping[str, Any] | None = None
    for line in lines:
        if line["kind"] == "passage":
            passages[str(line.get("key"))] = str(line.get("text"))
        elif line["kind"] == "record":
            records.append(from_plain(Record, line))
        else:
            end = line
    if end is None and not interrupted:
        raise GoldError(f"The run {path} was interrupted.", hint="Run the same command again; it goes on from there.")
    noise = from_plain(Noise, end["noise"]) if end and end.get("noise") else None
    finished = from_plain(float, end.get("finished")) if end else 0.0
    return replace(run, records=tuple(records), passages=passages, finished=finished, noise=noise)


def _begun(run: Run, known: set[str]) -> str:
    """The header and the records; the keys of their passages are put with those ``known``."""
    kept = {f.name: to_plain(getattr(run, f.name)) for f in fields(Run) if f.name not in _BULK}
    records = [_told_of(record, passages_of([record], run.passages), known) for record in run.records]
    return "".join([_line({"kind": "run", "version": VERSION, **kept}), *records])


def _told_of(record: Record, passages: Mapping[str, str], known: set[str]) -> str:
    """The lines of a record: first its passages that are not ``known`` yet."""
    new = [{"kind": "passage", "key": key, "text": text} for key, text in passages.items() if key not in known]
    known.update(passages)
    return "".join(map(_line, [*new, {"kind": "record", **to_plain(record)}]))


def _end(finished: float, noise: Noise | None) -> str:
    return _line({"kind": "end", "finished": finished, "noise": to_plain(noise)})


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True) + "\n"


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in json_lines(path, "run", "Make one with `rag gold run`."):
        if line.get("kind") not in ("run", "passage", "record", "end"):
            raise _damaged(path, number)
        yield line


def json_lines(path: Path, what: str, hint: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file of JSON lines with their numbers, from 1. Raises GoldError when it cannot be read (saying
    that it is a ``what``, with ``hint``), and at a line that is damaged."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GoldError(f"Cannot read the {what} {path}: {error.strerror}.", hint=hint) from error
    rows = data.split(b"\n")
    # What follows the last line break is empty, or a line that a kill cut off.
    for number, row in enumerate(rows[:-1], 1):
        try:
            line = json.loads(row)
        except (ValueError, RecursionError) as error:
            raise _damaged(path, number) from error
        if not isinstance(line, dict):
            raise _damaged(path, number)
        yield number, line


def _damaged(path: Path, number: int) -> GoldError:
    return GoldError(f"{path}:{number}: the line is damaged.", hint="Remove the file and make it again.")


def passages_of(records: Iterable[Record], texts: Mapping[str, str]) -> dict[str, str]:
    """Those of ``texts`` that the records speak of."""
    return {key: texts[key] for record in records for key in keys_of(record) if key in texts}


_REMEDY = "Record again with `rag gold run --mode record`."


class NotRecorded(GoldError):
    """There is no recording of this question under these conditions; the message says what differs."""

    code = "not-recorded"
    hint = _REMEDY


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded answer with the ranking of its question."""

    answer: Answer
    ranking: tuple[Found, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    key: str
    id: str
    repeat: int
    parts: Mapping[str, str]
    answer: Answer
    ranking: tuple[Found, ...]


@dataclass(slots=True)
class Recording:
    """A file of recorded answers, an answer a line. ``conditions`` is the part of the fingerprint that answers depend
    on; a key is the digest of question, turns, repeat and conditions. ``depth`` is how long its rankings are."""

    path: Path
    conditions: Mapping[str, Any]
    depth: int
    _entries: dict[str, Recorded] = field(default_factory=dict)
    _parts: dict[tuple[str, int], Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def create(cls, path: Path, fingerprint: Mapping[str, Any], depth: int) -> Recording:
        """A new, empty file. Raises GoldError when it cannot be written."""
        recording = cls(path, conditions_of(fingerprint), depth)
        head = {"kind": "recording", "version": 1, "conditions": recording.conditions, "depth": depth}
        write_whole(path, _line(head))
        return recording

    @classmethod
    def resume(cls, path: Path, fingerprint: Mapping[str, Any], depth: int) -> Recording:
        """The recording that was interrupted, to be added to; a new one if it was of other conditions. Raises GoldError
        when it cannot be written."""
        with suppress(GoldError):
            earlier = cls.load(path)
            if (earlier.conditions, earlier.depth) == (conditions_of(fingerprint), depth):
                whole = path.read_bytes()
                write_whole(path, whole[: whole.rfind(b"\n") + 1])
                return earlier
        return cls.create(path, fingerprint, depth)

    @classmethod
    def load(cls, path: Path) -> Recording:
        """Read a recording; half a line at its end, which a kill leaves, is passed over. Raises GoldError when it is
        missing or damaged."""
        lines = json_lines(path, "recording", _REMEDY)
        _, head = next(lines, (0, {}))
        if head.get("kind") != "recording" or not isinstance(head.get("conditions"), dict):
            raise GoldError(f"{path} is no recording.", hint=_REMEDY)
        recording = cls(path, head["conditions"], from_plain(int, head.get("depth")))
        for _, line in lines:
            entry = from_plain(_Entry, line)
            recording._entries[entry.key] = Recorded(entry.answer, entry.ranking)
            recording._parts[entry.id, entry.repeat] = entry.parts
        return recording

    def holds(self, question: Question, repeat: int) -> bool:
        """Whether it was read with an answer to ``question`` under its own conditions."""
        return digest(_parts(question, repeat, self.conditions)) in self._entries

    def add(self, question: Question, repeat: int, recorded: Recorded) -> None:
        """Append an answer."""
        parts = _parts(question, repeat, self.conditions)
        line = {"kind": "answer", "key": digest(parts), "id": question.id, "repeat": repeat, "parts": parts}
        append(self.path, _line({**line, **to_plain(recorded)}))

    def find(self, question: Question, repeat: int, fingerprint: Mapping[str, Any], depth: int) -> Recorded:
        """The answer recorded under the same conditions with at least ``depth`` passages. Raises NotRecorded, saying
        what has changed since."""
        if depth > self.depth:
            raise NotRecorded(f"{self.path} has the first {self.depth} passages of each question, not {depth}.")
        parts = _parts(question, repeat, conditions_of(fingerprint))
        recorded = self._entries.get(digest(parts))
        if recorded is not None:
            return recorded
        old = self._parts.get((question.id, repeat))
        if old is None:
            raise NotRecorded(f"No answer to '{question.id}' (repeat {repeat}) is in {self.path}.")
        changed = ", ".join(name for name in parts if parts[name] != old.get(name))
        raise NotRecorded(f"The answer to '{question.id}' was recorded before a change of: {changed}.")


def under_recorded_model(fingerprint: Mapping[str, Any], recording: Recording, wanted: str) -> dict[str, Any]:
    """``fingerprint`` with the model of the recording in place of the one at hand, which replay does not ask.

    ``wanted`` is the configured model (``ollama:NAME``, ``quotes`` or ``auto``). Raises NotRecorded when it is named
    and another one was recorded.
    """
    model = recording.conditions.get("model")
    name = str(model.get("name", "")) if isinstance(model, Mapping) else str(model)
    if wanted not in ("", "auto") and wanted.removeprefix("ollama:") != name.removeprefix("ollama:"):
        raise NotRecorded(f"{recording.path} was recorded with {name}, but {wanted} is configured.")
    return {**fingerprint, "model": model}


def _parts(question: Question, repeat: int, conditions: Mapping[str, Any]) -> dict[str, str]:
    asked = {"question": question.question, "turns": to_plain(question.turns)}
    return {"question": digest(asked), "repeat": str(repeat), **{k: digest(v) for k, v in conditions.items()}}


class NotComparable(GoldError):
    """The baseline cannot be held against this run."""

    code = "baseline"


@dataclass(frozen=True, slots=True)
class Accepted:
    """What ``accept`` did: ids ``added`` to and ``changed`` in the baseline; ``refused`` had an error, or gold that
    does not stand in the documents; ``kept`` are those of the baseline that it left as they were."""

    baseline: Run
    added: tuple[str, ...]
    changed: tuple[str, ...]
    refused: tuple[str, ...]
    kept: tuple[str, ...]


def baseline_path(gold: str | Path) -> Path:
    """Where the baseline of a gold set stands: ``seeds.yaml`` has ``seeds.baseline.jsonl``."""
    path = Path(gold)
    return path.with_name(f"{path.stem}.baseline.jsonl")


def run_path(gold: str | Path, *, retrieval_only: bool = False, shard: tuple[int, int] = (1, 1)) -> Path:
    """Where the last run of a gold set is kept unless told otherwise: ``seeds.run.jsonl``, with ``.retrieval`` before
    ``.run`` for one without answers, and ``.2of3`` behind it for a part of the questions."""
    path, (part, of) = Path(gold), shard
    kind, share = ".retrieval" if retrieval_only else "", f".{part}of{of}" if of > 1 else ""
    return path.with_name(f"{path.stem}{kind}.run{share}.jsonl")


def merged(runs: Sequence[Run]) -> Run:
    """Runs of different questions of one gold set (its shards) as one. Raises GoldError when they share a question or
    were made under different conditions."""
    first, *others = runs
    for other in others:
        if (other.fingerprint, other.k, other.ids) != (first.fingerprint, first.k, first.ids):
            raise GoldError(
                f"The runs of {first.gold} were made under different conditions.", hint="Run every shard again."
            )
        if twice := {record.id for record in first.records} & {record.id for record in other.records}:
            raise GoldError(f"Two of the runs asked '{min(twice)}'.", hint="Name each shard's run once.")
        first = replace(
            first,
            questions=(*first.questions, *other.questions),
            records=(*first.records, *other.records),
            passages={**first.passages, **other.passages},
            findings=(*first.findings, *other.findings),
            started=min(first.started, other.started),
            finished=max(first.finished, other.finished),
            noise=_joint(first.noise, other.noise),
        )
    return first


def _joint(a: Noise | None, b: Noise | None) -> Noise | None:
    """The noise floor over both; unknown where one is."""
    if a is None or b is None:
        return None
    weigh = a.questions, b.questions
    spread = {n: fmean((a.spread[n], b.spread[n]), weigh) for n in a.spread if n in b.spread}
    return Noise(sum(weigh), a.identical + b.identical, (*a.flips, *b.flips), spread)


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
    Questions of the baseline that are not accepted now stay as they are, whether they ran or not; so does the reason of
    one that came out the same, unless it is named.
    """
    if not reason.strip():
        raise GoldError("Accepting needs a reason.", hint="Say why the answers are right: --reason '...'.")
    if baseline is not None and run.retrieval_only and not baseline.retrieval_only:
        raise GoldError(
            "A retrieval-only run cannot replace a baseline with answers.", hint="Run without --retrieval-only first."
        )
    groups = run.by_id()
    failed = {name for name, records in groups.items() if any(record.error for record in records)} | run.stale
    for name in ids:
        if name not in groups:
            raise GoldError(f"'{name}' did not run, so there is nothing to accept.", hint="Run it first.")
        if name in run.stale:
            raise GoldError(
                f"The gold of '{name}' does not stand in the documents.", hint=f"Mend it: rag gold rebase {run.gold}"
            )
        if name in failed:
            raise GoldError(f"'{name}' ended in an error: {groups[name][0].error}", hint="Run it again.")
    chosen = [name for name in (ids or groups) if name not in failed]
    if not chosen:
        raise GoldError("There is nothing to accept: no question ran that could be scored.", hint="Run again.")
    old = baseline.by_id() if baseline is not None else {}
    acceptance = Acceptance(
        reason.strip(), time.time() if now is None else now,
        corpus_digest(run.fingerprint), digest(conditions_of(run.fingerprint)),
    )  # fmt: skip
    merged = _merge(run, baseline, chosen, acceptance, named=bool(ids))
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


def _merge(run: Run, baseline: Run | None, chosen: Sequence[str], acceptance: Acceptance, *, named: bool) -> Run:
    groups = run.by_id()
    old = baseline.by_id() if baseline is not None else {}
    accepted = dict(baseline.accepted) if baseline is not None else {}
    records: list[Record] = []
    names = dict.fromkeys([*(q.id for q in run.questions), *old])
    for name in names:
        if name not in chosen:
            records.extend(old.get(name, []))
            continue
        # What came out the same stays as it was written, and why it was accepted too: a later reason speaks of changes.
        same = name in old and _alike(old[name], groups[name])
        records.extend(old[name] if same else groups[name])
        kept = accepted.get(name) if same and not named else None
        kept = kept and replace(kept, corpus=acceptance.corpus, configuration=acceptance.configuration)
        accepted[name] = kept or acceptance
    questions = {q.id: q for q in (*(baseline.questions if baseline else ()), *run.questions)}
    there = {record.id for record in records}
    before = {q.id: q for q in baseline.questions} if baseline is not None else {}
    others = [name for name in before if name not in chosen]
    # What is kept was scored by the scorer, the k and the gold of its time: then all is scored again before it is used.
    mixed = baseline is not None and bool(others) and (
        (baseline.fingerprint.get("scorer"), baseline.k) != (run.fingerprint.get("scorer"), run.k)
        or any(questions[name] != before[name] for name in others)
    )  # fmt: skip
    return replace(
        run,
        fingerprint={**run.fingerprint, "scorer": "mixed"} if mixed else run.fingerprint,
        questions=tuple(questions[name] for name in names if name in there),
        records=tuple(records),
        passages={**(baseline.passages if baseline else {}), **run.passages},
        accepted=accepted,
        where="",
        noise=run.noise or (baseline.noise if baseline else None),
    )


def _alike(old: Sequence[Record], new: Sequence[Record]) -> bool:
    return [_told(record) for record in old] == [_told(record) for record in new]


def _told(record: Record) -> tuple[object, ...]:
    """What of a record a reader would see change: not the times."""
    kept = {name: round(value, 6) for name, value in record.metrics.items() if not name.endswith("_ms")}
    reply = record.reply
    places = tuple(found.place for found in record.ranking)
    return (places, reply.text, reply.citations, kept) if reply is not None else (places, kept)
