"""A model's words: the prompt that fits its window, its stream read and cleaned, its refusals and opinions."""

from __future__ import annotations

from rag.answer.writing.budget import Assembled, Message, assemble
from rag.answer.writing.condense import (
    condense_by_rule,
    in_context,
    leans,
    longest_rewriting,
    rewriting_prompt,
    rewritten,
    turns_of,
)
from rag.answer.writing.fence import clean_reply, tampering
from rag.answer.writing.generate import REFUSED, Chunk, Draft, calibration_notices, write
from rag.answer.writing.judge import SCHEMA, SECONDS, General, Judge, Opinions, YesOrNo
from rag.answer.writing.replies import declines, without_references

__all__ = [
    "REFUSED",
    "SCHEMA",
    "SECONDS",
    "Assembled",
    "Chunk",
    "Draft",
    "General",
    "Judge",
    "Message",
    "Opinions",
    "YesOrNo",
    "assemble",
    "calibration_notices",
    "clean_reply",
    "condense_by_rule",
    "declines",
    "in_context",
    "leans",
    "longest_rewriting",
    "rewriting_prompt",
    "rewritten",
    "tampering",
    "turns_of",
    "without_references",
    "write",
]
