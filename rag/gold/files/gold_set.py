"""The gold set on disk: read strictly from YAML, and written as YAML that a person likes to edit."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType

import yaml

from rag.errors import GoldError
from rag.gold.files import yaml_reader as nodes
from rag.gold.files.disk import write_whole
from rag.gold.files.yaml_reader import Reader, refuse
from rag.gold.metrics.definitions import known_names, metric
from rag.gold.types import Fact, GoldSet, InvalidGold, Problem, Question, Review, Severity, Source
from rag.types import EMPTY, Turn

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_QUESTION_KEYS = (
    "id", "tags", "turns", "question", "unanswerable", "facts", "must_not_contain", "sources", "aliases",
    "thresholds", "severity", "review",
)  # fmt: skip


def load_gold(path: str | Path) -> GoldSet:
    """Read a gold set. Raises InvalidGold with file, line and remedy of every problem found, GoldError when the
    file cannot be read."""
    root, data = nodes.read_yaml(Path(path))
    return _read(root, str(path), hashlib.sha256(data).hexdigest())


def parse_gold(text: str, path: str = "gold.yaml") -> GoldSet:
    """The same from a text; ``path`` names it in problems."""
    return _read(nodes.parse_yaml(text, path), path, hashlib.sha256(text.encode()).hexdigest())


def _read(root: yaml.Node, path: str, sha256: str) -> GoldSet:
    reader = Reader()
    gold = reader.attempt(lambda: _gold_set(reader, root, path, sha256))
    if gold is None or reader.problems:
        raise InvalidGold(path, tuple(sorted(reader.problems, key=lambda problem: problem.line)))
    return gold


def _gold_set(reader: Reader, root: yaml.Node, path: str, sha256: str) -> GoldSet:
    top = nodes.mapping(root, "The gold set", ("version", "defaults", "questions"), ("version", "questions"))
    if (version := nodes.text(top["version"], "The version")) != "1":
        refuse(top["version"], f"The version is '{version[:40]}'.", "This program reads version 1.")
    defaults = nodes.mapping(top["defaults"], "'defaults'", ("k", "repeats")) if "defaults" in top else {}
    k = nodes.whole(defaults["k"], "'k'", 1, 100) if "k" in defaults else 5
    repeats = nodes.whole(defaults["repeats"], "'repeats'", 1, 100) if "repeats" in defaults else 1
    entries = nodes.items(top["questions"], "'questions'")
    if not entries:
        refuse(top["questions"], "There are no questions.", "Add at least one.")
    questions = reader.each(entries, _question)
    first: dict[str, int] = {}
    for question in questions:
        if question.id in first:
            where = f"The id '{question.id}' is taken by the question of line {first[question.id]}."
            reader.problems.append(Problem(question.line, where, "Give each question its own id."))
        first.setdefault(question.id, question.line)
    return GoldSet(path, questions, k, repeats, sha256, tuple(first))


def _question(node: yaml.Node) -> Question:
    keys = nodes.mapping(node, "The question", _QUESTION_KEYS, ("id", "question"))
    name = nodes.text(keys["id"], "The id", limit=200)
    if not _ID.fullmatch(name):
        refuse(keys["id"], f"The id '{name[:60]}' is not allowed.", "Use up to 80 letters, digits, '.', '_' or '-'.")
    what = f"'{name}'"
    question = Question(
        id=name,
        question=nodes.text(keys["question"], f"The question {what}"),
        tags=_tags(keys["tags"], what) if "tags" in keys else (),
        turns=tuple(_turn(entry, what) for entry in nodes.items(keys["turns"], f"'turns' of {what}"))
        if "turns" in keys
        else (),
        unanswerable="unanswerable" in keys and nodes.switch(keys["unanswerable"], f"'unanswerable' of {what}"),
        facts=_facts(keys["facts"], what) if "facts" in keys else (),
        must_not_contain=_patterns(keys["must_not_contain"], f"'must_not_contain' of {what}")
        if "must_not_contain" in keys
        else (),
        sources=_sources(keys["sources"], what) if "sources" in keys else (),
        aliases=nodes.texts(keys["aliases"], f"'aliases' of {what}") if "aliases" in keys else (),
        thresholds=_thresholds(keys["thresholds"], what) if "thresholds" in keys else EMPTY,
        severity=_severity(keys["severity"], what) if "severity" in keys else "must",
        review=_review(keys["review"], what) if "review" in keys else Review(),
        line=nodes.line_of(node),
    )
    _check_sense(question, keys, node)
    return question


def _check_sense(question: Question, keys: Mapping[str, yaml.Node], node: yaml.Node) -> None:
    """Refuse what contradicts itself or checks nothing."""
    name = f"'{question.id}'"
    if question.unanswerable:
        for key, given in (("facts", question.facts), ("sources", question.sources), ("aliases", question.aliases)):
            if given:
                remedy = f"Remove '{key}', or set 'unanswerable: false'."
                refuse(keys[key], f"The unanswerable question {name} has {key}.", remedy)
    elif question.review.status == "approved" and not (
        question.facts or question.sources or question.aliases or question.must_not_contain
    ):
        refuse(node, f"The question {name} has nothing to check.", "Add 'facts' or 'sources', or 'unanswerable: true'.")
    placed, quoted = bool(question.sources), any(source.quote for source in question.sources)
    needs = {"fact_recall": bool(question.facts), "file_": placed, "cited_file": placed}
    needs.update({"passage_": quoted, "character_": quoted})
    for threshold in question.thresholds:
        for start, there in needs.items():
            if threshold.startswith(start) and not there:
                remedy = "Add what it measures (facts, sources or quotes), or remove the threshold."
                refuse(keys["thresholds"], f"The threshold '{threshold}' of {name} has nothing to measure.", remedy)


def _tags(node: yaml.Node, what: str) -> tuple[str, ...]:
    tags = nodes.texts(node, f"'tags' of {what}")
    for tag in tags:
        if any(character.isspace() or character == "," for character in tag):
            refuse(node, f"The tag '{tag[:60]}' of {what} has a space or comma.", "Use one word, with '-' inside.")
    return tags


def _turn(node: yaml.Node, what: str) -> Turn:
    keys = nodes.mapping(node, f"A turn of {what}", ("user", "bot"), ("user", "bot"))
    return Turn(nodes.text(keys["user"], f"'user' of {what}"), nodes.text(keys["bot"], f"'bot' of {what}"))


def _facts(node: yaml.Node, what: str) -> tuple[Fact, ...]:
    facts: list[Fact] = []
    for entry in nodes.items(node, f"'facts' of {what}"):
        fact = _fact(entry, what)
        if any(fact.id == other.id for other in facts):
            refuse(entry, f"The fact '{fact.id}' stands twice in {what}.", "Give each fact its own id.")
        facts.append(fact)
    return tuple(facts)


def _fact(node: yaml.Node, what: str) -> Fact:
    keys = nodes.mapping(node, f"A fact of {what}", ("id", "any", "number", "tolerance", "unit"), ("id",))
    name = nodes.text(keys["id"], f"The id of a fact of {what}", limit=80)
    where = f"the fact '{name}' of {what}"
    if ("any" in keys) == ("number" in keys):
        refuse(node, f"One of 'any' and 'number' must stand in {where}.", "Use 'any: [...]' or 'number: 5'.")
    if "any" in keys:
        for key in ("tolerance", "unit"):
            if key in keys:
                refuse(keys[key], f"'{key}' goes with 'number', not with 'any', in {where}.", f"Remove '{key}'.")
        if not (wordings := _patterns(keys["any"], f"'any' of {where}")):
            refuse(keys["any"], f"'any' of {where} is empty.", "Give at least one wording.")
        return Fact(name, any=wordings)
    nodes.number(keys["number"], f"'number' of {where}")
    if "tolerance" in keys:
        nodes.number(keys["tolerance"], f"'tolerance' of {where}", least=0)
    return Fact(
        name,
        number=nodes.text(keys["number"], where),
        tolerance=nodes.text(keys["tolerance"], where) if "tolerance" in keys else "0",
        unit=nodes.text(keys["unit"], f"'unit' of {where}", limit=80) if "unit" in keys else "",
    )


def _patterns(node: yaml.Node, what: str) -> tuple[str, ...]:
    """Wordings, each a plain text or a valid regular expression after ``re:``."""
    found: list[str] = []
    for entry in nodes.items(node, what):
        wording = nodes.text(entry, f"An entry of {what}")
        if wording.startswith("re:"):
            try:
                empty = re.compile(wording[3:]).match("") is not None
            except re.error as error:
                remedy = "Correct it; in double quotes a backslash is written twice."
                refuse(entry, f"The regular expression '{wording[3:83]}' in {what} is invalid: {error}.", remedy)
            if empty:
                refuse(entry, f"The regular expression '{wording[3:83]}' in {what} matches nothing at all.",
                       "Make it ask for at least one character.")  # fmt: skip
        elif not any(character.isalnum() for character in wording):
            refuse(entry, f"The wording '{wording[:60]}' in {what} has no letter or digit.", "Write words or numbers.")
        found.append(wording)
    return tuple(found)


def _sources(node: yaml.Node, what: str) -> tuple[Source, ...]:
    return tuple(_source(entry, what) for entry in nodes.items(node, f"'sources' of {what}"))


def _source(node: yaml.Node, what: str) -> Source:
    keys = nodes.mapping(node, f"A source of {what}", ("file", "page", "quote"), ("file",))
    file = nodes.text(keys["file"], f"'file' of {what}", limit=1_000)
    if file.startswith("/") or "\\" in file or ".." in file.split("/"):
        remedy = "Write the path relative to the ingested folder, with '/'."
        refuse(keys["file"], f"The file '{file[:80]}' of {what} is no source name.", remedy)
    page = nodes.whole(keys["page"], f"'page' of {what}", 1, 100_000) if "page" in keys else None
    quote = nodes.text(keys["quote"], f"'quote' of {what}") if "quote" in keys else ""
    return Source(file, page, quote, nodes.line_of(keys.get("quote", keys["file"])))


def _thresholds(node: yaml.Node, what: str) -> Mapping[str, float]:
    if isinstance(node, yaml.MappingNode):
        for key, _ in node.value:
            name = nodes.text(key, f"A threshold of {what}")
            if metric(name) is None:
                close = get_close_matches(name, known_names(), n=1)
                remedy = f"Did you mean '{close[0]}'?" if close else "The README lists the metrics."
                refuse(key, f"Unknown metric '{name[:60]}' in 'thresholds' of {what}.", remedy)
    known = [str(key.value) for key, _ in node.value] if isinstance(node, yaml.MappingNode) else ["fact_recall"]
    limits: dict[str, float] = {}
    for name, value in nodes.mapping(node, f"'thresholds' of {what}", known).items():
        found = metric(name)
        most = 1.0 if found is not None and found.unit == "share" else None
        limits[name] = nodes.number(value, f"The threshold '{name}' of {what}", least=0, most=most)
    return MappingProxyType(limits)


def _severity(node: yaml.Node, what: str) -> Severity:
    return "must" if nodes.choice(node, f"'severity' of {what}", ("must", "watch")) == "must" else "watch"


def _review(node: yaml.Node, what: str) -> Review:
    keys = nodes.mapping(node, f"'review' of {what}", ("status", "origin"), ("status",))
    status = nodes.choice(keys["status"], f"'status' of {what}", ("approved", "draft"))
    origins = ("human", "model", "feedback", "import")
    origin = nodes.choice(keys["origin"], f"'origin' of {what}", origins) if "origin" in keys else "human"
    return Review(status, origin)  # type: ignore[arg-type]


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
        yield from (f"  - {_fact_line(fact)}" for fact in question.facts)
    for key, texts in (("must_not_contain", question.must_not_contain), ("aliases", question.aliases)):
        if texts:
            yield f"  {key}: [{', '.join(map(quoted, texts))}]"
    if question.sources:
        yield "  sources:"
        for source in question.sources:
            yield from _source_lines(source)
    if question.thresholds:
        limits = ", ".join(f"{quoted(name)}: {value:g}" for name, value in question.thresholds.items())
        yield f"  thresholds: {{{limits}}}"
    yield f"  severity: {question.severity}"
    yield f"  review: {{status: {question.review.status}, origin: {question.review.origin}}}"


def _fact_line(fact: Fact) -> str:
    if fact.number is None:
        return f"{{id: {quoted(fact.id)}, any: [{', '.join(map(quoted, fact.any))}]}}"
    unit = f", unit: {quoted(fact.unit)}" if fact.unit else ""
    return f"{{id: {quoted(fact.id)}, number: {fact.number}, tolerance: {fact.tolerance}{unit}}}"


def _source_lines(source: Source) -> Iterator[str]:
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
