"""A turn of the conversation as HTML: question, answer with chips and flags, notes, footer.

Everything is made from the stored record of the turn (``Answer.to_dict()`` plus what the page adds), so a reopened
conversation needs neither model nor index. A record's ``state`` is absent when the answer is complete, else
``writing``, ``stopped``, ``failed`` or ``interrupted``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from rag.types import Outcome, Support, Unread
from ui.chips import Record, chip, loose_chip
from ui.escape import inert, name, one_line, sentence
from ui.markdown import Chip, Flag, open_ended, to_html
from ui.scope import short_folder
from ui.tables import cited_rows

OUTCOMES: Mapping[str, str] = {
    Outcome.ANSWERED: "answered",
    Outcome.UNCERTAIN: "closest passages, they may not answer",
    Outcome.ABSENT: "not in the documents",
}
"""What became of a question, in the page's words."""
FLAGGED = {
    Support.UNSUPPORTED: ("unsup", "No passage in your documents supports this sentence."),
    Support.UNCITED: ("unsup", "This sentence cites nothing, and no passage was found that supports it."),
    Support.PARTIAL: ("partly", "The cited passage supports only a part of this sentence."),
}
_LIVE_MARKER = re.compile(r"\[(\d{1,3})\]")


def question_html(question: str) -> str:
    """The user's message, literally."""
    return one_line(f'<div class="q" dir="auto">{inert(question)}</div>')


def answer_html(record: Record, turn: int) -> str:
    """The answer of turn ``turn`` (from 1) as one line of HTML."""
    state = record.get("state", "")
    if state == "writing":
        return _writing(record, turn)
    parts = [_asked(record)]
    if state:
        parts += [_loose_text(record, turn), _ended_early(record, state)]
    elif record.get("abstained") and record.get("outcome") != Outcome.UNCERTAIN:
        parts.append(_abstained(record, turn))
    else:
        parts += [_checked_text(record, turn), cited_rows(record, turn), _disagreements(record, turn)]
    parts += [_note("notice", sentence(notice)) for notice in record.get("notices", ())]
    parts += [_unread(record), _footer(record)]
    kind = f" {outcome_of(record)}" if not state else ""
    return one_line(f'<div class="answer{kind}">{"".join(parts)}</div>')


def outcome_of(record: Record) -> str:
    """What became of the question; records of older versions have only whether it was answered."""
    outcome = str(record.get("outcome", ""))
    if outcome == Outcome.UNCERTAIN:
        return outcome
    return Outcome.ABSENT if record.get("abstained") else Outcome.ANSWERED


def _unread(record: Record) -> str:
    """That files could not be read in which the answer may be."""
    unread = record.get("unread") or {}
    told = Unread(int(unread.get("count", 0)), tuple(unread.get("named", ()))).told
    return _note("unread", sentence(told)) if told else ""


def _writing(record: Record, turn: int) -> str:
    text = _loose_text(record, turn)
    if text:
        return open_ended(one_line(f'<div class="answer live">{_asked(record)}{text}'))
    found = len(record.get("hits", ()))
    doing = "Searching your documents…"
    if "hits" in record:
        doing = f"Reading {found} passages…" if found else "Checking…"
    if record.get("queued"):
        doing = "Waiting for its turn…"
    return one_line(f'<div class="answer live">{_asked(record)}<p class="busy">{doing}</p></div>')


def _checked_text(record: Record, turn: int) -> str:
    citations, lines = record.get("citations", ()), record.get("lines", {})
    chips = [
        Chip(marker["start"], marker["end"], chip(citations[marker["citation"]], turn, lines))
        for marker in record.get("markers", ())
    ]
    flags = [
        Flag(sentence["start"], sentence["end"], *_flag(sentence))
        for sentence in record.get("sentences", ())
        if sentence["support"] in FLAGGED
    ]
    return to_html(record.get("text", ""), chips, flags)


def _flag(sentence: Record) -> tuple[str, str]:
    kind, why = FLAGGED[Support(sentence["support"])]
    unchecked = sentence.get("unchecked") or ()
    if kind == "partly" and unchecked:
        return "untold", f"In its language this cannot be checked here: {inert(', '.join(map(str, unchecked)))}."
    return kind, why


def _loose_text(record: Record, turn: int) -> str:
    """Text as it comes, or as far as it came: unchecked, its markers number the passages found."""
    hits, lines, text = record.get("hits", ()), record.get("lines", {}), record.get("text", "")
    chips = [
        Chip(found.start(), found.end(), loose_chip(int(found[1]), turn, hits[int(found[1]) - 1]["passage"], lines, ""))
        for found in _LIVE_MARKER.finditer(text)
        if 0 < int(found[1]) <= len(hits)
    ]
    return to_html(text, chips) if text else ""


def _asked(record: Record) -> str:
    asked, question, scope = record.get("asked", ""), record.get("question", ""), record.get("scope") or {}
    names = [name(one) for one in scope.get("documents", ())]
    names += [f"{name(short_folder(one))}/" for one in scope.get("folders", ())]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    only = _note("asked", f"Asked only: <b>{', '.join(names[:3])}</b>{more}") if names else ""
    if not asked or asked == question:
        return only
    return only + _note("asked", f"Searched for: “<b>{inert(asked)}</b>”")


def _abstained(record: Record, turn: int) -> str:
    hits, lines = record.get("hits", ()), record.get("lines", {})
    chips = " ".join(
        loose_chip(number, turn, hit["passage"], lines, hit["passage"]["text"]) for number, hit in enumerate(hits, 1)
    )
    nearest = f'<p class="near">Nearest passages: {chips}</p>' if chips else ""
    said = "This is not in the documents." if hits else inert(record.get("text", ""))
    reason = f"<p>Why: {inert(record['reason'])}.</p>" if record.get("reason") else ""
    return f'<div class="note abstain"><p><b>{said}</b></p>{reason}{nearest}</div>'


def _disagreements(record: Record, turn: int) -> str:
    return "".join(_disagreement(item, record, turn) for item in record.get("disagreements", ()))


def _disagreement(item: Record, record: Record, turn: int) -> str:
    rows = []
    for claim in item["claims"]:
        dated = f" ({inert(claim['date'])})" if claim.get("date") else ""
        link = _knownloose_chip(claim["citation"], record, turn)
        rows.append(f"<li><b>{inert(claim['value'])}</b> – {name(claim['source'])}{dated}{link}</li>")
    told = "A later document changes this" if item.get("changed") else "The sources disagree"
    subject = f" about {inert(item['subject'])}" if item.get("subject") else ""
    subject = subject.replace(" about ", ": ", 1) if item.get("changed") else subject
    return _note("differ", f"<b>{told}{subject}.</b><ul>{''.join(rows)}</ul>", tag="div")


def _knownloose_chip(wanted: Record, record: Record, turn: int) -> str:
    """The chip of the answer's own citation of that span; none if the answer does not cite it."""
    for citation in record.get("citations", ()):
        if all(citation[key] == wanted[key] for key in ("document_id", "start", "end")):
            return " " + chip(citation, turn, record.get("lines", {}))
    return ""


def _ended_early(record: Record, state: str) -> str:
    if state == "stopped":
        unchecked = " What is above was not checked." if record.get("text") else ""
        return _note("stopped", f"<b>Stopped.</b>{unchecked}")
    if state == "interrupted":
        return _note("failed", "<b>Interrupted.</b> The program ended while it was answering. Ask again to get it.")
    error = record.get("error", {})
    hint = f"<br>{sentence(error['hint'])}" if error.get("hint") else ""
    return _note("failed", f"<b>No answer:</b> {sentence(error.get('message', ''))}{hint}")


def _note(kind: str, body: str, tag: str = "p") -> str:
    return f'<{tag} class="note {kind}">{body}</{tag}>'


def _footer(record: Record) -> str:
    timings, tokens = record.get("timings", {}), record.get("tokens", {})
    parts: list[str] = [] if record.get("state") else [f'<b class="outcome">{OUTCOMES[outcome_of(record)]}</b>']
    if timings.get("total"):
        parts.append(_seconds(timings["total"]))
    if timings.get("first_token"):
        parts.append(f"first word {_seconds(timings['first_token'])}")
    if tokens.get("answer"):
        parts.append(f"{int(tokens['answer'])} tokens")
        writing = timings.get("model", 0) - timings.get("first_token", 0)
        if writing > 0:
            parts.append(f"{tokens['answer'] / (writing / 1000):.0f} tok/s")
    if record.get("model"):
        parts.append("quoted, no model" if record["model"] == "quotes" else inert(str(record["model"])))
    dropped = int(record.get("dropped_markers", 0))
    if dropped:
        parts.append(f"{dropped} invented citation{'s' if dropped > 1 else ''} removed")
    return f'<p class="footline"><small class="foot">{" · ".join(parts)}</small></p>' if parts else ""


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.1f} s" if milliseconds >= 100 else f"{milliseconds:.0f} ms"


def count_flags(record: Record) -> tuple[int, int]:
    """How many sentences have no support, and how many only partial support."""
    supports = [s["support"] for s in record.get("sentences", ())] if not record.get("state") else []
    lacking = sum(s in (Support.UNSUPPORTED, Support.UNCITED) for s in supports)
    return lacking, supports.count(Support.PARTIAL)
