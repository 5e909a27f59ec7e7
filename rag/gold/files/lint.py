"""Whether a gold set can be met: its files are in the collection and hold its quotes; what stands there if not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from difflib import get_close_matches

from rag.gold.metrics.matching import Corpus, Finder, SlowPattern, nearest, states, violations
from rag.gold.types import Finding, GoldSet, InvalidGold, Problem, Question, Source


def lint(gold: GoldSet, corpus: Corpus) -> tuple[Problem, ...]:
    """All that is wrong with ``gold`` for this ``corpus``, in order of lines.

    Errors: a file that is not there, a page the file has not, a quote that is nowhere in it (with the nearest text
    there is), a forbidden wording that a fact asks for, a pattern that takes too long. Warnings: a fact that no gold
    file states, a question asked twice.
    """
    finder = Finder(corpus)
    found = findings(gold, finder)
    stale = {finding.id for finding in found}
    problems = [Problem(finding.line, finding.message, remedy(finding, corpus)) for finding in found]
    problems += [problem for question in gold.questions for problem in _problems(question, finder, stale)]
    return tuple(sorted([*problems, *_twice(gold)], key=lambda problem: problem.line))


def require_valid(gold: GoldSet, corpus: Corpus) -> tuple[Problem, ...]:
    """``lint``, raising InvalidGold when there is an error; the warnings are returned."""
    problems = lint(gold, corpus)
    _refuse(gold, problems)
    return problems


def require_sound(gold: GoldSet, finder: Finder) -> tuple[Finding, ...]:
    """The findings, which are the documents' doing as often as the gold set's; for what is wrong with the gold set
    whatever the documents say, raises InvalidGold."""
    found = findings(gold, finder)
    stale = {question.id for question in gold.questions}  # facts are looked for by lint alone: that takes longest
    _refuse(gold, [problem for question in gold.questions for problem in _problems(question, finder, stale)])
    return found


def _refuse(gold: GoldSet, problems: Sequence[Problem]) -> None:
    errors = tuple(problem for problem in problems if problem.severity == "error")
    if errors:
        raise InvalidGold(gold.path, errors)


def findings(gold: GoldSet, finder: Finder) -> tuple[Finding, ...]:
    """The sources that do not stand in the documents, in the order of the file."""
    found = (_finding(q, place, source, finder) for q in gold.questions for place, source in enumerate(q.sources))
    return tuple(finding for finding in found if finding is not None)


def _finding(question: Question, place: int, source: Source, finder: Finder) -> Finding | None:
    corpus = finder.corpus
    lost = Finding(question.id, "quote", place, source.file, source.page, source.quote, source.line)
    text = corpus.text(source.file)
    if text is None:
        holders = [f for f in corpus.files() if source.quote and finder.quote(f, source.quote)]
        return replace(lost, kind="file", file_now=holders[0] if len(holders) == 1 else "")
    spans = finder.quote(source.file, source.quote) if source.quote else ()
    if source.page is not None and (spans or not source.quote):
        bounds = corpus.page(source.file, source.page)
        if bounds and (not spans or finder.quote(source.file, source.quote, source.page)):
            return None
        return replace(lost, kind="page", page_now=_page_of(source, finder) if spans else None)
    if spans or not source.quote:
        return None
    return replace(lost, quote_now=nearest(source.quote, text))


def _page_of(source: Source, finder: Finder) -> int | None:
    """The first page that the quote stands on."""
    number = 1
    while finder.corpus.page(source.file, number):
        if finder.quote(source.file, source.quote, number):
            return number
        number += 1
    return None


def remedy(finding: Finding, corpus: Corpus) -> str:
    """What to do about it, with what stands there now."""
    if finding.kind == "file":
        close = finding.file_now or next(iter(get_close_matches(finding.file, corpus.files(), n=1, cutoff=0.5)), "")
        return f"Did you mean '{close}'?" if close else _known(corpus.files())
    if finding.kind == "page":
        return (
            f"It is on page {finding.page_now}: correct the page."
            if finding.page_now
            else "Correct the page, or leave it out for files without pages."
        )
    if not finding.quote_now:
        return "Nothing there is like it; check the file."
    return f'The nearest text there is: "{finding.quote_now}".'


def _problems(question: Question, finder: Finder, stale: set[str]) -> Iterator[Problem]:
    try:
        for fact in question.facts:
            for wording in (wording for wording in fact.any if not wording.startswith("re:")):
                for pattern in violations(question.must_not_contain, wording):
                    message = (
                        f"The fact '{fact.id}' of '{question.id}' asks for '{wording}', which '{pattern}' forbids."
                    )
                    yield Problem(question.line, message, "Remove one of the two.")
        if question.sources and question.id not in stale:
            yield from _check_facts(question, finder.corpus)
    except SlowPattern as slow:
        yield Problem(question.line, f"In '{question.id}': {slow}", slow.hint)


def _check_facts(question: Question, corpus: Corpus) -> Iterator[Problem]:
    texts = [text for file in question.files if (text := corpus.text(file)) is not None]
    for fact in question.facts:
        if not any(states(fact, text[at : at + 40_000]) for text in texts for at in range(0, len(text) + 1, 30_000)):
            message = f"No gold file of '{question.id}' states the fact '{fact.id}'."
            remedy = "An answer that quotes can't state it: correct it, or add a wording that stands in the file."
            yield Problem(question.line, message, remedy, "warning")


def _twice(gold: GoldSet) -> Iterator[Problem]:
    first: dict[tuple[str, tuple[object, ...]], str] = {}
    for question in gold.questions:
        key = (" ".join(question.question.lower().split()), question.turns)
        if key in first and question.question:
            message = f"'{question.id}' asks the same as '{first[key]}'."
            yield Problem(question.line, message, "Keep one of them, or word them differently.", "warning")
        first.setdefault(key, question.id)


def _known(files: tuple[str, ...]) -> str:
    shown = ", ".join(f"'{file}'" for file in files[:5])
    more = " and more" if len(files) > 5 else ""
    return f"The collection has {shown}{more}." if files else "The collection is empty."
