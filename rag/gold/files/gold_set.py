"""The gold set on disk: read strictly from YAML, and written as YAML that a person likes to edit."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import regex
import yaml

from rag.errors import GoldError
from rag.gold.files import yaml_reader as nodes
from rag.gold.files.disk import write_whole
from rag.gold.files.yaml_reader import Reader, refuse
from rag.gold.metrics.definitions import known_names, metric
from rag.gold.types import Fact, Finding, GoldSet, InvalidGold, Problem, Question, Review, Severity, Source
from rag.types import Turn

T = TypeVar("T")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
FORMAT: Mapping[str, Mapping[str, str]] = {
    "gold set": {
        "version": "version: 1",
        "defaults": "defaults: {k: 5, repeats: 1}",
        "questions": "questions: [{id: leave-007, question: How much leave?, unanswerable: true}]",
    },
    "defaults": {"k": "k: 5", "repeats": "repeats: 3"},
    "question": {
        "id": "id: leave-007",
        "question": 'question: "And part-time?"',
        "tags": "tags: [hr, multi-turn]",
        "turns": 'turns: [{user: "How much leave?", bot: "25 days."}]',
        "unanswerable": "unanswerable: true",
        "facts": 'facts: [{id: days, any: ["15 days", fifteen days]}]',
        "must_not_contain": 'must_not_contain: ["25 days"]',
        "sources": "sources: [{file: hr/leave.pdf, page: 4, quote: the pro rata entitlement is 15 days}]",
        "aliases": "aliases: [Fifteen days a year.]",
        "thresholds": 'thresholds: {fact_recall: 1.0, "file_hit@5": 1}',
        "severity": "severity: watch",
        "review": "review: {status: approved, origin: human}",
    },
    "turn": {"user": 'user: "How much leave?"', "bot": 'bot: "25 days."'},
    "fact": {
        "id": "id: carry-over",
        "any": 'any: ["15 days", "re:fifteen\\\\s+days"]',
        "number": "number: 5",
        "tolerance": "tolerance: 0.5",
        "unit": "unit: days",
    },
    "source": {"file": "file: hr/leave.pdf", "page": "page: 4", "quote": "quote: the pro rata entitlement is 15 days"},
    "review": {"status": "status: draft", "origin": "origin: model"},
}
"""Every key of a gold file by the mapping it stands in, with an example: what lint proposes and docs/gold.md shows."""


def load_gold(path: str | Path) -> GoldSet:
    """Read a gold set. Raises InvalidGold with file, line and remedy of every problem found, GoldError when the
    file cannot be read."""
    return _whole(*read_gold(path))


def read_gold(path: str | Path) -> tuple[GoldSet, tuple[Problem, ...]]:
    """As much of a gold set as can be read, and every problem found, in order of lines. Raises InvalidGold when the
    file is no YAML or no mapping, GoldError when it cannot be read."""
    root, data = nodes.read_yaml(Path(path))
    return _read(root, str(path), hashlib.sha256(data).hexdigest())


def parse_gold(text: str, path: str = "gold.yaml") -> GoldSet:
    """The gold set in a text; ``path`` names it in problems. Raises what ``load_gold`` raises."""
    return _whole(*_read(nodes.parse_yaml(text, path), path, hashlib.sha256(text.encode()).hexdigest()))


def _whole(gold: GoldSet, problems: tuple[Problem, ...]) -> GoldSet:
    if problems:
        raise InvalidGold(gold.path, problems)
    return gold


def _read(root: yaml.Node, path: str, sha256: str) -> tuple[GoldSet, tuple[Problem, ...]]:
    reader = Reader(FORMAT)
    top = reader.mapping(root, "The gold set", "gold set", ("version", "questions"))
    reader.given(top, "version", _version, None)
    defaults = reader.mapping(top["defaults"], "'defaults'", "defaults") if "defaults" in top else {}
    k = reader.given(defaults, "k", lambda node: nodes.whole(node, "'k'", 1, 100), 5)
    repeats = reader.given(defaults, "repeats", lambda node: nodes.whole(node, "'repeats'", 1, 100), 1)
    questions = reader.each(reader.given(top, "questions", _entries, []), lambda node: _question(reader, node))
    first: dict[str, int] = {}
    for question in questions:
        if question.id in first:
            where = f"The id '{question.id}' is taken by the question of line {first[question.id]}."
            reader.problems.append(Problem(question.line, where, "Give each question its own id."))
        first.setdefault(question.id, question.line)
    problems = tuple(sorted(reader.problems, key=lambda problem: problem.line))
    return GoldSet(path, questions, k, repeats, sha256, tuple(first)), problems


def _version(node: yaml.Node) -> None:
    if (version := nodes.text(node, "The version")) != "1":
        refuse(node, f"The version is '{version[:40]}'.", "This program reads version 1.")


def _entries(node: yaml.Node) -> list[yaml.Node]:
    entries = nodes.items(node, "'questions'")
    if not entries:
        refuse(node, "There are no questions.", f"Add at least one. For example {FORMAT['gold set']['questions']}")
    return entries


def _question(reader: Reader, node: yaml.Node) -> Question | None:
    """The question as far as it can be read; ``None`` without an id, by which everything names it."""
    sound = len(reader.problems)
    keys = reader.mapping(node, "The question", "question", ("id", "question"))
    name = reader.given(keys, "id", _id, "")
    what = f"'{name}'"

    def given(key: str, read: Callable[[yaml.Node], T], default: T) -> T:
        return reader.given(keys, key, read, default)

    def each(key: str, read: Callable[[yaml.Node], T | None]) -> tuple[T, ...]:
        return given(key, lambda node: reader.each(nodes.items(node, f"'{key}' of {what}"), read), ())

    question = Question(
        id=name,
        question=given("question", lambda node: nodes.text(node, f"The question {what}"), ""),
        tags=each("tags", lambda node: _tag(node, what)),
        turns=each("turns", lambda node: _turn(reader, node, what)),
        unanswerable=given("unanswerable", lambda node: nodes.switch(node, f"'unanswerable' of {what}"), False),
        facts=each("facts", lambda node: _fact(reader, node, what)),
        must_not_contain=each("must_not_contain", lambda node: _pattern(node, f"'must_not_contain' of {what}")),
        sources=each("sources", lambda node: _source(reader, node, what)),
        aliases=each("aliases", lambda node: nodes.text(node, f"An entry of 'aliases' of {what}")),
        thresholds=given("thresholds", lambda node: _thresholds(reader, node, what), {}),
        severity=given("severity", lambda node: _severity(node, what), "must"),
        review=given("review", lambda node: _review(reader, node, what), Review()),
        line=nodes.line_of(node),
    )
    for place, fact in enumerate(question.facts):
        if any(fact.id == other.id for other in question.facts[:place]) and len(reader.problems) == sound:
            entry = nodes.items(keys["facts"], "'facts'")[place]
            refuse(entry, f"The fact '{fact.id}' stands twice in {what}.", "Give each fact its own id.")
    if len(reader.problems) == sound:
        reader.attempt(lambda: _check_sense(question, keys, node), None)
    return question if name else None


def _id(node: yaml.Node) -> str:
    name = nodes.text(node, "The id", limit=200)
    if not _NAME.fullmatch(name):
        refuse(node, f"The id '{name[:60]}' is not allowed.", "Use up to 80 letters, digits, '.', '_' or '-'.")
    return name


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


def _tag(node: yaml.Node, what: str) -> str:
    tag = nodes.text(node, f"A tag of {what}")
    if any(character.isspace() or character == "," for character in tag):
        refuse(node, f"The tag '{tag[:60]}' of {what} has a space or comma.", "Use one word, with '-' inside.")
    return tag


def _turn(reader: Reader, node: yaml.Node, what: str) -> Turn | None:
    keys = reader.mapping(node, f"A turn of {what}", "turn", ("user", "bot"))
    if set(keys) != {"user", "bot"}:
        return None
    return Turn(nodes.text(keys["user"], f"'user' of {what}"), nodes.text(keys["bot"], f"'bot' of {what}"))


def _fact(reader: Reader, node: yaml.Node, what: str) -> Fact | None:
    sound = len(reader.problems)
    keys = reader.mapping(node, f"A fact of {what}", "fact", ("id",))
    if len(reader.problems) > sound:
        return None
    name = nodes.text(keys["id"], f"The id of a fact of {what}", limit=80)
    where = f"the fact '{name}' of {what}"
    if ("any" in keys) == ("number" in keys):
        refuse(node, f"One of 'any' and 'number' must stand in {where}.", "Use 'any: [...]' or 'number: 5'.")
    if "any" in keys:
        for key in ("tolerance", "unit"):
            if key in keys:
                refuse(keys[key], f"'{key}' goes with 'number', not with 'any', in {where}.", f"Remove '{key}'.")
        entries = nodes.items(keys["any"], f"'any' of {where}")
        if not entries:
            refuse(keys["any"], f"'any' of {where} is empty.", "Give at least one wording.")
        wordings = reader.each(entries, lambda entry: _pattern(entry, f"'any' of {where}"))
        return Fact(name, any=wordings) if wordings else None
    nodes.number(keys["number"], f"'number' of {where}")
    if "tolerance" in keys:
        nodes.number(keys["tolerance"], f"'tolerance' of {where}", least=0)
    return Fact(
        name,
        number=nodes.text(keys["number"], where),
        tolerance=nodes.text(keys["tolerance"], where) if "tolerance" in keys else "0",
        unit=nodes.text(keys["unit"], f"'unit' of {where}", limit=80) if "unit" in keys else "",
    )


def _pattern(node: yaml.Node, what: str) -> str:
    """A wording: a plain text, or a valid regular expression after ``re:``."""
    wording = nodes.text(node, f"An entry of {what}")
    if wording.startswith("re:"):
        try:
            empty = regex.compile(wording[3:]).match("") is not None
        except regex.error as error:
            remedy = "Correct it; in double quotes a backslash is written twice."
            refuse(node, f"The regular expression '{wording[3:83]}' in {what} is invalid: {error}.", remedy)
        if empty:
            refuse(node, f"The regular expression '{wording[3:83]}' in {what} matches nothing at all.",
                   "Make it ask for at least one character.")  # fmt: skip
    elif not any(character.isalnum() for character in wording):
        refuse(node, f"The wording '{wording[:60]}' in {what} has no letter or digit.", "Write words or numbers.")
    return wording


def _source(reader: Reader, node: yaml.Node, what: str) -> Source | None:
    keys = reader.mapping(node, f"A source of {what}", "source", ("file",))
    if "file" not in keys:
        return None
    file = nodes.text(keys["file"], f"'file' of {what}", limit=1_000)
    if file.startswith("/") or "\\" in file or ".." in file.split("/"):
        remedy = "Write the path relative to the ingested folder, with '/'."
        refuse(keys["file"], f"The file '{file[:80]}' of {what} is no source name.", remedy)
    page = nodes.whole(keys["page"], f"'page' of {what}", 1, 100_000) if "page" in keys else None
    quote = nodes.text(keys["quote"], f"'quote' of {what}") if "quote" in keys else ""
    return Source(file, page, quote, nodes.line_of(keys.get("quote", keys["file"])))


def _thresholds(reader: Reader, node: yaml.Node, what: str) -> Mapping[str, float]:
    if not isinstance(node, yaml.MappingNode):
        refuse(node, f"'thresholds' of {what} must be a mapping.", "Write 'key: value', as fact_recall: 1.0")
    limits: dict[str, float] = {}
    for key, value in node.value:
        reader.attempt(lambda key=key, value=value: _threshold(limits, key, value, what), None)  # type: ignore[misc]
    return limits


def _threshold(limits: dict[str, float], key: yaml.Node, value: yaml.Node, what: str) -> None:
    name = nodes.text(key, f"A threshold of {what}")
    found = metric(name)
    if found is None:
        close = get_close_matches(name, known_names(), n=1)
        remedy = f"Did you mean '{close[0]}'?" if close else f"The metrics are {', '.join(known_names())}."
        refuse(key, f"Unknown metric '{name[:60]}' in 'thresholds' of {what}.", remedy)
    if name in limits:
        refuse(key, f"The key '{name}' stands twice in 'thresholds' of {what}.", "Keep one of them.")
    most = 1.0 if found.unit == "share" else None
    limits[name] = nodes.number(value, f"The threshold '{name}' of {what}", least=0, most=most)


def _severity(node: yaml.Node, what: str) -> Severity:
    return "must" if nodes.choice(node, f"'severity' of {what}", ("must", "watch")) == "must" else "watch"


def _review(reader: Reader, node: yaml.Node, what: str) -> Review:
    keys = reader.mapping(node, f"'review' of {what}", "review", ("status",))
    if "status" not in keys:
        return Review()
    status = nodes.choice(keys["status"], f"'status' of {what}", ("approved", "draft"))
    origins = ("human", "model", "feedback", "import")
    origin = nodes.choice(keys["origin"], f"'origin' of {what}", origins) if "origin" in keys else "human"
    return Review(status, origin)  # type: ignore[arg-type]


def gold_yaml(questions: Sequence[Question], *, k: int = 5, repeats: int = 1) -> str:
    """A whole gold file. Reading it back gives the same questions."""
    head = f"version: 1\ndefaults: {{k: {k}, repeats: {repeats}}}\nquestions:\n"
    return head + "".join(f"\n{entry}" for entry in entries(questions))


def entries(questions: Sequence[Question]) -> Iterator[str]:
    """Each question as an entry of the list, without what is as it would be anyway."""
    for question in questions:
        entry = [_entry(question)]
        yield yaml.dump(entry, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)


class _Dumper(yaml.SafeDumper):
    """Puts texts with characters that a YAML reader would fold or refuse between double quotes, escaped."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        style = None if text.isprintable() else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    yaml_representers: ClassVar[dict[Any, Any]] = {**yaml.SafeDumper.yaml_representers, str: represent_text}


def _entry(question: Question) -> dict[str, Any]:
    plain = {
        "id": question.id,
        "tags": list(question.tags),
        "turns": [{"user": turn.user, "bot": turn.bot} for turn in question.turns],
        "question": question.question,
        "unanswerable": question.unanswerable,
        "facts": [_fact_entry(fact) for fact in question.facts],
        "must_not_contain": list(question.must_not_contain),
        "aliases": list(question.aliases),
        "sources": [_given(file=s.file, page=s.page, quote=s.quote) for s in question.sources],
        "thresholds": dict(question.thresholds),
    }
    review = {"status": question.review.status, "origin": question.review.origin}
    return {**_given(**plain), "severity": question.severity, "review": review}


def _given(**entry: Any) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if value}


def _fact_entry(fact: Fact) -> dict[str, Any]:
    if fact.number is None:
        return {"id": fact.id, "any": list(fact.any)}
    return {"id": fact.id, "number": fact.number, "tolerance": fact.tolerance, **_given(unit=fact.unit)}


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


def rebased(text: str, path: str, findings: Sequence[Finding]) -> str:
    """The gold file ``text`` with each finding's source set to what stands in the documents now; all else stays as it
    is written. Findings with nothing to put in their place are passed over. Raises InvalidGold for an invalid file."""
    reader = Reader(FORMAT)
    top = reader.mapping(nodes.parse_yaml(text, path), "The gold set", "gold set")
    by_id: dict[str, dict[str, yaml.Node]] = {}
    for node in nodes.items(top["questions"], "'questions'"):
        keys = reader.mapping(node, "The question", "question")
        by_id[nodes.text(keys["id"], "The id")] = keys
    edits: list[tuple[int, int, str]] = []
    for finding in findings:
        source = nodes.items(by_id[finding.id]["sources"], "'sources'")[finding.source]
        entry = reader.mapping(source, "A source", "source")
        page = str(finding.page_now) if finding.page_now is not None else ""
        for key, now in (("file", quoted(finding.file_now)), ("page", page), ("quote", quoted(finding.quote_now))):
            if now.strip('"'):
                start, end = entry[key].start_mark.index, entry[key].end_mark.index
                edits.append((start, start + len(text[start:end].rstrip()), now))
    for start, end, now in sorted(edits, reverse=True):
        text = text[:start] + now + text[end:]
    parse_gold(text, path)
    return text


def quoted(text: str) -> str:
    """A double-quoted YAML scalar on one line."""
    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=10**9).rstrip("\n")
