"""Answers, hits and reports as plain text for a terminal. Documents' control characters never reach it."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rag.documents.formats import shown
from rag.text import counted
from rag.text import safe as safe
from rag.types import (
    INGEST_STATUSES,
    Answer,
    Check,
    Citation,
    Claim,
    Document,
    Hit,
    IngestEvent,
    IngestReport,
    IngestStatus,
    Repair,
    Sentence,
    Support,
    UnreadFile,
    unchecked_told,
)

if TYPE_CHECKING:
    from rag.sync import MirroredFolder

_SOFT_BREAK = re.compile(r"(?<!\n)\n(?![\n\s]|[-*•] |\d+[.)] )")
_WIDTH = 100
_NARROWEST = 20
_LONGEST_SIDE = 240
_NAMED = 10
_CHANGES: frozenset[IngestStatus] = frozenset({"added", "updated", "moved", "removed"})
_FLAGS = {
    Support.UNSUPPORTED: "not supported by the passage it cites",
    Support.UNCITED: "not in your documents",
    Support.PARTIAL: "only partly supported",
}
_STATES = {"ok": "ok  ", "warn": "warn", "bad": "BAD "}


def one_line(text: str, width: int = _WIDTH) -> str:
    """Text on one line of at most ``width`` characters."""
    return textwrap.shorten(safe(text), width, placeholder=" …")


def screen_width(*, errors: bool = False) -> int | None:
    """Columns of the terminal that the standard output (or that for errors) is; None where it is a file or a pipe."""
    if not (sys.stderr if errors else sys.stdout).isatty():
        return None
    return shutil.get_terminal_size((_WIDTH, 24)).columns


def fitted(text: str, width: int | None) -> str:
    """Text whose lines are broken between words at ``width`` columns, indented as they begin; as it is for None."""
    if width is None:
        return text
    return "\n".join(_broken(line, max(width, _NARROWEST)) for line in text.split("\n"))


def _broken(line: str, width: int) -> str:
    indent = line[: len(line) - len(line.lstrip(" "))]
    if len(line) <= width:
        return line
    return textwrap.fill(
        line.lstrip(" "), width, initial_indent=indent, subsequent_indent=indent, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def place(citation: Citation) -> str:
    """Where a citation points: file, place, heading."""
    return _place(citation.source, citation.where, citation.heading)


def _place(source: str, where: str, heading: Sequence[str]) -> str:
    parts = [one_line(source)]
    if where:
        parts.append(one_line(where, 120))
    if heading:
        parts.append(f"“{one_line(heading[-1], 60)}”")
    return ", ".join(parts)


def answer_text(answer: Answer, width: int | None = None) -> str:
    """The answer with its flags, footnotes, disagreements, notices; for an abstention the nearest passages.

    Broken at ``width`` columns, where one is given.
    """
    blocks = [_flagged(replace(answer, text=_unbroken(answer)))]
    if answer.citations:
        blocks.append("\n".join(_footnote(c, width or _WIDTH) for c in answer.citations))
    for item in answer.disagreements:
        sides = "\n".join(f"  - {_side(claim)}" for claim in item.claims)
        told = "Changed by a later document:" if item.changed else "The sources disagree on"
        blocks.append(f"{told} {safe(item.subject)}:\n{sides}")
        known = {citation.marker for citation in answer.citations}
        more = {c.citation.marker: c.citation for c in item.claims if c.citation.marker not in known}
        blocks.extend(_footnote(citation, width or _WIDTH) for citation in more.values())
    if answer.abstained and answer.hits and not answer.citations:
        blocks.append("Nearest passages:\n" + "\n".join(_nearest(hit) for hit in answer.hits[:3]))
    unchecked = unchecked_told((sentence.support, sentence.unchecked) for sentence in answer.sentences)
    blocks.extend(f"Note: {safe(notice)}" for notice in (unchecked, *answer.notices, answer.unread.told) if notice)
    return fitted("\n\n".join(blocks), width)


def _unbroken(answer: Answer) -> str:
    """The answer's text without the line breaks that its sentences brought from their source; as long as it was. The
    rows of tables and lists stay on lines of their own."""
    text = answer.text
    for sentence in answer.sentences:
        if "|" not in sentence.text:
            joined = _SOFT_BREAK.sub(" ", text[sentence.start : sentence.end])
            text = text[: sentence.start] + joined + text[sentence.end :]
    return text


def _side(claim: Claim) -> str:
    """One side of a disagreement: where it stands, the source's date if it has one, what it says."""
    dated = f" ({one_line(claim.date)})" if claim.date else ""
    return f"{place(claim.citation)}{dated}: {one_line(claim.value, _LONGEST_SIDE)} [{claim.citation.marker}]"


def _flagged(answer: Answer) -> str:
    text, out, at = answer.text, "", 0
    for sentence in answer.sentences:
        flag = flag_of(sentence)
        if flag:
            end = sentence.end - sentence.text.endswith("|")  # within the last cell of a table's row
            stop = max([end, *(m.end for m in answer.markers if end <= m.start <= end + 12)])
            out += text[at:stop] + f" (⚠ {flag})"
            at = stop
    return safe(out + text[at:])


def flag_of(sentence: Sentence) -> str:
    """What to warn of in a sentence, or nothing."""
    return _FLAGS.get(sentence.support, "")


def _footnote(citation: Citation, width: int) -> str:
    origin = {"attributed": " (found by this program)", "corrected": " (corrected by this program)"}
    head = f"[{citation.marker}] {place(citation)}, characters {citation.start}-{citation.end}"
    quote = textwrap.fill(
        f"“{safe(' '.join(citation.quote.split()))}”",
        max(min(width, _WIDTH), _NARROWEST),
        initial_indent="    ",
        subsequent_indent="    ",
    )
    return f"{head}{origin.get(citation.origin, '')}\n{quote}"


def _nearest(hit: Hit) -> str:
    passage = hit.passage
    return f"  - {_place(passage.source, passage.place, passage.heading)}: {one_line(passage.text, 160)}"


def hits_text(hits: Sequence[Hit]) -> str:
    """Search results, numbered."""
    rows = []
    for number, hit in enumerate(hits, start=1):
        passage = hit.passage
        where = _place(passage.source, passage.place, passage.heading)
        rows.append(f"{number}. {where}  (score {hit.score:.2f})\n   {one_line(passage.text, 240)}")
    return "\n".join(rows) or "Nothing found."


def sources_text(documents: Sequence[Document]) -> str:
    """The documents of a collection, a line each."""
    rows = []
    for d in documents:
        pages = f", {counted(d.pages, 'page')}" if d.pages else ""
        empty = f" ({d.empty_pages} without text)" if d.empty_pages else ""
        rows.append(f"{one_line(d.source)}  —  {counted(d.passages, 'passage')}{pages}{empty}")
    return "\n".join(rows) or "No documents."


def repair_text(done: Repair) -> str:
    """What a repair saved and what it could not."""
    again = [f"{counted(done.vectors, 'vector')} were made again." if done.vectors else ""]
    if done.kept is None:
        held = f"{counted(done.documents, 'document')} and {counted(done.conversations, 'conversation')}"
        sound = "" if done.vectors else " and nothing had to be done"
        return " ".join(filter(None, [f"The library is sound, with {held}{sound}.", *again]))
    lines = [f"Saved: {counted(done.documents, 'document')}, {counted(done.conversations, 'conversation')}."]
    if done.lost:
        lines.append(f"Lost, to be ingested again: {', '.join(one_line(name) for name in done.lost)}.")
    lines += filter(None, again)
    return "\n".join(
        [*lines, f"The library was written anew; the file as it was is kept until you delete it: {done.kept}"]
    )


def folders_text(folders: Sequence[MirroredFolder]) -> str:
    """The folders that a collection mirrors, a line each."""
    rows = []
    for folder in folders:
        rules = [f"only {', '.join(folder.include)}"] if folder.include else []
        rules += [f"without {', '.join(folder.exclude)}"] if folder.exclude else []
        facts = [counted(folder.documents, "document")]
        facts += [f"{counted(folder.unread, 'file')} not read"] if folder.unread else []
        facts += [] if folder.there else ["the folder is not there now"]
        rows.append(f"{one_line(folder.path)}  —  {safe('; '.join([*rules, ', '.join(facts)]))}")
    return "\n".join(rows) or "No folder is mirrored; `rag sync FOLDER` begins it."


def unread_text(files: Sequence[UnreadFile]) -> str:
    """The files that could not be read, those that failed alike together."""
    events = [IngestEvent(f.source, "failed", 0, 0, error=f.error, hint=f.hint, code=f.code) for f in files]
    return "\n".join(_failures(events)) or "Every file that was found could be read."


def event_text(event: IngestEvent) -> str:
    """What became of one document."""
    return _failures([event])[0] if event.status == "failed" else f"{event.status}: {one_line(event.source)}"


def duration(seconds: float) -> str:
    """A time that is still to pass, in the two units that matter: ``40 s``, ``12 min``, ``2 h 5 min``."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def report_text(report: IngestReport, *, dry_run: bool = False) -> str:
    """The sum of an ingest, the reason for every file that failed, and the documents that go by another name now."""
    counts = [f"{report.count(status)} {status}" for status in INGEST_STATUSES if report.count(status)]
    lines = _failures(report.failed)
    if dry_run:
        changes = [f"{event.status}: {one_line(event.source)}" for event in report.events if event.status in _CHANGES]
        return "\n".join([*lines, *changes, f"Would be: {', '.join(counts) or 'nothing'}. Nothing was changed."])
    passages = sum(e.passages for e in report.events if e.status in ("added", "updated"))
    empty = sum(e.empty_pages for e in report.events if e.status in ("added", "updated"))
    for old, new in (pair for event in report.events for pair in event.renamed):
        lines.append(f"{one_line(old)} is now shown as {one_line(new)}: another document has its name.")
    lines.append(f"{', '.join(counts) or 'nothing to do'}; {counted(passages, 'passage')} in {report.seconds:.1f} s.")
    if empty:
        have = "has" if empty == 1 else "have"
        lines.append(f"{counted(empty, 'page')} {have} no text (scanned, most likely) and cannot be searched.")
    return "\n".join(lines)


def _failures(failed: Sequence[IngestEvent]) -> list[str]:
    """A line for each failed file: name, reason, remedy; one for all that failed alike."""
    alike: dict[tuple[str, str], list[IngestEvent]] = defaultdict(list)
    for event in failed:
        alike[event.error.replace(shown(event.source), "…"), event.hint].append(event)
    lines = []
    for (error, hint), events in alike.items():
        remedy = f" {safe(hint)}" if hint else ""
        if len(events) == 1:
            named = shown(events[0].source) in events[0].error
            name = "" if named else f"{one_line(events[0].source)}: "
            lines.append(f"Failed: {name}{safe(events[0].error)}{remedy}")
            continue
        names = ", ".join(one_line(event.source, 60) for event in events[:_NAMED])
        more = f" and {len(events) - _NAMED} more" if len(events) > _NAMED else ""
        lines.append(f"Failed: {len(events)} files: {safe(error)}{remedy}\n  {names}{more}")
    return lines


def checks_text(checks: Sequence[Check], width: int | None = None) -> str:
    """The doctor's findings, broken at ``width`` columns, where one is given."""
    rows = []
    for check in checks:
        told = fitted(f"      {check.name}: {safe(check.message)}", width)
        rows.append(f"{_STATES[check.state]}  {told[6:]}")
        if check.hint:
            rows.append(fitted(textwrap.indent(safe(check.hint), "      "), width))
    return "\n".join(rows)
