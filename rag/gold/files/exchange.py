"""Gold questions from and to the files of LlamaIndex, ragas, promptfoo, SQuAD and CSV."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fnmatch import fnmatch
from io import StringIO
from pathlib import Path
from typing import Any

import yaml

from rag.errors import GoldError
from rag.gold.metrics.matching import Corpus, Finder, numbers
from rag.gold.metrics.scoring import references_of
from rag.gold.types import Fact, Question, Review, Source, Span
from rag.language.sentences import sentences

_SHORT = 6
"""An answer of at most this many words is a fact; a longer one can only be compared with, as an alias."""
NOT_THERE = "This is not in the documents."
"""The reference answer that an export gives to an unanswerable question, where its form has no other place for it."""
_QUESTION = ("question", "query", "user_input", "input", "prompt")
_ANSWER = ("answer", "reference_answer", "reference", "ground_truth", "ground_truths", "expected", "expected_output")
_CONTEXTS = ("reference_contexts", "contexts", "retrieved_contexts", "context")
_SOURCE = ("source", "sources", "source docs", "source_docs", "file", "files", "document")
_TAGS = ("tags", "tag", "type", "question type", "synthesizer_name")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""
_NOT_IN_ID = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(slots=True)
class Imported:
    """The questions, and a note for everything that could not be taken over."""

    questions: list[Question] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Maker:
    """Puts questions together; with a corpus it finds the files that contexts and patterns speak of."""

    finder: Finder | None
    result: Imported = field(default_factory=Imported)
    ids: set[str] = field(default_factory=set)

    def add(
        self, name: str, question: str, *, answers: Sequence[str] = (), facts: Sequence[Fact] = (),
        sources: Sequence[Source] = (), forbidden: Sequence[str] = (), unanswerable: bool = False,
        tags: Sequence[str] = (),
    ) -> None:  # fmt: skip
        question = question.strip()
        unanswerable = unanswerable or tuple(answers) == (NOT_THERE,)
        if not question:
            self.result.notes.append(f"{name}: there is no question; left out.")
            return
        aliases = tuple(dict.fromkeys(text.strip() for text in answers if text.strip()))
        short = tuple(text for text in aliases if len(text.split()) <= _SHORT and any(c.isalnum() for c in text))
        if not facts and short:
            facts = (Fact("answer", any=short),)
        checked = facts or sources or aliases or forbidden or unanswerable
        self.result.questions.append(
            Question(
                self._id(name),
                question,
                tags=tuple(tag for tag in (_NOT_IN_ID.sub("-", tag).strip("-").lower() for tag in tags) if tag),
                unanswerable=unanswerable,
                facts=() if unanswerable else tuple(facts),
                must_not_contain=tuple(forbidden),
                sources=() if unanswerable else tuple(dict.fromkeys(sources)),
                aliases=() if unanswerable else aliases,
                review=Review("approved" if checked else "draft", "import"),
            )
        )

    def _id(self, name: str) -> str:
        base = _NOT_IN_ID.sub("-", name).strip("-._")[:70] or "question"
        chosen, number = base, 2
        while chosen in self.ids:
            chosen, number = f"{base}-{number}", number + 1
        self.ids.add(chosen)
        return chosen

    def located(self, name: str, contexts: Sequence[str]) -> list[Source]:
        """The contexts as quotes of the files they stand in."""
        found: list[Source] = []
        for context in contexts:
            quote = " ".join(context.split())[:2_000].strip()
            file = self._file_of(quote)
            if file is not None:
                found.append(Source(file, quote=quote))
            elif quote:
                why = "it stands in none of the documents" if self.finder else "no library was given to find its file"
                self.result.notes.append(f"{name}: a context was left out, since {why}: {quote[:60]!r}")
        return found

    def _file_of(self, quote: str) -> str | None:
        if self.finder is None or not quote:
            return None
        return next((f for f in self.finder.corpus.files() if self.finder.quote(f, quote)), None)

    def named(self, name: str, patterns: Sequence[str]) -> list[Source]:
        """The files that names or patterns with ``*`` mean; an extension may be missing."""
        found: list[Source] = []
        for pattern in (p.strip() for p in patterns):
            if not pattern:
                continue
            files = self.finder.corpus.files() if self.finder else ()
            hits = [f for f in files if fnmatch(f, pattern) or fnmatch(f.rpartition(".")[0], pattern)]
            if not hits and "*" not in pattern and self.finder is None:
                hits = [pattern]
            if not hits:
                self.result.notes.append(f"{name}: no document is called {pattern!r}; left out.")
            found.extend(Source(file) for file in hits)
        return found


def import_file(path: Path, kind: str, corpus: Corpus | None = None) -> Imported:
    """Read ``path`` as one of ``IMPORTS``. With a ``corpus``, contexts become quotes of the files they stand in.

    Raises GoldError when the file cannot be read or is not of that kind.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise GoldError(f"Cannot read {path}: {error}.", hint="It must be a UTF-8 text file.") from error
    maker = _Maker(Finder(corpus) if corpus is not None else None)
    try:
        IMPORTS[kind](text, maker)
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error, yaml.YAMLError) as error:
        raise GoldError(
            f"{path} is not of the kind '{kind}': {type(error).__name__}: {error}.",
            hint=f"The kinds are {', '.join(IMPORTS)}.",
        ) from error
    if not maker.result.questions:
        raise GoldError(f"{path} holds no question of the kind '{kind}'.", hint=f"The kinds are {', '.join(IMPORTS)}.")
    return maker.result


def _from_llama_index(text: str, maker: _Maker) -> None:
    _from_rows("llama", json.loads(text)["examples"], maker)


def _from_ragas(text: str, maker: _Maker) -> None:
    _from_rows("ragas", _rows(text), maker)


def _from_rows(kind: str, rows: Iterable[Mapping[str, Any]], maker: _Maker) -> None:
    for number, row in enumerate(rows, 1):
        name = f"{kind}-{number:03d}"
        contexts = _texts(_first(row, _CONTEXTS))
        maker.add(
            name, str(_first(row, _QUESTION) or ""), answers=_texts(_first(row, _ANSWER)),
            sources=maker.located(name, contexts), tags=_texts(_first(row, _TAGS)),
        )  # fmt: skip


def _rows(text: str) -> Iterator[Mapping[str, Any]]:
    """Objects of a JSON list, of ``{"samples": [...]}``, of columns, or one a line."""
    try:
        value = json.loads(text)
    except ValueError:
        yield from (json.loads(line) for line in text.split("\n") if line.strip())
        return
    if isinstance(value, dict) and isinstance(value.get("samples"), list):
        value = value["samples"]
    if isinstance(value, dict):
        columns = {name: column for name, column in value.items() if isinstance(column, list)}
        rows = zip(*columns.values(), strict=True) if isinstance(_first(value, _QUESTION), list) else None
        value = [dict(zip(columns, row, strict=True)) for row in rows] if rows is not None else [value]
    yield from value


def _from_promptfoo(text: str, maker: _Maker) -> None:
    value = yaml.safe_load(text)
    tests = value.get("tests", []) if isinstance(value, dict) else value
    for number, test in enumerate(tests, 1):
        name = str(test.get("description") or f"promptfoo-{number:03d}")
        variables = {str(key).lower(): item for key, item in (test.get("vars") or {}).items()}
        facts: list[Fact] = []
        forbidden: list[str] = []
        for check in test.get("assert") or []:
            _assertion(name, check, facts, forbidden, maker)
        unanswerable = (test.get("metadata") or {}).get("unanswerable") is True
        question = str(_first(variables, _QUESTION) or "")
        maker.add(name, question, facts=facts, forbidden=forbidden, unanswerable=unanswerable)


def _assertion(name: str, check: Mapping[str, Any], facts: list[Fact], forbidden: list[str], maker: _Maker) -> None:
    kind, values = str(check.get("type", "")), _texts(check.get("value"))
    values = [value for value in values if any(character.isalnum() for character in value)]
    plain = kind.removeprefix("not-").removeprefix("i")
    if plain == "regex":
        values = [f"re:{value}" for value in values]
    if plain not in ("contains", "contains-any", "contains-all", "equals", "regex") or not values:
        maker.result.notes.append(f"{name}: an assertion of the type {kind!r} was left out.")
    elif kind.startswith("not-"):
        forbidden.extend(values)
    elif plain == "contains-all":
        facts.extend(Fact(f"fact-{len(facts) + n}", any=(value,)) for n, value in enumerate(values, 1))
    else:
        facts.append(Fact(f"fact-{len(facts) + 1}", any=tuple(values)))


def _from_squad(text: str, maker: _Maker) -> None:
    for article in json.loads(text)["data"]:
        for paragraph in article["paragraphs"]:
            context = paragraph["context"]
            for qa in paragraph["qas"]:
                _squad_question(qa, context, str(article.get("title", "")), maker)


def _squad_question(qa: Mapping[str, Any], context: str, title: str, maker: _Maker) -> None:
    name, answers = str(qa["id"]), qa.get("answers") or []
    if qa.get("is_impossible") or not answers:
        maker.add(name, qa["question"], unanswerable=True)
        return
    at = int(answers[0]["answer_start"])
    quote = next((context[start:end] for start, end in sentences(context) if start <= at < end), "")
    sources = maker.located(name, [quote])
    if not sources and maker.finder is None and title:
        sources = [Source(title)]
    texts = [answer["text"] for answer in answers]
    wordings = tuple(dict.fromkeys(text.strip() for text in texts if any(c.isalnum() for c in text)))
    facts = (Fact("answer", any=wordings),) if wordings else ()
    maker.add(name, qa["question"], answers=texts, facts=facts, sources=sources)


def _from_csv(text: str, maker: _Maker) -> None:
    head = text.partition("\n")[0]
    reader = csv.DictReader(StringIO(text), delimiter=max(",;\t", key=head.count), strict=True)
    if reader.fieldnames is None or not {name.strip().lower() for name in reader.fieldnames} & set(_QUESTION):
        raise ValueError("no column is called 'question'")
    for number, cells in enumerate(reader, 1):
        row = {str(key).strip().lower(): _cell(value) for key, value in cells.items() if isinstance(value, str)}
        name = row.get("id") or f"row-{number:03d}"
        files = re.split(r"[,|;]", str(_first(row, _SOURCE) or ""))
        sources = maker.named(name, files)
        quote = row.get("quote", "")
        if quote and len(sources) == 1:
            page = int(row["page"]) if row.get("page", "").isdigit() else None
            sources = [Source(sources[0].file, page, quote)]
        answers = str(_first(row, _ANSWER) or "").split("|")
        maker.add(
            name, str(_first(row, _QUESTION) or ""), answers=answers, sources=sources,
            unanswerable=row.get("unanswerable", "").lower() in ("1", "true", "yes"),
            tags=re.split(r"[,|;]", str(_first(row, _TAGS) or "")),
        )  # fmt: skip


def _cell(text: str) -> str:
    """A cell without the apostrophe that keeps spreadsheets from running it."""
    text = text.strip()
    return text[1:] if text[:1] == "'" and text[1:2] in FORMULA else text


def _first(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((row[name] for name in names if row.get(name)), None)


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


IMPORTS: Mapping[str, Callable[[str, _Maker], None]] = {
    "llama-index": _from_llama_index,
    "ragas": _from_ragas,
    "promptfoo": _from_promptfoo,
    "squad": _from_squad,
    "csv": _from_csv,
}


def export(questions: Sequence[Question], kind: str, corpus: Corpus | None = None) -> str:
    """The questions as a file of one of ``EXPORTS``. SQuAD needs the ``corpus``, whose texts are its contexts.

    Left behind, since these forms have no place for them: turns, thresholds, severity and review. Raises GoldError
    for a question that SQuAD cannot hold, because none of its answers stands in its file.
    """
    return EXPORTS[kind](questions, corpus)


def _reference(question: Question) -> str:
    if question.unanswerable:
        return NOT_THERE
    if question.aliases:
        return question.aliases[0]
    return "; ".join(_wording(fact) for fact in question.facts)


def _wording(fact: Fact) -> str:
    if fact.number is not None:
        return f"{fact.number} {fact.unit}".strip()
    return next((wording for wording in fact.any if not wording.startswith("re:")), fact.any[0].removeprefix("re:"))


def _to_llama_index(questions: Sequence[Question], corpus: Corpus | None) -> str:
    by = {"model_name": "", "type": "human"}
    examples = [
        {
            "query": q.question,
            "query_by": by,
            "reference_contexts": [source.quote for source in q.sources if source.quote],
            "reference_answer": _reference(q),
            "reference_answer_by": by,
        }
        for q in questions
    ]
    return json.dumps({"class_name": "LabelledRagDataset", "examples": examples}, ensure_ascii=False, indent=2) + "\n"


def _to_ragas(questions: Sequence[Question], corpus: Corpus | None) -> str:
    rows = (
        {
            "user_input": q.question,
            "reference": _reference(q),
            "reference_contexts": [source.quote for source in q.sources if source.quote],
        }
        for q in questions
    )
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _to_promptfoo(questions: Sequence[Question], corpus: Corpus | None) -> str:
    tests: list[dict[str, Any]] = []
    for q in questions:
        tests.append({"description": q.id, "vars": {"question": q.question}, "assert": _asserts(q)})
        if q.unanswerable:
            tests[-1]["metadata"] = {"unanswerable": True}
    return yaml.safe_dump({"tests": tests}, allow_unicode=True, sort_keys=False, width=120)


def _asserts(question: Question) -> list[dict[str, Any]]:
    checks: list[dict[str, Any]] = []
    for fact in question.facts:
        plain = [w for w in fact.any if not w.startswith("re:")] if fact.number is None else [fact.number]
        patterns = [wording[3:] for wording in fact.any if wording.startswith("re:")]
        if patterns and not plain:
            checks.append({"type": "regex", "value": "|".join(f"(?:{pattern})" for pattern in patterns)})
        else:
            checks.append({"type": "icontains-any", "value": plain})
    for pattern in question.must_not_contain:
        kind = "not-regex" if pattern.startswith("re:") else "not-icontains"
        checks.append({"type": kind, "value": pattern.removeprefix("re:")})
    return checks


def _to_squad(questions: Sequence[Question], corpus: Corpus | None) -> str:
    if corpus is None:
        raise GoldError("SQuAD's form holds the texts of the documents.", hint="Name their library with --library.")
    finder = Finder(corpus)
    data: dict[str, list[dict[str, Any]]] = {}
    for question in questions:
        file = question.files[0] if question.files else next(iter(corpus.files()), "")
        text = corpus.text(file)
        if text is None:
            raise GoldError(
                f"The file '{file}' of '{question.id}' is not in the collection.", hint="Run `rag gold lint`."
            )
        spans = [] if question.unanswerable else _answer_spans(question, file, text, finder)
        if not spans and not question.unanswerable:
            raise GoldError(
                f"SQuAD cannot hold '{question.id}': none of its answers stands in '{file}'.",
                hint="Add an alias or a wording that stands there, or leave the question out with --id or --tag.",
            )
        answers = [{"text": text[start:end], "answer_start": start} for start, end in spans]
        row = {"id": question.id, "question": question.question, "answers": answers}
        data.setdefault(file, []).append({**row, "is_impossible": question.unanswerable})
    articles = [
        {"title": file, "paragraphs": [{"context": corpus.text(file), "qas": rows}]} for file, rows in data.items()
    ]
    return json.dumps({"version": "v2.0", "data": articles}, ensure_ascii=False, indent=2) + "\n"


def _answer_spans(question: Question, file: str, text: str, finder: Finder) -> list[Span]:
    """Where the reference answers stand, within the gold quotes if there are any."""
    places = [p for s in question.sources if s.file == file and s.quote for p in finder.quote(file, s.quote, s.page)]
    found = [spans for wording in references_of(question) if (spans := finder.quote(file, wording))]
    for fact in question.facts:
        if fact.number is not None:
            wanted = Decimal(fact.number)
            found.append(tuple((value.start, value.end) for value, readings in numbers(text) if wanted in readings))
    best: list[Span] = []
    for spans in found:
        inside = [span for span in spans if any(a <= span[0] and span[1] <= b for a, b in places)]
        best.extend((inside or list(spans))[:1])
    return best


def _to_csv(questions: Sequence[Question], corpus: Corpus | None) -> str:
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["id", "question", "answer", "source", "quote", "unanswerable", "tags"])
    for q in questions:
        quote = q.sources[0].quote if len(q.sources) == 1 else ""
        answer = "" if q.unanswerable else "|".join(references_of(q)) or _reference(q)
        cells = [q.id, q.question, answer, "|".join(q.files), quote, str(q.unanswerable).lower(), "|".join(q.tags)]
        writer.writerow([_inert(cell) for cell in cells])
    return out.getvalue()


def _inert(cell: str) -> str:
    """A spreadsheet would run a cell that begins like a formula."""
    return f"'{cell}" if cell[:1] in FORMULA else cell


EXPORTS: Mapping[str, Callable[[Sequence[Question], Corpus | None], str]] = {
    "llama-index": _to_llama_index,
    "ragas": _to_ragas,
    "promptfoo": _to_promptfoo,
    "squad": _to_squad,
    "csv": _to_csv,
}
