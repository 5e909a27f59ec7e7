"""A follow-up question made to stand alone, by the model or, without one, by a rule over the last turns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rag.answer.writing.budget import transcript
from rag.answer.writing.fence import FenceFilter, clean_for_prompt, nonce_for
from rag.errors import PromptTooLong, QuestionError
from rag.language.questions import QUESTION_MARKS
from rag.language.tables import listed, pattern
from rag.prompts import Prompt
from rag.text import words
from rag.tokens import TokenCounter
from rag.types import Condensed, Said, Turn

# "And part-time?", "Why so late?": with no more words of its own a question has no subject.
_FEW_WORDS = 2
# What a follow-up leans on was said just before, in an answer mostly at its beginning; to rewrite it must cost little.
_HISTORY_TURNS, _ANSWER_CHARACTERS = 3, 600
_AROUND = " \t*_`\"'\u201c\u201d\u201e\u00ab\u00bb"


def leans(question: str) -> bool:
    """Whether a question says itself that it leans on what was said before: by a pronoun, or an opening like "and"."""
    return bool(pattern("leaning opening").search(question)) or bool(pattern("leaning word").search(question))


def needs_context(question: str) -> bool:
    """Whether a question may lean on what was said before: it says so, or has hardly a word of its own."""
    content = [w for w in words(question) if w not in listed("en", "follow-up")]
    return len(content) <= _FEW_WORDS or leans(question)


def turns_of(history: Sequence[Said]) -> tuple[Turn, ...]:
    """The exchanges of a history, given as ``Turn``, pairs (user, bot) or messages with a role and a content.

    The assistant's message answers the user's before it; a message without its counterpart is left out, and so are
    those of other roles: what is answered from is the documents. Raises QuestionError for anything else.
    """
    if isinstance(history, str | Mapping) or not isinstance(history, Iterable):
        raise _no_history(history)
    turns: list[Turn] = []
    asked = ""
    for said in history:
        match said:
            case Turn(str(), str()):
                turns.append(said)
            case {"role": str(role), "content": str(content)}:
                if role == "user":
                    asked = content
                elif role == "assistant" and asked:
                    turns.append(Turn(asked, content))
                    asked = ""
            case [str(user), str(bot)]:
                turns.append(Turn(user, bot))
            case _:
                raise _no_history(said)
    return tuple(turns)


def _no_history(said: object) -> QuestionError:
    return QuestionError(
        f"A history is made of exchanges, and this is none: {repr(said)[:80]}",
        hint='Give a list of Turn(user, bot), of pairs of texts, or of {"role": "user", "content": "..."} messages.',
    )


def condense_by_rule(question: str, history: Sequence[Turn]) -> Condensed | None:
    """The question followed by what it leans on: the last question that stands alone, and the names of the last
    answer when the question points with a pronoun that the question before does not resolve.

    ``None`` when the question stands alone already.
    """
    return in_context(question, history) if history and needs_context(question) else None


def in_context(question: str, history: Sequence[Turn]) -> Condensed:
    """The same for any question with a history, whether it leans on it or not."""
    context: list[str] = []
    for turn in list(reversed(history))[:_HISTORY_TURNS]:
        context.append(turn.user.strip())
        if not leans(turn.user):
            break
    if not any(_names(text) for text in context):
        context.extend(_names(history[-1].bot)[:2])
    return Condensed(question, f"{question.strip()} ({'; '.join(reversed(context))})")


def rewriting_prompt(
    question: str, history: Sequence[Turn], prompt: Prompt, *, room: int, counter: TokenCounter, secret: bytes
) -> tuple[str, str] | None:
    """What to ask a model for the rewriting, as system and user text of at most ``room`` tokens together; ``None``
    when the question stands alone. Of a question that is not in English only the model can tell.

    The newest turns go in, as many as fit; the same arguments give the same texts. Raises PromptTooLong when not even
    the last one does.
    """
    if not history or not (needs_context(question) or not pattern("english").search(question)):
        return None
    turns = [Turn(turn.user, turn.bot[:_ANSWER_CHARACTERS]) for turn in history[-_HISTORY_TURNS:]]
    nonce = nonce_for(secret, [clean_for_prompt(text) for turn in turns for text in (turn.user, turn.bot)])
    while turns:
        said = transcript(turns, nonce)
        system, user = prompt.render(history=said, question=clean_for_prompt(question))
        if counter.message(system) + counter.message(user) <= room:
            return system, user
        turns = turns[1:]
    raise PromptTooLong("The conversation does not fit the model's window.", hint="Raise num_ctx.")


def longest_rewriting(question: str) -> int:
    """Characters that a rewriting may plausibly have: the question's, with the names it leans on put in. What is longer
    is an answer or an explanation."""
    return 3 * len(question) + 300


def rewritten(question: str, reply: str) -> Condensed | None:
    """The model's ``reply`` as the question to search for; ``None`` when it left the question as it was.

    What small models add is taken off: a label before it, quotes around it, an explanation on the lines after it, and
    the prompt's fences. A rewriting that is empty, longer than plausible, or several lines is not used, and the note
    says so.
    """
    fences = FenceFilter()
    plain = fences.feed(reply) + fences.finish()
    lines = [
        line for line in (pattern("question label").sub("", line).strip(_AROUND) for line in plain.splitlines()) if line
    ]
    found = lines[0] if len(lines) == 1 or (lines and lines[0].endswith(QUESTION_MARKS)) else ""
    if not found or len(found) > longest_rewriting(question):
        return Condensed(question, question, "The follow-up could not be rewritten, so it was searched as it stands.")
    return Condensed(question, found) if found != question.strip() else None


def _names(text: str) -> list[str]:
    """Capitalised words; a single one that opens a sentence is most likely no name."""
    found = []
    for match in pattern("names").finditer(text):
        opens = not text[: match.start()].rstrip(" \"'“”([").endswith(tuple("abcdefghijklmnopqrstuvwxyz,;:0123456789"))
        if match.group().lower() not in listed("en", "follow-up") and (" " in match.group() or not opens):
            found.append(match.group())
    return found
