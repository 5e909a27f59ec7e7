"""What of a model's reply is an answer, what is a refusal, and what its token counts give away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from rag.answer.writing.budget import Assembled, Message
from rag.answer.writing.generate import RECITED, REFUSED, Chunk, Draft, calibration_notices, write
from rag.answer.writing.replies import REFUSAL, declines
from rag.errors import EmptyAnswer
from rag.types import Hit, Passage

HITS = tuple(Hit(Passage(n, 1, "a.md", "A", n, 0, 1, "x", None, ()), 1, 1, 1) for n in (1, 2, 3))


def prompt_of(text: str, tokens: int = 0) -> Assembled:
    return Assembled((Message("system", "rules"), Message("user", text)), HITS, tokens, 0, False, 1.0)


def written(reply: str) -> tuple[Draft, str]:
    """The draft of a reply that comes a character at a time, and what was shown meanwhile."""

    def chat(messages: Sequence[Message]) -> Iterator[Chunk]:
        yield from (Chunk(character) for character in reply)

    draft = Draft()
    return draft, "".join(write(chat, prompt_of("q"), draft))


@pytest.mark.parametrize(
    "reply",
    [
        REFUSAL,
        f"{REFUSAL}.",
        f"**{REFUSAL}**\n",
        "not in the documents",
        f"{REFUSAL}\n\nThe sources speak of other plants and of other years only.",
        f"The sources speak of pumps only, and nobody is named. {REFUSAL}",
        "The sources do not mention who paid for the pumps.",
        "Unfortunately, the provided documents don't contain that.",
        "Based on the provided sources, there is no information about the budget.",
        "None of the sources says who paid. It may have been the state.",
        "I'm sorry, but the sources do not answer this question.",
        "The sources do not contain information about the budget [1][2][3].",
        "Die Dokumente enthalten keine Angaben zum Haushalt.",
        "In den Quellen steht nichts über den Haushalt [1].",
        "Leider wird der Haushalt in den vorliegenden Unterlagen nicht erwähnt.",
        "Les documents ne contiennent aucune information sur le budget.",
        "Je suis désolé, les sources n'indiquent pas qui a payé.",
        "Los documentos no mencionan quién pagó las bombas.",
        "No se encuentra esa información en las fuentes.",
        "Le fonti non contengono informazioni sul bilancio.",
        "Os documentos não mencionam o orçamento.",
        "De bronnen bevatten geen informatie over de begroting.",
        "В документах нет информации о бюджете.",
        "Источники не содержат сведений о том, кто заплатил.",
        "文档中没有提到预算。",
        "提供的資料未提及誰付款。",
        "文書には予算についての記載がありません。",
        "提供された資料には、誰が支払ったかは書かれていません。",
        "لا تحتوي المستندات على معلومات عن الميزانية.",
    ],
)
def test_refusals(reply: str) -> None:
    draft, _ = written(reply)
    assert draft.failure == REFUSED


@pytest.mark.parametrize("reply", [REFUSAL, f"**{REFUSAL}**", f" {REFUSAL}. "])
def test_of_a_plain_refusal_nothing_is_shown(reply: str) -> None:
    assert written(reply)[1] == ""


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ("The pumps cost 4 million [1].", "The pumps cost 4 million [1]."),
        ("The sources do not say who paid, but the pumps cost 4 million [1].", None),
        ("The documents were signed in 1648.", None),
        ("The text does its work in two pages.", None),
        ("There is no information desk at the plant [2].", None),
        ("The sources do not give a sum [1]. The state paid [2].", None),
        ("The sources do not say who paid, only that the state lent money [1].", None),
        ("Die Dokumente wurden nicht vor 1648 unterzeichnet.", None),
        ("Laut den Quellen nennt der Vertrag keine Frist.", None),
        ("Die Quellen nennen keine Summe, aber der Staat hat gezahlt.", None),
        ("Les documents furent signés en 1648.", None),
        ("Selon les documents, le contrat ne donne aucun délai.", None),
        ("La fuente de la plaza no tiene agua.", None),
        ("Он не подписал документ в 1648 году.", None),
        ("根据文件，该合同没有提供期限。", None),
        ("他没有看文件。", None),
        ("لم يوقع الوزير في عام 1648.", None),
        (f"The pumps cost 4 million [1]. {REFUSAL}", "The pumps cost 4 million [1]."),
        (f"{REFUSAL}. The pumps cost 4 million [1].", " The pumps cost 4 million [1]."),
    ],
)
def test_answers(reply: str, text: str | None) -> None:
    draft, shown = written(reply)
    assert not draft.failure and draft.text == (reply if text is None else text)
    assert shown == reply


@pytest.mark.parametrize(
    ("reply", "shown"),
    [
        ("The pumps cost 4 million [9].", "The pumps cost 4 million."),
        ("The pumps [9] cost [8] [9] 4 million [2] [7].", "The pumps cost 4 million [2]."),
        ("The pumps [9], which [2, 9] cost 4 million [9]", "The pumps, which [2] cost 4 million"),
        ("[9] The pumps cost 4 million.\n\n[9] They\tlast.", "The pumps cost 4 million.\n\nThey\tlast."),
        ("The pumps [9]cost\n  - 4 million ", "The pumps cost\n  - 4 million "),
    ],
)
def test_a_marker_without_a_source_leaves_no_gap(reply: str, shown: str) -> None:
    draft, streamed = written(reply)
    assert draft.text == streamed == shown and draft.dropped


INSTRUCTIONS = (
    "Answer the question from the numbered sources, in one or two sentences, and in the words of the sources."
)


@pytest.mark.parametrize("reply", [INSTRUCTIONS, f"{INSTRUCTIONS} So do that, and answer.", f"Sure! {INSTRUCTIONS}"])
def test_a_reply_that_repeats_the_instructions_is_no_answer(reply: str) -> None:
    prompt = replace(prompt_of("q"), instructions=INSTRUCTIONS)
    draft = Draft()
    shown = "".join(write(lambda _: iter(map(Chunk, reply)), prompt, draft))
    assert draft.failure == RECITED
    assert shown == "" or not reply.startswith("Answer")


def test_an_answer_may_begin_like_the_instructions() -> None:
    prompt = replace(prompt_of("q"), instructions=INSTRUCTIONS)
    draft = Draft()
    reply = "The question is answered by the sources: the pumps cost 4 million crowns in all [1]."
    assert "".join(write(lambda _: iter(map(Chunk, reply)), prompt, draft)) == draft.text == reply
    assert not draft.failure


def test_a_long_text_is_no_refusal_in_its_own_words() -> None:
    assert not declines("The sources do not agree on the year. " + "The pumps were old. " * 30)


def test_only_the_agreed_words_beside_an_invalid_marker_are_no_answer() -> None:
    draft, _ = written(f"{REFUSAL} [9]")
    assert draft.failure == REFUSED and draft.dropped == 1


@pytest.mark.parametrize("reply", ["", " \n ", "[1][2]", "...", "[9]"])
def test_a_reply_without_a_word_is_an_error(reply: str) -> None:
    with pytest.raises(EmptyAnswer):
        written(reply)


@pytest.mark.parametrize(
    ("text", "reported", "cut"),
    [
        ("one two three four five", 0, False),
        ("one two three four five", 4, True),
        ("one two three four five", 5, False),
        ("पंप कब बदले गए थे?", 6, False),
    ],
)
def test_a_prompt_is_cut_when_fewer_tokens_were_read_than_it_has_words(text: str, reported: int, cut: bool) -> None:
    notices = calibration_notices(prompt_of(text, 40), Draft(prompt_tokens=reported), 8192)
    assert ("truncated" in notices) is cut


def test_an_answer_at_its_limit_is_told() -> None:
    assert "num_predict" in calibration_notices(prompt_of("a"), Draft(reason="length"), 8192)["length"]
