"""Gold files that must be refused: name, content, the line that is named, words of the message, words of the remedy."""

from __future__ import annotations

from typing import NamedTuple


class Invalid(NamedTuple):
    name: str
    content: str | bytes
    line: int
    message: str
    remedy: str


def _questions(body: str) -> str:
    return f"version: 1\nquestions:\n{body}"


def _question(*lines: str) -> str:
    """A valid start (lines 3 and 4), then ``lines`` from line 5 on."""
    return _questions("- id: q-1\n  question: What?\n" + "".join(f"  {line}\n" for line in lines))


SOURCE = "sources: [{file: a.md}]"

INVALID = [
    Invalid("empty", "", 1, "empty", "version: 1"),
    Invalid("only-a-comment", "# nothing\n", 1, "empty", "version: 1"),
    Invalid("not-utf-8", b"version: 1\nquestions:\n- id: caf\xe9\n", 3, "not UTF-8", "Save it as UTF-8"),
    Invalid("control-character", "version: 1\nquestions: \x07\n", 2, "character", "Remove it"),
    Invalid("tab-indent", "version: 1\nquestions:\n\t- id: a\n", 3, "YAML", "spaces"),
    Invalid("open-quote", 'version: 1\nquestions:\n- id: "a\n', 4, "YAML", "quotes"),
    Invalid("open-bracket", "version: 1\nquestions: [\n", 3, "YAML", "indentation"),
    Invalid("two-documents", "version: 1\n---\nversion: 1\n", 2, "YAML", "one document"),
    Invalid("anchor", "version: 1\nquestions: &q\n- id: a\n", 2, "alias", "Write the value out"),
    Invalid("alias", "version: 1\nquestions: *q\n", 2, "alias", "Write the value out"),
    Invalid("top-is-a-list", "- id: a\n", 1, "must be a mapping, not a list", "questions"),
    Invalid("top-is-text", "hello\n", 1, "must be a mapping, not a text", "questions"),
    Invalid("no-version", "questions: []\n", 1, "no 'version'", "Add 'version:'"),
    Invalid("version-2", "version: 2\nquestions: []\n", 1, "version is '2'", "reads version 1"),
    Invalid("no-questions", "version: 1\n", 1, "no 'questions'", "Add 'questions:'"),
    Invalid("no-question-in-list", "version: 1\nquestions: []\n", 2, "no questions", "at least one"),
    Invalid("questions-is-a-mapping", "version: 1\nquestions: {a: b}\n", 2, "must be a list", "- "),
    Invalid("unknown-top-key", "version: 1\nquestion:\n- id: a\n", 2, "Unknown key 'question'", "'questions'"),
    Invalid("key-twice", "version: 1\nversion: 1\nquestions: []\n", 2, "twice", "Keep one"),
    Invalid("unknown-default", "version: 1\ndefaults: {j: 5}\nquestions: []\n", 2, "'j' in 'defaults'", "k"),
    Invalid("k-is-text", "version: 1\ndefaults: {k: five}\nquestions: []\n", 2, "not a number", "digits"),
    Invalid("k-is-0", "version: 1\ndefaults: {k: 0}\nquestions: []\n", 2, "'k' is 0", "between 1 and 100"),
    Invalid("k-is-half", "version: 1\ndefaults: {k: 2.5}\nquestions: []\n", 2, "'k' is 2.5", "whole number"),
    Invalid("repeats-1000", "version: 1\ndefaults: {repeats: 1000}\nquestions: []\n", 2, "1000", "between"),
    Invalid("question-is-text", _questions("- hello\n"), 3, "must be a mapping", "id"),
    Invalid("no-id", _questions("- question: What?\n"), 3, "no 'id'", "Add 'id:'"),
    Invalid("id-is-empty", _questions("- id: ''\n  question: What?\n"), 3, "empty", "Give it a value"),
    Invalid("id-with-space", _questions("- id: a b\n  question: What?\n"), 3, "'a b' is not allowed", "letters"),
    Invalid("id-is-a-list", _questions("- id: [a]\n  question: What?\n"), 3, "must be a text, not a list", "quotes"),
    Invalid(
        "id-twice",
        _questions(f"- id: a\n  question: What?\n  {SOURCE}\n- id: a\n  question: Who?\n  {SOURCE}\n"),
        6,
        "'a' is taken by the question of line 3",
        "its own id",
    ),
    Invalid("no-question", _questions("- id: a\n"), 3, "no 'question'", "Add 'question:'"),
    Invalid("question-is-null", _questions("- id: a\n  question:\n"), 4, "empty", "Give it a value"),
    Invalid("misspelt-key", _question("souces: [{file: a.md}]"), 5, "Unknown key 'souces'", "'sources'"),
    Invalid("nothing-to-check", _question("tags: [a]"), 3, "nothing to check", "Add 'facts'"),
    Invalid("type-tag", _question("question2: x").replace("What?", "!!int 3"), 5, "question2", "'question'"),
    Invalid("python-tag", _question(SOURCE).replace("What?", "!!python/name:os.system x"), 4, "type tag", "Remove"),
    Invalid("unanswerable-maybe", _question("unanswerable: maybe"), 5, "'maybe'", "true or false"),
    Invalid(
        "unanswerable-with-facts", _question("unanswerable: true", "facts: [{id: a, any: [b]}]"), 6, "facts", "Remove"
    ),
    Invalid("unanswerable-with-sources", _question("unanswerable: true", SOURCE), 6, "sources", "unanswerable: false"),
    Invalid("tags-is-text", _question("tags: hr", SOURCE), 5, "must be a list", "[a, b]"),
    Invalid("tag-with-space", _question("tags: [a b]", SOURCE), 5, "space or comma", "one word"),
    Invalid("turn-without-bot", _question("turns: [{user: Hi}]", SOURCE), 5, "no 'bot'", "Add 'bot:'"),
    Invalid("fact-without-id", _question("facts: [{any: [a]}]"), 5, "no 'id'", "Add 'id:'"),
    Invalid("fact-without-content", _question("facts: [{id: a}]"), 5, "One of 'any' and 'number'", "any: [...]"),
    Invalid("fact-with-both", _question("facts: [{id: a, any: [b], number: 1}]"), 5, "One of", "number: 5"),
    Invalid("fact-twice", _question("facts:", "- {id: a, any: [b]}", "- {id: a, any: [c]}"), 7, "twice", "its own id"),
    Invalid("any-is-text", _question("facts: [{id: a, any: b}]"), 5, "must be a list", "[a, b]"),
    Invalid("any-is-empty", _question("facts: [{id: a, any: []}]"), 5, "'any'", "at least one"),
    Invalid("any-is-punctuation", _question("facts: [{id: a, any: ['...']}]"), 5, "no letter or digit", "words"),
    Invalid("regex-broken", _question("facts: [{id: a, any: ['re:(b']}]"), 5, "invalid", "backslash"),
    Invalid("regex-of-nothing", _question("facts: [{id: a, any: ['re:b*']}]"), 5, "matches nothing", "at least one"),
    Invalid("forbidden-regex-broken", _question("must_not_contain: ['re:[']"), 5, "must_not_contain", "Correct it"),
    Invalid("number-is-a-word", _question("facts: [{id: a, number: five}]"), 5, "'five', not a number", "digits"),
    Invalid("number-with-comma", _question('facts: [{id: a, number: "1,577"}]'), 5, "not a number", "1577"),
    Invalid("number-is-nan", _question("facts: [{id: a, number: nan}]"), 5, "not a number", "digits"),
    Invalid("tolerance-negative", _question("facts: [{id: a, number: 5, tolerance: -1}]"), 5, "-1", "at least 0"),
    Invalid(
        "tolerance-with-any", _question("facts: [{id: a, any: [b], tolerance: 1}]"), 5, "goes with 'number'", "Remove"
    ),
    Invalid("source-without-file", _question("sources: [{quote: x}]"), 5, "no 'file'", "Add 'file:'"),
    Invalid("source-absolute", _question("sources: [{file: /etc/passwd}]"), 5, "no source name", "relative"),
    Invalid("source-climbs", _question("sources: [{file: ../a.md}]"), 5, "no source name", "relative"),
    Invalid("page-0", _question("sources: [{file: a.pdf, page: 0}]"), 5, "'page' of 'q-1' is 0", "between 1"),
    Invalid("page-is-text", _question("sources: [{file: a.pdf, page: iv}]"), 5, "not a number", "digits"),
    Invalid("unknown-metric", _question(SOURCE, "thresholds: {fact_recal: 1}"), 6, "'fact_recal'", "'fact_recall'"),
    Invalid("metric-without-k", _question(SOURCE, "thresholds: {file_hit: 1}"), 6, "'file_hit'", "file_hit@5"),
    Invalid("threshold-over-1", _question(SOURCE, "thresholds: {file_hit@5: 2}"), 6, "is 2", "between 0 and 1"),
    Invalid("threshold-is-text", _question(SOURCE, "thresholds: {file_hit@5: high}"), 6, "not a number", "digits"),
    Invalid(
        "threshold-of-nothing", _question(SOURCE, "thresholds: {fact_recall: 1}"), 6, "nothing to measure", "facts"
    ),
    Invalid(
        "quote-threshold-without-quote", _question(SOURCE, "thresholds: {passage_hit@5: 1}"), 6, "nothing", "quotes"
    ),
    Invalid(
        "thresholds-is-a-list", _question(SOURCE, "thresholds: [fact_recall]"), 6, "must be a mapping", "key: value"
    ),
    Invalid("severity-high", _question(SOURCE, "severity: high"), 6, "'high'", "must or watch"),
    Invalid("review-without-status", _question(SOURCE, "review: {origin: human}"), 6, "no 'status'", "Add 'status:'"),
    Invalid("review-done", _question(SOURCE, "review: {status: done}"), 6, "'done'", "approved or draft"),
    Invalid("origin-unknown", _question(SOURCE, "review: {status: draft, origin: bob}"), 6, "'bob'", "human"),
    Invalid("key-is-a-list", _questions("- [a]: b\n"), 3, "must be a text", "quotes"),
]
