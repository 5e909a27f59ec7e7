"""Gold questions as YAML that ``load_gold`` reads and a person likes to edit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from rag.errors import GoldError
from rag.gold.files import write_whole
from rag.gold.schema import Fact, GoldSet, Question, Source, load_gold, parse_gold


def gold_yaml(questions: Sequence[Question], *, k: int = 5, repeats: int = 1) -> str:
    """A whole gold file. Reading it back gives the same questions."""
    head = f"version: 1\ndefaults: {{k: {k}, repeats: {repeats}}}\nquestions:\n"
    return head + "".join(f"\n{entry}" for entry in entries(questions))


def entries(questions: Sequence[Question]) -> Iterator[str]:
    """Each question as an entry of the list."""
    for question in questions:
        yield "\n".join(_lines(question)) + "\n"


def append_questions(path: Path, questions: Sequence[Question]) -> GoldSet:
    """Add questions at the end of a gold file, or start one; what is there stays as it is written.

    Raises InvalidGold when the file is no gold set (then nothing is written), GoldError when it cannot be written or
    has something after its questions.
    """
    if path.exists():
        before, whole = load_gold(path), path.read_bytes()
        ending = "\r\n" if b"\r\n" in whole else "\n"
        added = "".join(f"\n{entry}" for entry in entries(questions)).replace("\n", ending)
        whole += (b"" if whole.endswith(b"\n") else ending.encode()) + added.encode()
        try:
            after = parse_gold(whole.decode("utf-8-sig"), str(path))
        except GoldError as error:
            raise GoldError(
                f"Questions cannot be added at the end of {path}: {error}",
                hint="Let 'questions:' be the last key, its entries not indented; then try again.",
            ) from error
        if len(after.questions) != len(before.questions) + len(questions):
            raise GoldError(
                f"Questions cannot be added at the end of {path}.", hint="Let 'questions:' be the last key."
            )
    else:
        whole = gold_yaml(questions).encode()
        after = parse_gold(whole.decode(), str(path))
    write_whole(path, whole)
    return after


def _lines(question: Question) -> Iterator[str]:
    yield f"- id: {question.id if question.id[0].isalpha() else quoted(question.id)}"
    if question.tags:
        yield f"  tags: [{', '.join(map(_word, question.tags))}]"
    if question.turns:
        yield "  turns:"
        for turn in question.turns:
            yield f"  - {{user: {quoted(turn.user)}, bot: {quoted(turn.bot)}}}"
    yield f"  question: {quoted(question.question)}"
    if question.unanswerable:
        yield "  unanswerable: true"
    if question.facts:
        yield "  facts:"
        yield from (f"  - {_fact(fact)}" for fact in question.facts)
    for key, texts in (("must_not_contain", question.must_not_contain), ("aliases", question.aliases)):
        if texts:
            yield f"  {key}: [{', '.join(map(quoted, texts))}]"
    if question.sources:
        yield "  sources:"
        for source in question.sources:
            yield from _source(source)
    if question.thresholds:
        limits = ", ".join(f"{quoted(name)}: {value:g}" for name, value in question.thresholds.items())
        yield f"  thresholds: {{{limits}}}"
    yield f"  severity: {question.severity}"
    yield f"  review: {{status: {question.review.status}, origin: {question.review.origin}}}"


def _fact(fact: Fact) -> str:
    if fact.number is None:
        return f"{{id: {quoted(fact.id)}, any: [{', '.join(map(quoted, fact.any))}]}}"
    unit = f", unit: {quoted(fact.unit)}" if fact.unit else ""
    return f"{{id: {quoted(fact.id)}, number: {fact.number}, tolerance: {fact.tolerance}{unit}}}"


def _source(source: Source) -> Iterator[str]:
    yield f"  - file: {quoted(source.file)}"
    if source.page is not None:
        yield f"    page: {source.page}"
    if source.quote:
        yield f"    quote: {quoted(source.quote)}"


def _word(text: str) -> str:
    return text if text.replace("-", "").isalnum() and text.isascii() else quoted(text)


def quoted(text: str) -> str:
    """A double-quoted YAML scalar: JSON's form is one, with what YAML's reader refuses escaped."""
    safe = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else _escaped(c) for c in safe)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
