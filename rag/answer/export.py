"""An answer as Markdown with numbered footnotes, and texts for programs that show Markdown: inert, whatever documents
or models wrote."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator

from rag.answer.compose import flag_place
from rag.types import Answer, Citation, Support

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!&])")
_MARKUP = re.compile(r"([\\\[\]<>!&])")
_ACTIVE = re.compile(r"(?<=\])[(:]|<(?=[A-Za-z/!?])")
_WIDE = str.maketrans("(:<", "（：＜")
_NUMBERED = re.compile(r"(\[\d{1,3}\])")
_FLAGS = {
    Support.PARTIAL: "only partly supported",
    Support.UNSUPPORTED: "not supported by the documents",
    Support.UNCITED: "no source",
}
_ORIGINS = {"attributed": "source found by the program", "corrected": "source corrected by the program"}


def to_markdown(answer: Answer) -> str:
    """The question as a heading, the answer with footnotes ``[^1]``, disagreements, notices and the sources.

    Sentences without sufficient support say so in italics. Links, images and HTML of documents or model come out as
    plain text; emphasis and lists stay.
    """
    parts = [f"## {_plain(answer.question)}", _body(answer)]
    for item in answer.disagreements:
        sides = [
            f"- {_plain(claim.source)}{f' ({_plain(claim.date)})' if claim.date else ''}: "
            f"{_plain(claim.value)} [^{claim.citation.marker}]"
            for claim in item.claims
        ]
        told = "Changed by a later document:" if item.changed else "The sources disagree on"
        parts.append("\n".join([f"**{told} {_plain(item.subject)}:**", "", *sides]))
    parts.extend(f"*{_plain(notice)}*" for notice in answer.notices)
    cited = {c.marker: c for item in answer.disagreements for c in (claim.citation for claim in item.claims)}
    cited.update({citation.marker: citation for citation in answer.citations})
    if cited:
        parts.append("\n".join(_footnote(cited[marker]) for marker in sorted(cited)))
    if answer.abstained and answer.hits and not answer.citations:
        nearest = [f"- {_place(h.passage.source, h.passage.place, h.passage.heading)}" for h in answer.hits]
        parts.append("\n".join(["Nearest passages:", "", *nearest]))
    return "\n\n".join(parts) + "\n"


class Inactive:
    """Texts for programs that show Markdown, where a model's image would fetch an address with what it read in it.

    Every character that would begin an image, a link, its definition or HTML becomes its wide form (``(`` ``（``),
    so that the text has the same length and offsets hold; the result does not depend on how it is cut into pieces.
    """

    def __init__(self) -> None:
        self._before = self._held = ""

    def feed(self, piece: str) -> str:
        """What can be shown now."""
        text = self._held + piece
        self._held = "<" if text.endswith("<") else ""
        text = text[: len(text) - len(self._held)]
        out = _ACTIVE.sub(lambda found: found[0].translate(_WIDE), f"{self._before}{text}")[len(self._before) :]
        self._before = text[-1:] or self._before
        return out

    def finish(self) -> str:
        """The rest."""
        rest, self._held = self._held, ""
        return rest


def inactive(text: str) -> str:
    """A whole text as ``Inactive`` makes it."""
    stream = Inactive()
    return stream.feed(text) + stream.finish()


def inert_markdown(text: str) -> str:
    """Text that keeps its lists and emphasis but can hold no link, image, footnote or HTML; markers ``[1]`` stay."""
    return "".join(
        part if _NUMBERED.fullmatch(part) else _after_marker(part, [before]) for before, part in _parted(text)
    )


def _parted(text: str) -> Iterator[tuple[str, str]]:
    """Markers and what is between them, each with what comes before it."""
    parts = _NUMBERED.split(text)
    yield from zip(["", *parts], parts, strict=False)


def _body(answer: Answer) -> str:
    """The text with its real markers as footnotes and its weak sentences flagged; everything else made inert."""
    changes = [(span.start, span.end, f"[^{answer.citations[span.citation].marker}]") for span in answer.markers]
    starts = [span.start for span in answer.markers]
    for sentence in answer.sentences:
        if sentence.support in _FLAGS:
            end = flag_place(sentence)
            for span in answer.markers[bisect_left(starts, end) :]:
                if answer.text[end : span.start].strip():
                    break
                end = span.end
            changes.append((end, end, f" *({_FLAGS[sentence.support]})*"))
    out: list[str] = []
    done = 0
    for start, end, replacement in sorted(changes):
        out += [_after_marker(answer.text[done:start], out), replacement]
        done = end
    return "".join([*out, _after_marker(answer.text[done:], out)])


def _after_marker(text: str, before: list[str]) -> str:
    """Inert text; where it follows a footnote's mark, it makes neither a link nor the footnote's definition of it."""
    acts = text.startswith(("(", ":")) and bool(before) and before[-1].endswith("]")
    return "\\" * acts + _inert(text)


def _footnote(citation: Citation) -> str:
    origin = _ORIGINS.get(citation.origin)
    place = _place(citation.source, citation.where, citation.heading)
    return f"[^{citation.marker}]: {place}: “{_plain(citation.quote)}”" + (f" ({origin})" if origin else "")


def _place(source: str, place: str, heading: tuple[str, ...]) -> str:
    parts = [_plain(source)]
    if place:
        parts.append(_plain(place))
    if heading:
        parts.append(_plain(" > ".join(heading)))
    return ", ".join(parts)


def _plain(text: str) -> str:
    """Text on one line with every Markdown character escaped."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _inert(text: str) -> str:
    """Text that keeps its lists and emphasis but can hold no link, image, footnote or HTML."""
    return _MARKUP.sub(r"\\\1", text).replace("://", ":\\//").replace("www.", "www\\.")
