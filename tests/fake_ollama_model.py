"""The deterministic "model" of the fake server: it counts tokens, answers from numbered sources, embeds words."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Mode = Literal[
    "honest", "hallucinate", "forget", "cite9", "refuse", "ramble", "think", "think-tags", "think-only", "silent",
    "minicheck", "guardian",
]  # fmt: skip
MODES: tuple[Mode, ...] = (
    "honest", "hallucinate", "forget", "cite9", "refuse", "ramble", "think", "think-tags", "think-only", "silent",
)  # fmt: skip
VERIFYING: tuple[Mode, ...] = ("minicheck", "guardian")
"""Models that only say yes or no of a claim, as Bespoke's and IBM's do."""
REFUSAL = "NOT IN THE DOCUMENTS"
INVENTION = "The moon over Atlantis weighed seven purple kilograms in 1432."
THOUGHT = "The user wants to know something. I look into the sources."

_TOKEN = re.compile(r"\s*(?:\w{1,6}|[^\w\s])|\s+$")
_WORD = re.compile(r"\w+")
_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?](?=\w)[^.!?\n]*)*[.!?]?")
_HEADING = re.compile(r"^#+ .*$", re.MULTILINE)
_BROKEN = re.compile(r"(?<=[^\s.!?:])\n(?=[\w\"'(])")
_FENCED = re.compile(r"^<<<(\S+) SOURCE (\d+)\b.*?>>>$\n(.*?)\n^<<<\1 END \2>>>$", re.MULTILINE | re.DOTALL)
_LOOSE = re.compile(r"^.*?(?:\[(\d+)\]|\bSOURCE (\d+)\b).*$", re.MULTILINE)
_QUESTION = re.compile(r"^\s*(?:last )?question:\s*(.+)$", re.IGNORECASE | re.MULTILINE)
_PRONOUN = re.compile(r"\b(?:it|its|they|them|their|he|him|his|she|her|that|this|there|one)\b", re.IGNORECASE)
_STOP_WORDS = frozenset(
    """a an and are as at be been by did do does for from had has have he her his how i in is it its of on or she that
    the their them there they this to was were what when where which who whom whose why will with would you your
    can could about into than then these those""".split()
)


@dataclass(frozen=True)
class Source:
    """A numbered source as the prompt shows it."""

    number: int
    text: str


def tokens(text: str) -> list[str]:
    """Pieces that join to the text again: up to six characters of a word, or a punctuation mark, with leading space."""
    return _TOKEN.findall(text)


def content_words(text: str) -> set[str]:
    """The words that carry meaning, in lower case."""
    return {word for word in (w.lower() for w in _WORD.findall(text)) if word not in _STOP_WORDS}


def last_message(prompt: str) -> str:
    """The last user message of a rendered prompt."""
    return prompt.rpartition("<|user|>\n")[2].partition("<|assistant|>")[0].strip()


def read_sources(prompt: str) -> list[Source]:
    """The fenced sources, else every block that a line with ``[n]`` or ``SOURCE n`` introduces."""
    fenced = [Source(int(match[2]), match[3]) for match in _FENCED.finditer(prompt)]
    if fenced:
        return fenced
    found: list[Source] = []
    heads = list(_LOOSE.finditer(prompt))
    ends = [head.start() for head in heads[1:]] + [len(prompt)]
    for head, end in zip(heads, ends, strict=False):
        body = prompt[head.end() : end]
        block = body.split("\n\n")[0]
        inline = re.sub(r"^.*?(?:\[\d+\]|SOURCE \d+:?)", "", head[0])
        found.append(Source(int(head[1] or head[2]), f"{inline}\n{block}".strip()))
    return found


def read_question(prompt: str) -> str:
    """What follows the last ``Question:``, else the last paragraph."""
    asked = _QUESTION.findall(prompt)
    if asked:
        return str(asked[-1]).strip()
    paragraphs = [part.strip() for part in prompt.split("\n\n") if part.strip()]
    return paragraphs[-1] if paragraphs else ""


def reply(mode: Mode, prompt: str, format: Any = None) -> str:  # noqa: A002 - Ollama's word
    """What the model says to the rendered prompt."""
    if mode == "silent":
        return ""
    if format:
        return json.dumps(_json_reply(prompt, format))
    if re.search(r"\brewrite\b.*\bquestion\b", prompt[:400], re.IGNORECASE | re.DOTALL):
        return _stand_alone(prompt)
    if mode == "refuse":
        return REFUSAL
    answer = _answer(mode, prompt)
    return f"<think>{THOUGHT}</think>\n\n{answer}" if mode == "think-tags" else answer


_MINICHECK = re.compile(r"^Document: (.*)\nClaim: (.*)$", re.MULTILINE | re.DOTALL)
_GUARDIAN = re.compile(
    r"<\|system\|>\ngroundedness\n<\|context\|>\n(.*?)\n<\|assistant\|>\n(.*?)\n<\|assistant\|>", re.DOTALL
)
_NUMBER = re.compile(r"\d[\d.,]*")


def chance_of_yes(mode: Mode, prompt: str) -> float:
    """The probability of yes that a verifying model gives to the rendered prompt: by the claim's share of words that
    the passage has, very low where it lacks a number. What is asked in another form it answers as if by chance."""
    said = f"{last_message(prompt)}\n" if mode == "minicheck" else prompt
    found = (_MINICHECK if mode == "minicheck" else _GUARDIAN).search(said)
    if found is None:
        return 0.5
    passage, claim = found[1], found[2]
    words = content_words(claim)
    share = len(words & content_words(passage)) / max(len(words), 1)
    if any(number.rstrip(".,") not in passage for number in _NUMBER.findall(claim)):
        share = 0.0
    supported = min(0.95, max(0.05, share - 0.1))
    return supported if mode == "minicheck" else 1.0 - supported


def yes_or_no(name: str, chance: float) -> str:
    """How a verifying model puts it: Granite Guardian with its confidence from 3.2, a score from 3.3 on."""
    word = "Yes" if chance >= 0.5 else "No"
    version = re.search(r"granite(\d+(?:\.\d+)?)", name)
    number = float(version[1]) if version else 3.0
    if number < 3.2 or "guardian" not in name:
        return word
    if number < 3.3:
        return f"{word}\n<confidence> {'High' if abs(chance - 0.5) > 0.3 else 'Low'} </confidence>"
    return f"<think>\n</think>\n\n<score> {word.lower()} </score>"


def _answer(mode: Mode, prompt: str) -> str:
    said = last_message(prompt)
    sources = read_sources(said)
    question = read_question(said)
    if not sources:
        return f"You said: {question}" if question else "Hello."
    best = _best_sentences(question, sources, limit=40 if mode == "ramble" else 3)
    if not best:
        return REFUSAL
    if mode == "ramble":
        best = [best[i % len(best)] for i in range(40)]
    told = [sentence if mode == "forget" else f"{sentence} [{_marker(mode, number)}]" for number, sentence in best]
    if mode == "hallucinate":
        told.append(f"{INVENTION} [{best[0][0]}]")
    return " ".join(told)


def _marker(mode: Mode, number: int) -> int:
    return 9 if mode == "cite9" else number


def _best_sentences(question: str, sources: Sequence[Source], limit: int) -> list[tuple[int, str]]:
    """Sentences with at least half of the overlap of the best one; none when even that is under a third."""
    asked = content_words(question)
    scored: dict[str, tuple[int, int]] = {}
    for source in sources:
        for match in _SENTENCE.finditer(_running_text(source.text)):
            sentence = match[0].strip()
            overlap = len(asked & content_words(sentence))
            if overlap and sentence not in scored:
                scored[sentence] = (overlap, source.number)
    top = max((overlap for overlap, _ in scored.values()), default=0)
    if not top or top * 3 < len(asked):
        return []
    ranked = sorted(scored.items(), key=lambda item: -item[1][0])
    return [(number, sentence) for sentence, (overlap, number) in ranked if overlap * 2 >= top][:limit]


def _running_text(text: str) -> str:
    """The text without its headings, lines that were only broken for their length joined again."""
    return _BROKEN.sub(" ", _HEADING.sub("", text))


def _stand_alone(prompt: str) -> str:
    """The last question, its pronoun replaced by the subject of the one before, else with that one's words added."""
    question = read_question(last_message(prompt))
    earlier = re.findall(r"^User: (.+)$", prompt, re.MULTILINE)
    if not earlier:
        return question
    names = re.findall(r"(?<!^)(?<![.?!] )\b[A-Z]\w+(?: [A-Z]\w+)*", earlier[-1])
    subject = max(names, key=len) if names else " ".join(w for w in _WORD.findall(earlier[-1]) if content_words(w))
    replaced, count = _PRONOUN.subn(subject, question, count=1)
    return replaced if count else f"{question.rstrip('?! .')} ({subject})?"


def _json_reply(prompt: str, format: Any) -> Any:  # noqa: A002 - Ollama's word
    """A verdict or drafted questions where the prompt asks for them, else the least that the schema allows."""
    passage = re.search(r"^<<<(\S+) PASSAGE.*?>>>$\n(.*?)\n^<<<\1 END>>>$", prompt, re.MULTILINE | re.DOTALL)
    sentence = re.search(r"^Sentence: (.+)$", prompt, re.MULTILINE)
    if passage and sentence:
        return {"verdict": _verdict(sentence[1], passage[2])}
    if passage and '"questions"' in prompt:
        quotes = [m[0].strip() for m in _SENTENCE.finditer(passage[2]) if len(m[0].split()) >= 5][:3]
        return {"questions": [{"question": f"What is said of {q}?", "fact": q, "quote": q} for q in quotes]}
    return _least(format) if isinstance(format, Mapping) else {"answer": _answer("honest", prompt)}


def _verdict(sentence: str, passage: str) -> str:
    said = content_words(re.sub(r"\[\d+\]", "", sentence))
    share = len(said & content_words(passage)) / max(len(said), 1)
    return "supported" if share >= 0.6 else "partial" if share >= 0.3 else "unsupported"


def _least(schema: Mapping[str, Any]) -> Any:
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type", "object")
    if kind == "object":
        return {name: _least(part) for name, part in schema.get("properties", {}).items()}
    return {"string": "text", "number": 0.0, "integer": 0, "boolean": False, "array": [], "null": None}.get(kind)


def embed(text: str, dimension: int) -> npt.NDArray[np.float64]:
    """The unit sum of the vectors of a text's words and of their trigrams, so that similar texts are similar."""
    total = _direction("", dimension) * 1e-3
    for word in _WORD.findall(text.lower()):
        weight = 0.1 if word in _STOP_WORDS else 1.0
        total = total + weight * _word_vector(word, dimension)
    unit: npt.NDArray[np.float64] = total / np.linalg.norm(total)
    return unit


@lru_cache(maxsize=50_000)
def _word_vector(word: str, dimension: int) -> npt.NDArray[np.float64]:
    parts = [_direction(word, dimension), *(0.4 * _direction(part, dimension) for part in _trigrams(word))]
    total: npt.NDArray[np.float64] = np.sum(parts, axis=0)
    return total / np.linalg.norm(total)


def _trigrams(word: str) -> Iterator[str]:
    padded = f"^{word}$"
    return (padded[i : i + 3] for i in range(len(padded) - 2))


@lru_cache(maxsize=50_000)
def _direction(key: str, dimension: int) -> npt.NDArray[np.float64]:
    seed = int.from_bytes(hashlib.sha256(key.encode("utf-8", "replace")).digest()[:8], "big")
    vector = np.random.default_rng(seed).standard_normal(dimension)
    unit: npt.NDArray[np.float64] = vector / np.linalg.norm(vector)
    return unit
