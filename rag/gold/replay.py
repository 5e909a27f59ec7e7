"""Recorded answers: asked of a model once, replayed without it as long as nothing they depend on has changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rag.errors import GoldError
from rag.gold.files import unwritable, write_whole
from rag.gold.fingerprint import digest
from rag.gold.plain import from_plain
from rag.gold.records import Found
from rag.gold.runfile import json_lines
from rag.gold.schema import Question
from rag.types import Answer, to_plain

_DEPENDS_ON = ("model", "prompts", "options", "corpus", "parsed_text", "embedder", "splitter", "retrieval")
_REMEDY = "Record again with `rag gold run --mode record`."


class NotRecorded(GoldError):
    """There is no recording of this question under these conditions; the message says what differs."""

    code = "not-recorded"
    hint = _REMEDY


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded answer with the ranking of its question."""

    answer: Answer
    ranking: tuple[Found, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    key: str
    id: str
    repeat: int
    parts: Mapping[str, str]
    answer: Answer
    ranking: tuple[Found, ...]


@dataclass(slots=True)
class Recording:
    """A file of recorded answers, an answer a line. ``conditions`` is the part of the fingerprint that answers depend
    on; a key is the digest of question, turns, repeat and conditions. ``depth`` is how long its rankings are."""

    path: Path
    conditions: Mapping[str, Any]
    depth: int
    _entries: dict[str, Recorded] = field(default_factory=dict)
    _parts: dict[tuple[str, int], Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def create(cls, path: Path, fingerprint: Mapping[str, Any], depth: int) -> Recording:
        """A new, empty file. Raises GoldError when it cannot be written."""
        recording = cls(path, conditions_of(fingerprint), depth)
        head = {"kind": "recording", "version": 1, "conditions": recording.conditions, "depth": depth}
        write_whole(path, _line(head))
        return recording

    @classmethod
    def resume(cls, path: Path, fingerprint: Mapping[str, Any], depth: int) -> Recording:
        """The recording that was interrupted, to be added to; a new one if it was of other conditions. Raises GoldError
        when it cannot be written."""
        with suppress(GoldError):
            earlier = cls.load(path)
            if (earlier.conditions, earlier.depth) == (conditions_of(fingerprint), depth):
                whole = path.read_bytes()
                write_whole(path, whole[: whole.rfind(b"\n") + 1])
                return earlier
        return cls.create(path, fingerprint, depth)

    @classmethod
    def load(cls, path: Path) -> Recording:
        """Read a recording; half a line at its end, which a kill leaves, is passed over. Raises GoldError when it is
        missing or damaged."""
        lines = json_lines(path, "recording", _REMEDY)
        _, head = next(lines, (0, {}))
        if head.get("kind") != "recording" or not isinstance(head.get("conditions"), dict):
            raise GoldError(f"{path} is no recording.", hint=_REMEDY)
        recording = cls(path, head["conditions"], from_plain(int, head.get("depth")))
        for _, line in lines:
            entry = from_plain(_Entry, line)
            recording._entries[entry.key] = Recorded(entry.answer, entry.ranking)
            recording._parts[entry.id, entry.repeat] = entry.parts
        return recording

    def holds(self, question: Question, repeat: int) -> bool:
        """Whether it was read with an answer to ``question`` under its own conditions."""
        return digest(_parts(question, repeat, self.conditions)) in self._entries

    def add(self, question: Question, repeat: int, recorded: Recorded) -> None:
        """Append an answer."""
        parts = _parts(question, repeat, self.conditions)
        line = {"kind": "answer", "key": digest(parts), "id": question.id, "repeat": repeat, "parts": parts}
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(_line({**line, **to_plain(recorded)}))
        except OSError as error:
            raise unwritable(self.path, error) from error

    def find(self, question: Question, repeat: int, fingerprint: Mapping[str, Any], depth: int) -> Recorded:
        """The answer recorded under the same conditions with at least ``depth`` passages. Raises NotRecorded, saying
        what has changed since."""
        if depth > self.depth:
            raise NotRecorded(f"{self.path} has the first {self.depth} passages of each question, not {depth}.")
        parts = _parts(question, repeat, conditions_of(fingerprint))
        recorded = self._entries.get(digest(parts))
        if recorded is not None:
            return recorded
        old = self._parts.get((question.id, repeat))
        if old is None:
            raise NotRecorded(f"No answer to '{question.id}' (repeat {repeat}) is in {self.path}.")
        changed = ", ".join(name for name in parts if parts[name] != old.get(name))
        raise NotRecorded(f"The answer to '{question.id}' was recorded before a change of: {changed}.")


def conditions_of(fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a fingerprint that an answer depends on."""
    return {name: fingerprint.get(name) for name in _DEPENDS_ON}


def under_recorded_model(fingerprint: Mapping[str, Any], recording: Recording, wanted: str) -> dict[str, Any]:
    """``fingerprint`` with the model of the recording in place of the one at hand, which replay does not ask.

    ``wanted`` is the configured model (``ollama:NAME``, ``quotes`` or ``auto``). Raises NotRecorded when it is named
    and another one was recorded.
    """
    model = recording.conditions.get("model")
    name = str(model.get("name", "")) if isinstance(model, Mapping) else str(model)
    if wanted not in ("", "auto") and wanted.removeprefix("ollama:") != name.removeprefix("ollama:"):
        raise NotRecorded(f"{recording.path} was recorded with {name}, but {wanted} is configured.")
    return {**fingerprint, "model": model}


def _parts(question: Question, repeat: int, conditions: Mapping[str, Any]) -> dict[str, str]:
    asked = {"question": question.question, "turns": to_plain(question.turns)}
    return {"question": digest(asked), "repeat": str(repeat), **{k: digest(v) for k, v in conditions.items()}}


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True) + "\n"
