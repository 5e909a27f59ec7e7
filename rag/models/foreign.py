"""Chat models of other packages: whatever their clients raise becomes this program's ``ModelError``."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.llms.llm import LLM

from rag.errors import ModelError, ModelTimeout, RagError, ServerUnreachable, WrongModelKind

_KINDS: tuple[tuple[type[Exception], type[ModelError]], ...] = (
    (TimeoutError, ModelTimeout),
    (ConnectionError, ServerUnreachable),
    (NotImplementedError, WrongModelKind),
)
_LONGEST = 300


def replies(llm: LLM, messages: Sequence[ChatMessage], **options: Any) -> Generator[ChatResponse, None, None]:
    """The responses of any LlamaIndex model as they come. Raises ModelError; closing this closes the model's stream."""
    with translated(llm):
        responses = iter(llm.stream_chat(messages, **options))
    try:
        while True:
            with translated(llm):
                response = next(responses, None)
            if response is None:
                return
            yield response
    finally:
        close = getattr(responses, "close", None)
        if close is not None:
            close()


@contextmanager
def translated(llm: LLM) -> Iterator[None]:
    """Failures of a model of another package as ModelError; a bug of this package's own models is not caught."""
    try:
        yield
    except RagError:
        raise
    except Exception as error:  # every vendor's client has a tree of its own, and some raise plain exceptions
        if type(llm).__module__.partition(".")[0] == "rag":
            raise
        kind = next((ours for theirs, ours in _KINDS if isinstance(error, theirs)), ModelError)
        said = " ".join(str(error).split())[:_LONGEST]
        raise kind(
            f"The model {type(llm).__name__} failed: {type(error).__name__}{f': {said}' if said else ''}.",
            hint="Check that its server runs and that its settings are right, or use another model.",
        ) from error
