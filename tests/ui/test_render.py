"""What a turn looks like: chips, flags, notes, cards; and nothing that text could do beside being read."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from selectolax.lexbor import LexborHTMLParser, LexborNode

from rag.types import Citation, Hit, Support
from tests.ui.records import LEAVE, abstained_record, answer, citation, leave_record, passage
from ui.export import footnoted, plain_turn, to_json, to_markdown
from ui.markdown import Chip, Flag, open_ended, to_html
from ui.render import OUTCOMES, answer_html, question_html
from ui.sources import section_html


def parsed(html: str) -> LexborHTMLParser:
    return LexborHTMLParser(f"<!doctype html><body>{html}</body>")


def texts(html: str, selector: str) -> list[str]:
    return [" ".join(node.text().split()) for node in parsed(html).css(selector)]


def only(html: str, selector: str) -> LexborNode:
    found = parsed(html).css(selector)
    assert len(found) == 1, selector
    return found[0]


def attribute(node: LexborNode, name: str) -> str:
    return node.attributes[name] or ""


def test_each_marker_is_a_chip_that_names_its_place() -> None:
    html = answer_html(leave_record(), 2)
    chips = parsed(html).css("a.cite")
    body = [chip for chip in chips if "differ" not in str(chip.parent.parent.attributes)]  # type: ignore[union-attr]
    assert [chip.text() for chip in body][:3] == ["1", "2", "3"]
    assert [attribute(chip, "href") for chip in body][:3] == ["#t2s1", "#t2s2", "#t2s3"]
    assert attribute(body[0], "title").startswith("handbook.pdf · p. 12 · “Full-time staff receive 28 days")
    assert "policy 2025.md · lines 3–4" in attribute(body[1], "title")


def test_citations_by_the_check_are_told_apart() -> None:
    html = answer_html(leave_record(), 1)
    assert texts(html, "div.answer > p > a.cite.added") == ["2"]
    assert texts(html, "div.answer > p > a.cite.fixed") == ["3"]
    assert "added by the check" in attribute(parsed(html).css("a.added")[0], "title")
    cards = section_html("q", leave_record(), 1)
    assert len(texts(cards, "#t1s2 .tag.added")) == 1
    assert len(texts(cards, "#t1s3 .tag.fixed")) == 1
    assert texts(cards, "#t1s1 .tag") == []


def test_sentences_without_support_are_marked_and_counted() -> None:
    record = leave_record()
    html = answer_html(record, 1)
    assert texts(html, "mark.unsup") == ["Managers approve within two days."]
    assert texts(html, "mark.partly") == ["It ends on 31 March for all."]
    assert attribute(only(html, "mark.unsup"), "title")
    summary = texts(section_html("q", record, 1), "p.sum")[0]
    assert summary == "3 citations · ⚠ 1 sentence without support · ◐ 1 sentence only partly supported"


def test_checks_that_were_not_made_for_a_language_are_told_beside_the_evidence() -> None:
    record = leave_record()
    assert "Not checked" not in section_html("q", record, 1)
    for sentence in record["sentences"]:
        sentence["unchecked"] = ("stems", "negation") if sentence["support"] == Support.PARTIAL else ("numbers",)
    told = "Not checked in this language: forms of words, negations. A sentence in it counts as partly supported"
    assert only(section_html("q", record, 1), "p.sum .unchecked").text().startswith(told)


def test_a_marker_like_text_that_is_no_marker_stays_text() -> None:
    one = passage(1, "See [1] and [2] below.")
    made = answer(
        "See [1] and [2] below. [7]", {"See [1] and [2] below.": Support.QUOTED}, (citation(7, one, "See [1]"),)
    )
    html = answer_html(made.to_dict(), 1)
    assert texts(html, "a") == ["7"]
    assert "See [1] and [2] below." in only(html, "div.answer").text()


def test_the_rewritten_question_notices_and_footer_are_shown() -> None:
    html = answer_html(leave_record(), 1)
    assert texts(html, "p.asked") == ["Searched for: “How much annual leave do staff get?”"]
    assert texts(html, "p.notice") == ["The prompt may have been cut."]
    foot = texts(html, "small.foot")[0]
    assert (
        foot
        == "answered · 1.9 s · first word 0.3 s · 73 tokens · 61 tok/s · ollama:qwen3:4b · 1 invented citation removed"
    )
    same = {**leave_record(), "asked": "How much leave?"}
    assert texts(answer_html(same, 1), "p.asked") == []


def test_a_disagreement_shows_every_side_and_links_what_is_cited() -> None:
    html = answer_html(leave_record(), 3)
    note = only(html, "div.differ")
    assert "The sources disagree about carry-over." in note.text()
    assert texts(html, "div.differ li") == ["five days – a.md (2024) 1", "eight – b.md 2"]
    assert [attribute(a, "href") for a in note.css("a.cite")] == ["#t3s1", "#t3s2"]


def test_an_abstention_says_so_and_lists_the_nearest_passages() -> None:
    record = abstained_record()
    html = answer_html(record, 1)
    assert "This is not in the documents." in only(html, "div.abstain").text()
    assert "nothing found that answers the question" in only(html, "div.abstain").text()
    assert [attribute(a, "href") for a in parsed(html).css("div.abstain a.cite")] == ["#t1s1"]
    cards = section_html("q", record, 1)
    assert texts(cards, "p.sum") == ["Not in the documents · 1 nearest passage"]
    assert len(parsed(cards).css("article#t1s1")) == 1
    assert parsed(cards).css("mark") == []
    assert texts(html, "small.foot") == ["not in the documents · 12 ms · quoted, no model"]


def test_states_of_an_unfinished_answer() -> None:
    base = {"question": "q", "text": "Half a sentence [1]", "hits": leave_record()["hits"]}
    live = answer_html({**base, "state": "writing"}, 1)
    assert texts(live, "a.cite") == ["1"]
    assert not live.endswith(">") or not re.search(r"</\w+>$", live)
    stopped = answer_html({**base, "state": "stopped"}, 1)
    assert texts(stopped, "p.stopped") == ["Stopped. What is above was not checked."]
    failed = answer_html({**base, "state": "failed", "error": {"message": "No <b>.", "hint": "Start it."}}, 1)
    assert texts(failed, "p.failed") == ["No answer: No <b>.Start it."]
    assert "Ask again" in answer_html({**base, "state": "interrupted"}, 1)
    waiting = answer_html({"question": "q", "state": "writing"}, 1)
    assert texts(waiting, "p.busy") == ["Searching your documents…"]


def test_growing_text_keeps_its_start() -> None:
    """The page is sent only what is new while the new text starts with the old."""
    text = "First **bold** sentence. Then another one, [1] cited.\n\nA new paragraph begins"
    base = {"question": "q", "hits": leave_record()["hits"], "state": "writing"}
    shown = [answer_html({**base, "text": text[: i + 1]}, 1) for i in range(len(text))]
    kept = sum(later.startswith(earlier) for earlier, later in pairwise(shown))
    assert kept >= 0.85 * (len(shown) - 1)


def test_each_citation_has_one_card_with_file_place_and_one_mark() -> None:
    html = section_html("How much?", leave_record(), 1)
    cards = parsed(html).css("section#t1 > article.src")
    assert [card.attributes["id"] for card in cards] == ["t1s1", "t1s2", "t1s3"]
    for card in cards:
        assert len(card.css("mark")) == 1
        assert card.css("h4 span")[0].text()
        assert card.css("h4 em")[0].text()
        assert len(card.css("button[data-open]")) == 1
    assert cards[0].css("mark")[0].text() == "Full-time staff receive 28 days of paid annual leave."
    assert cards[0].css("p.passage")[0].text() == LEAVE
    assert cards[1].css("h4 em")[0].text() == "lines 3–4"
    assert texts(html, "details summary") == ["1 more passage found, not cited"]


def test_long_passages_are_cut_around_the_span_at_words() -> None:
    words = " ".join(f"word{i}" for i in range(400))
    where = passage(1, f"{words} THE SPAN {words}")
    made = answer("Yes. [1]", {"Yes.": Support.SUPPORTED}, (citation(1, where, "THE SPAN"),))
    record = {**made.to_dict(), "hits": [{"passage": {**leave_record()["hits"][0]["passage"], "id": 1}}]}
    record["hits"][0]["passage"].update(text=where.text, start=where.start, end=where.end)
    shown = only(section_html("q", record, 1), "p.passage").text()
    assert shown.startswith("… word") and shown.endswith(" …")
    assert "THE SPAN" in shown
    assert len(shown) < 600


def test_a_span_that_does_not_fit_its_passage_is_shown_alone() -> None:
    record = leave_record()
    record["citations"][0]["start"] += 3
    card = only(section_html("q", record, 1), "#t1s1 p.passage")
    assert card.text() == record["citations"][0]["quote"]


def test_the_panel_carries_the_plain_answer_for_copying() -> None:
    section = only(section_html("q", leave_record(), 1), "section")
    copied = attribute(section, "data-copy")
    assert copied == plain_turn(leave_record())
    assert "Staff get **28 days** of leave. [1]" in copied
    assert "[2] policy 2025.md, lines 3–4: “Up to five unused days may be carried over”" in copied
    assert "Not in the documents: “Managers approve within two days.”" in copied
    assert "<" not in copied


def test_export_holds_questions_markers_and_sources() -> None:
    turns = [("How\nmuch?", leave_record()), ("Who?", abstained_record())]
    text = to_markdown("Leave", turns)
    assert text.startswith("# Leave\n\n## How much?\n\nStaff get")
    assert "[1] handbook.pdf, p. 12: “Full-time staff" in text
    assert "## Who?\n\nThis is not in the documents." in text
    assert '"question": "Who?"' in to_json("Leave", turns)


def test_the_question_is_shown_literally() -> None:
    hostile = "**x** <img src=//evil> ${1} {{2}} $$y$$ [l](http://e)\n\n# h `c`"
    html = question_html(hostile)
    assert "\n" not in html
    assert only(html, "div.q").text() == hostile
    assert len(parsed(html).css("div.q *")) == 0


def test_flags_survive_lists_tables_emphasis_and_code() -> None:
    text = '- **Bad one.** _It_ is.\n\n| a | b |\n|---|---|\n| c | d |\n\n"**Quoted.**" `x`\n\n```\ncode\n```'
    flags = [Flag(0, 23, "unsup", "t"), Flag(25, text.index("d |") + 3, "unsup", "t"),
             Flag(text.index('"'), len(text), "unsup", "t")]  # fmt: skip
    html = to_html(text, (), flags)
    assert texts(html, "li mark") == ["Bad one.", "It", "is."]
    assert texts(html, "td mark") == ["c", "d"]
    assert texts(html, "strong") == ["Bad one.", "Quoted."]
    assert texts(html, "pre mark") == ["code"]
    assert len(parsed(html).css("mark.end")) == 3


def test_chips_and_flags_that_do_not_fit_are_left_out() -> None:
    chip = '<a class="cite" href="#t1s1" title="x">1</a>'
    html = to_html("abc [1]", [Chip(4, 7, chip), Chip(5, 6, chip), Chip(3, 99, chip)], [Flag(-1, 3, "u", "t")])
    assert html == f"<p>abc {chip}</p>"


def test_open_ended_html_closes_itself() -> None:
    assert open_ended("<p>a <strong>b</strong></p>") == "<p>a <strong>b"


def hostile_record(text: str) -> dict[str, Any]:
    """A record with ``text`` in every place that documents, models and users write."""
    where = passage(1, f"{text} THE SPAN {text}", source=text or "x")
    made = answer(
        f"{text}\n\nIt is so. [1] {text}", {"It is so.": Support.UNSUPPORTED}, (citation(1, where, "THE SPAN"),),
        hits=(), asked=text, model=text, reason=text, notices=(text,),
    )  # fmt: skip
    record = made.to_dict()
    spot = record["citations"][0]
    spot.update(heading=[text, text], page=None, title=text)
    record["disagreements"] = [{"subject": text, "claims": [
        {"source": text, "date": text, "value": text, "citation": spot}]}]  # fmt: skip
    record["error"] = {"message": text, "hint": text, "code": text}
    record["hits"] = [{"passage": {"id": 1, "document_id": 7, "source": text, "title": text, "ordinal": 0, "start": 100,
                                   "end": 101, "text": text, "page": None, "heading": [text]}}]  # fmt: skip
    return record


def table_record(text: str, start: int, end: int, quote: str) -> dict[str, Any]:
    table = "| Item | Price |\n| --- | --- |\n| Cup | 3.50 |\n| Jug \\| blue | 14.90 |"
    one = passage(1, table, "prices.csv", None, 100)
    cited = Citation(1, one.document_id, 1, "prices.csv", "Prices", None, (), 100 + start, 100 + end, quote)
    return answer(text, {"A jug costs 14.90.": Support.SUPPORTED}, (cited,), hits=(Hit(one, 1, 1, 1),)).to_dict()


def test_the_rows_that_an_answer_cites_are_shown_as_a_table() -> None:
    row = "| Jug \\| blue | 14.90 |"
    html = answer_html(table_record("A jug costs 14.90. [1]", 45, 45 + len(row), row), 1)
    assert texts(html, "div.rows th") == ["Item", "Price"]
    assert texts(html, "div.rows tbody td") == ["Jug | blue", "14.90", "1"]
    quoted = answer_html({**table_record("A jug costs 14.90. [1]", 45, 60, row), "text": f"x\n{row} [1]"}, 1)
    assert 'div class="rows"' not in quoted


def test_a_marker_behind_a_row_stands_in_its_last_cell() -> None:
    text = "| Item | Price |\n| --- | --- |\n| Cup | 3.50 | [1]\n| Jug | 4.90 | [1][2]"
    at = [i for i, c in enumerate(text) if c == "["]
    html = to_html(text, [Chip(i, i + 3, f"<a>{text[i + 1]}</a>") for i in at])
    assert [" ".join(cell.split()) for cell in texts(html, "td")] == ["Cup", "3.50 1", "Jug", "4.90 1 2"]


def test_the_outcome_is_said_in_the_same_words_everywhere() -> None:
    for outcome, said in OUTCOMES.items():
        html = answer_html({**leave_record(), "outcome": outcome, "abstained": outcome != "answered"}, 1)
        assert texts(html, "b.outcome") == [said]
    old = {key: value for key, value in abstained_record().items() if key != "outcome"}
    assert texts(answer_html(old, 1), "b.outcome") == ["not in the documents"]
    unread = {**abstained_record(), "unread": {"count": 2, "named": ["ceo <b>.pdf"]}}
    assert "ceo <b>.pdf" in texts(answer_html(unread, 1), ".unread")[0]


def test_what_cannot_be_told_in_a_language_is_no_accusation() -> None:
    record = leave_record()
    record["sentences"] = [
        {**s, "unchecked": ["negation"]} if s["support"] == "partial" else s for s in record["sentences"]
    ]
    html = answer_html(record, 1)
    assert texts(html, "mark.untold") and not texts(html, "mark.partly")
    assert "negation" in (attribute(only(html, "mark.untold"), "title") or "")


def test_an_answer_is_copied_as_markdown_with_footnotes() -> None:
    text = footnoted(leave_record())
    assert "[^1]" in text and "\n[^1]: " in text and "handbook" in text
    assert footnoted({"question": "q", "text": "half", "state": "stopped"}) == "half\n\n(Stopped.)\n"
