"""Where sources say different things of the same."""

from __future__ import annotations

from rag.answer.conflicts.disagreements import disagreements

__all__ = ["disagreements"]
