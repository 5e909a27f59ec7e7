"""Conversations come back as they were, and belong to one owner."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag.errors import StoreError, UnknownConversation
from rag.store.common import TITLE_LIMIT
from rag.store.truth import Growing, Truth
from rag.types import Answer
from tests.store.contract.conftest import Backend
from tests.store.material import EMBEDDER


def answer(text: str) -> dict[str, object]:
    """What an answer leaves behind."""
    return Answer(question="?", text=text, abstained=False).to_dict()


def test_a_conversation_comes_back_after_a_restart(backend: Backend, tmp_path: Path) -> None:
    with backend.open(tmp_path) as truth:
        talks = truth.conversations
        number = talks.create("default")
        assert talks.append(number, "Who sells\nteapots?", "Who sells teapots?", answer("Ann does. [1]")) == 0
        assert talks.append(number, "Since when?", "Since when does Ann sell teapots?", answer("1998. [1]")) == 1
        talks.feedback(number, 1, -1, "too short")
    with backend.open(tmp_path, writer=False) as truth:
        conversation, turns = truth.conversations.get(number)
        assert (conversation.title, conversation.turns, conversation.collection) == ("Who sells teapots?", 2, "default")
        assert [(t.index, t.question) for t in turns] == [(0, "Who sells\nteapots?"), (1, "Since when?")]
        assert turns[1].asked == "Since when does Ann sell teapots?"
        assert turns[1].answer == answer("1998. [1]")
        assert turns[0].feedback is None
        assert turns[1].feedback is not None
        assert (turns[1].feedback.value, turns[1].feedback.note) == (-1, "too short")
        with pytest.raises(StoreError, match="reading only"):
            truth.conversations.create("default")


def test_the_last_changed_comes_first(truth: Truth) -> None:
    talks = truth.conversations
    first, second = talks.create("default", title="one"), talks.create("other", title="two")
    assert [c.id for c in talks.list()] == [second, first]
    talks.append(first, "q", "q", answer("a"))
    assert [c.id for c in talks.list()] == [first, second]
    assert [c.id for c in talks.list(collection="other")] == [second]
    assert [c.id for c in talks.list(limit=1)] == [first]
    talks.rename(first, "  a   new\nname ")
    assert talks.get(first)[0].title == "a new name"
    talks.delete(first)
    assert [c.id for c in talks.list()] == [second]
    assert talks.create("default") > second, "numbers are never used again"


def test_turns_are_taken_back_from_one_on(truth: Truth) -> None:
    talks = truth.conversations
    number = talks.create("default")
    for index in range(4):
        assert talks.append(number, f"q{index}", "", answer(f"a{index}")) == index
    talks.feedback(number, 3, 1)
    assert talks.delete_turns_from(number, 2) == 2
    assert talks.append(number, "again", "", answer("b")) == 2
    assert [t.question for t in talks.get(number)[1]] == ["q0", "q1", "again"]
    assert talks.get(number)[1][2].feedback is None
    assert talks.delete_turns_from(number, 9) == 0


def test_feedback_can_be_changed_and_taken_back(truth: Truth) -> None:
    talks = truth.conversations
    number = talks.create("default")
    talks.append(number, "q", "", answer("a"))
    for value in (1, -1):
        talks.feedback(number, 0, value)
        stored = talks.get(number)[1][0].feedback
        assert stored is not None
        assert stored.value == value
    talks.feedback(number, 0, 0)
    assert talks.get(number)[1][0].feedback is None
    with pytest.raises(ValueError, match="5"):
        talks.feedback(number, 0, 5)
    with pytest.raises(UnknownConversation, match="turn 7"):
        talks.feedback(number, 7, 1)


def test_owners_do_not_see_each_other(truth: Truth) -> None:
    talks = truth.conversations
    number = talks.create("default", owner="ann")
    talks.append(number, "secret canary", "", answer("secret"), owner="ann")
    assert talks.list("bob") == talks.list() == ()
    assert talks.search("canary", "bob") == ()
    for call in (
        lambda: talks.get(number, "bob"),
        lambda: talks.append(number, "q", "", {}, "bob"),
        lambda: talks.rename(number, "x", "bob"),
        lambda: talks.delete(number, "bob"),
        lambda: talks.delete_turns_from(number, 0, "bob"),
        lambda: talks.feedback(number, 0, 1, "", "bob"),
        lambda: talks.get(number),
    ):
        with pytest.raises(UnknownConversation, match=str(number)):
            call()
    assert talks.get(number, "ann")[0].turns == 1


def test_words_are_found_in_questions_and_answers(truth: Truth) -> None:
    talks = truth.conversations
    number = talks.create("default")
    talks.append(number, "Where is the STRAẞE?", "", answer("x " * 300 + "Im ﬁnal Ort " + "y " * 300))
    talks.append(number, "100% sure_?", "", answer("yes"))
    (found,) = talks.search("strasse FINAL")
    assert (found.conversation.id, found.index) == (number, 0)
    assert len(found.excerpt) < 200
    assert [f.index for f in talks.search("100% sure_")] == [1]
    assert talks.search("%") == talks.search("100%")
    assert talks.search("  ") == talks.search("absent") == ()
    assert len(talks.search("s", limit=1)) == 1


def test_conversations_follow_a_renamed_collection(truth: Truth) -> None:
    truth.collections.create("old", EMBEDDER, "v1")
    talks = truth.conversations
    number = talks.create("old")
    truth.collections.rename("old", "new")
    assert talks.get(number)[0].collection == "new"
    truth.collections.delete("new")
    assert talks.get(number)[0].collection == "new"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=300), st.text(max_size=50))
def test_any_text_can_be_said(truth: Truth, question: str, other: str) -> None:
    talks = truth.conversations
    number = talks.create("default", title=other)
    talks.append(number, question, other, answer(question))
    conversation, (turn,) = talks.get(number)
    assert len(conversation.title) <= TITLE_LIMIT
    assert turn.question == question.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    assert turn.answer["text"] == question
    talks.search(other)
    talks.delete(number)


def test_an_answer_is_kept_while_it_is_written(truth: Truth) -> None:
    talks = truth.conversations
    number = talks.create("default", "ann")
    assert talks.append(number, "q", "", {"text": "", "state": "writing"}, "ann", task="t1") == 0
    assert talks.keep([Growing(number, 0, "t1", "One", {"text": "", "hits": [1]})]) == ()
    others = [Growing(number, 0, "t2", "x"), Growing(9, 9, "t3", "x")]
    assert talks.keep([Growing(number, 0, "t1", "One two."), *others]) == ("t2", "t3")
    turn = talks.turn(number, 0, "ann")
    assert turn is not None and turn.task == "t1" and turn.seen >= turn.created
    assert turn.answer == {"text": "One two.", "hits": [1]} == talks.get(number, "ann")[1][0].answer
    assert talks.turn(number, 0, "bob") is None and talks.turn(number, 1, "ann") is None
    assert not talks.end(number, 0, "t2", "", {"text": "no"}, "ann"), "by nobody else"
    assert not talks.end(number, 0, "", "", {"text": "no"}, "ann")
    assert not talks.end(number, 0, "t1", "", {"text": "no"}, "bob")
    assert talks.end(number, 0, "t1", "q!", answer("Done."), "ann")
    turn = talks.turn(number, 0, "ann")
    assert turn is not None and (turn.task, turn.asked, turn.answer) == ("", "q!", answer("Done."))
    assert not talks.end(number, 0, "t1", "", {"text": "late"}, "ann") and talks.keep([Growing(number, 0, "t1", "")])
    assert talks.keep([Growing(number, 0, "", "x")]) == ("",), "what nobody writes is left alone"
