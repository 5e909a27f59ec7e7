"""Whether a gold set can be met at all: its files are in the collection, its quotes stand in them."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from rag.gold.metrics.matching import Corpus, Finder, SlowPattern, nearest, states, violations
from rag.gold.metrics.scoring import _slow
from rag.gold.types import GoldSet, InvalidGold, Problem, Question, Source


def lint(gold: GoldSet, corpus: Corpus) -> tuple[Problem, ...]:
    """All that is wrong with ``gold`` for this ``corpus``, in order of lines.

    Errors: a file that is not there, a page the file has not, a quote that is nowhere in it (with the nearest text
    there is), a forbidden wording that a fact asks for, a pattern that takes too long. Warnings: a fact that no gold
    file states, a question asked twice.
    """
    finder = Finder(corpus)
    problems = [problem for question in gold.questions for problem in _problems(question, finder)]
    problems.extend(_twice(gold))
    return tuple(sorted(problems, key=lambda problem: problem.line))


def require_valid(gold: GoldSet, corpus: Corpus) -> tuple[Problem, ...]:
    """``lint``, raising InvalidGold when there is an error; the warnings are returned."""
    problems = lint(gold, corpus)
    errors = tuple(problem for problem in problems if problem.severity == "error")
    if errors:
        raise InvalidGold(gold.path, errors)
    return problems


def _problems(question: Question, finder: Finder) -> Iterator[Problem]:
    try:
        yield from _check(question, finder)
    except SlowPattern as slow:
        yield _slow(question, slow)


def _check(question: Question, finder: Finder) -> Iterator[Problem]:
    sound = True
    for source in question.sources:
        problem = _check_source(question, source, finder)
        if problem is not None:
            sound = False
            yield problem
    for fact in question.facts:
        plain = [wording for wording in fact.any if not wording.startswith("re:")]
        for wording in plain:
            for pattern in violations(question.must_not_contain, wording):
                message = f"The fact '{fact.id}' of '{question.id}' asks for '{wording}', which '{pattern}' forbids."
                yield Problem(question.line, message, "Remove one of the two.")
    if sound and question.sources:
        yield from _check_facts(question, finder.corpus)


def _check_source(question: Question, source: Source, finder: Finder) -> Problem | None:
    corpus, name = finder.corpus, f"'{question.id}'"
    text = corpus.text(source.file)
    if text is None:
        close = get_close_matches(source.file, corpus.files(), n=1, cutoff=0.5)
        remedy = f"Did you mean '{close[0]}'?" if close else _known(corpus.files())
        return Problem(source.line, f"The file '{source.file}' of {name} is not in the collection.", remedy)
    if source.page is not None and corpus.page(source.file, source.page) is None:
        message = f"'{source.file}' has no page {source.page}, which {name} names."
        return Problem(source.line, message, "Correct the page, or leave it out for files without pages.")
    if not source.quote or finder.quote(source.file, source.quote, source.page):
        return None
    if source.page is not None and finder.quote(source.file, source.quote):
        message = f"The quote of {name} is in '{source.file}', but not on page {source.page}."
        return Problem(source.line, message, "Correct the page.")
    close_text = nearest(source.quote, text)
    remedy = (
        f'The nearest text there is: "{close_text}".' if close_text else "Nothing there is like it; check the file."
    )
    message = f"The quote of {name} is not in '{source.file}': \"{source.quote[:100]}\"."
    return Problem(source.line, message, remedy)


def _check_facts(question: Question, corpus: Corpus) -> Iterator[Problem]:
    texts = [text for file in question.files if (text := corpus.text(file)) is not None]
    for fact in question.facts:
        if not any(states(fact, text[at : at + 40_000]) for text in texts for at in range(0, len(text) + 1, 30_000)):
            message = f"No gold file of '{question.id}' states the fact '{fact.id}'."
            remedy = "An answer that quotes can't state it; add a wording that stands in the file."
            yield Problem(question.line, message, remedy, "warning")


def _twice(gold: GoldSet) -> Iterator[Problem]:
    first: dict[tuple[str, tuple[object, ...]], str] = {}
    for question in gold.questions:
        key = (" ".join(question.question.lower().split()), question.turns)
        if key in first:
            message = f"'{question.id}' asks the same as '{first[key]}'."
            yield Problem(question.line, message, "Keep one of them, or word them differently.", "warning")
        first.setdefault(key, question.id)


def _known(files: tuple[str, ...]) -> str:
    shown = ", ".join(f"'{file}'" for file in files[:5])
    return (
        f"The collection has {shown}{' and more' if len(files) > 5 else ''}." if files else "The collection is empty."
    )
