"""One question in the HTML report: what moved, the two answers with their difference, the evidence side by side."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from rag.gold.comparison import Comparison
from rag.gold.records import Record, Run
from rag.gold.report import Case, alike, ranks, unwrapped, word_diff

_SIGNS = {"same": "{}", "gone": "<del>{}</del>", "come": "<ins>{}</ins>"}


def case_html(case: Case, run: Run, comparison: Comparison | None, *, opened: bool) -> str:
    """The question as a folding card."""
    question = case.question
    tags = "".join(f'<span class="tag">{escape(tag)}</span>' for tag in question.tags)
    watch = "" if question.gates else '<span class="tag">does not gate</span>'
    dot = f'<span class="dot {case.label}" title="{case.label}"></span>'
    name = f'<span class="name">{escape(question.id)}</span>'
    head = f"<summary>{dot}{name} {escape(question.question)}{tags}{watch}</summary>"
    body = "".join(_body(case, run, comparison))
    data = f'data-label="{case.label}" data-tags="{escape(" ".join(question.tags))}"'
    return f'<details class="case" {data}{" open" if opened else ""}>{head}<div>{body}</div></details>'


def _body(case: Case, run: Run, comparison: Comparison | None) -> Iterator[str]:
    for turn in case.question.turns:
        yield f'<p class="meta">User: {escape(turn.user)}<br>Bot: {escape(turn.bot)}</p>'
    yield from _moves(case)
    if case.new is not None and case.new.error:
        yield f'<p class="note">{escape(case.new.error)}</p>'
    for note in case.new.notes if case.new else ():
        yield f'<p class="note">{escape(note)}</p>'
    yield from _answers(case)
    yield from _evidence(case)
    yield from _gold(case)
    yield from _ranks(case, run, comparison)


def _moves(case: Case) -> Iterator[str]:
    chips = [
        f'<li class="{tone}">{escape(name)} {case.before[name]:.3g} → {case.after[name]:.3g}</li>'
        for names, tone in ((case.worse, "bad"), (case.better, "good"))
        for name in names
    ]
    chips += [f'<li class="bad">{escape(name)} not reached</li>' for name in case.missed if name not in case.worse]
    if chips:
        yield f'<ul class="moves">{"".join(chips)}</ul>'


def _answers(case: Case) -> Iterator[str]:
    old, new = _text(case.old), _text(case.new)
    if not old and not new:
        return
    asked = case.new.reply.asked if case.new and case.new.reply else ""
    if asked and asked != case.question.question:
        yield f'<p class="meta">Searched for: {escape(asked)}</p>'
    if not old or old == new:
        title = "Answer" if not old else "Answer (unchanged)"
        yield f'<div class="label">{title}</div><p class="text">{escape(new or old)}</p>'
        return
    edits = word_diff(old, new)
    left, right = escape(old), escape(new)
    if alike(edits):
        left = "".join(_SIGNS[kind].format(escape(words)) for kind, words in edits if kind != "come")
        right = "".join(_SIGNS[kind].format(escape(words)) for kind, words in edits if kind != "gone")
    yield f'<div class="pair"><div><div class="label">Answer before</div><p class="text">{left}</p></div>'
    yield f'<div><div class="label">Answer now</div><p class="text">{right}</p></div></div>'


def _evidence(case: Case) -> Iterator[str]:
    old, new = _citations(case.old), _citations(case.new)
    if not old and not new:
        return
    if not old or old == new:
        yield f'<div class="label">Evidence</div>{new or old}'
        return
    empty = '<p class="none">No citation.</p>'
    yield f'<div class="pair"><div><div class="label">Evidence before</div>{old}</div>'
    yield f'<div><div class="label">Evidence now</div>{new or empty}</div></div>'


def _citations(record: Record | None) -> str:
    if record is None or record.reply is None:
        return ""
    reply = record.reply
    carrying = {
        number
        for said in reply.sentences
        for number, carries in zip(said.citations, said.carries, strict=False)
        if carries
    }
    parts: list[str] = []
    for index, cited in enumerate(reply.citations):
        page = f", page {cited.page}" if cited.page else ""
        doubt = "" if index in carrying else " · does not carry its sentence"
        origin = f"<cite>[{cited.marker}] {escape(cited.source)}{page}{doubt}</cite>"
        parts.append(f"<blockquote>{escape(unwrapped(cited.quote))}{origin}</blockquote>")
    return "".join(parts)


def _gold(case: Case) -> Iterator[str]:
    quotes = [source for source in case.question.sources if source.quote]
    facts = case.question.facts
    if facts:
        said = "; ".join(
            f"{f.id}: {f.number + ' ' + f.unit if f.number else ' or '.join(f.any)}".strip() for f in facts
        )
        yield f'<p class="meta">A right answer states {escape(said)}</p>'
    if case.question.unanswerable:
        yield '<p class="meta">The documents do not answer this; a right answer says so.</p>'
    for source in quotes:
        page = f", page {source.page}" if source.page else ""
        origin = f"<cite>gold: {escape(source.file)}{page}</cite>"
        yield f'<blockquote class="gold">{escape(source.quote)}{origin}</blockquote>'


def _ranks(case: Case, run: Run, comparison: Comparison | None) -> Iterator[str]:
    rows = [row for row in ranks(case) if row[1] or row[2] or row[3]]
    if not rows:
        return
    paired = comparison is not None and case.old is not None
    cells = "".join(
        f'<tr><td class="wrap">{"<b>" if gold else ""}{escape(file)}{"</b> (gold)" if gold else ""}</td>'
        f"{f'<td>{old or chr(8211)}</td>' if paired else ''}<td>{new or '–'}</td></tr>"
        for file, old, new, gold in rows
    )
    head = f"<th>file, by rank</th>{'<th>before</th>' if paired else ''}<th>now</th>"
    yield f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{cells}</tbody></table></div>'
    best = case.new.ranking[0] if case.new and case.new.ranking else None
    text = run.passages.get(best.key, "") if best else ""
    if best is not None and text:
        page = f", page {best.page}" if best.page else ""
        yield (
            f"<details><summary>Best passage now: {escape(best.source)}{page}</summary>"
            f"<blockquote>{escape(unwrapped(text))}</blockquote></details>"
        )


def _text(record: Record | None) -> str:
    return unwrapped(record.reply.text) if record is not None and record.reply is not None else ""
