"""What answers and what finds, as LlamaIndex sees them: a ``BaseQueryEngine`` and a ``BaseRetriever``, and how its
models are talked with. A question in a terminal that is answered by quoting comes without any of it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.base.response.schema import RESPONSE_TYPE, Response, StreamingResponse
from llama_index.core.llms.llm import LLM
from llama_index.core.prompts import BasePromptTemplate, PromptTemplate
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from rag.answer.engine import AnswerEngine
from rag.answer.writing import Chunk, Message, clean_reply
from rag.arguments import expecting
from rag.errors import ArgumentError, ConfigError, PromptError, QuestionError
from rag.models.foreign import finish_reason, replies
from rag.prompts import from_braces, in_braces
from rag.retrieve import HybridRetriever
from rag.types import Answer, AnswerEvent, Done, Hit, Passage, Retrieved, Said, Token

if TYPE_CHECKING:
    # Only named: to import it runs through LlamaIndex's circles, which two threads at once cannot.
    from llama_index.core.postprocessor.types import BaseNodePostprocessor


@expecting(question=QuestionError, text=QuestionError, str_or_query_bundle=QuestionError, history=None)
class CitedQueryEngine(BaseQueryEngine):
    """Answers from one collection.

    ``stream`` yields this program's events; ``query`` gives LlamaIndex's ``Response`` (or, with ``streaming=True``,
    its ``StreamingResponse``) with the ``Answer`` in ``metadata["answer"]``.
    """

    def __init__(self, engine: AnswerEngine, *, streaming: bool = False) -> None:
        super().__init__(callback_manager=None)
        self._engine = engine
        self._streaming = streaming

    def with_(
        self,
        *,
        similarity_top_k: int | None = None,
        node_postprocessors: Sequence[BaseNodePostprocessor] = (),
        streaming: bool = False,
        **others: Any,
    ) -> CitedQueryEngine:
        """The same engine with LlamaIndex's usual arguments. ``node_postprocessors`` may drop, order and score passages
        anew. Raises ConfigError for ``response_mode`` and all else: the prompt and the checks are one piece."""
        if others:
            raise ConfigError(
                f"query_engine does not take {', '.join(sorted(others))}.",
                hint="Answers are written in one way, each sentence cited; update_prompts changes the prompt.",
            )
        for given in node_postprocessors:
            if not callable(getattr(given, "postprocess_nodes", None)):
                raise ArgumentError(f"A node postprocessor is LlamaIndex's, not {type(given).__name__}.")
        engine = self._engine.with_(similarity_top_k, _postprocessing(tuple(node_postprocessors)))
        return CitedQueryEngine(engine, streaming=streaming)

    def query(self, str_or_query_bundle: str | QueryBundle) -> RESPONSE_TYPE:
        """LlamaIndex's ``Response``. Raises what ``stream`` does."""
        return super().query(str_or_query_bundle)

    def stream(self, question: str, history: Sequence[Said] = ()) -> Generator[AnswerEvent, None, None]:
        """Answer ``question`` as events; see ``AnswerEngine.stream``."""
        return self._engine.stream(question, history)

    def verify(self, text: str) -> Answer:
        """Hold the sentences of ``text`` against the documents; see ``AnswerEngine.verify``."""
        return self._engine.verify(text)

    def _query(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        events = self.stream(query_bundle.query_str)
        if self._streaming:
            hits = next((e.hits for e in events if isinstance(e, Retrieved)), ())
            metadata: dict[str, Any] = {}
            return StreamingResponse(_texts(events, metadata), [to_node(h) for h in hits], metadata)
        answer = next(e.answer for e in events if isinstance(e, Done))
        return Response(answer.text, [to_node(h) for h in answer.hits], {"answer": answer})

    async def _aquery(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        from asyncio import to_thread

        return await to_thread(self._query, query_bundle)

    def _get_prompt_modules(self) -> dict[str, Any]:
        return {}

    def _get_prompts(self) -> dict[str, BasePromptTemplate]:
        """The templates, their variables in braces as LlamaIndex writes them."""
        return {name: PromptTemplate(in_braces(prompt)) for name, prompt in self._engine.prompts.items()}

    def _update_prompts(self, prompts: Mapping[str, BasePromptTemplate]) -> None:
        """Take templates of the same names and variables. Raises PromptError."""
        if unknown := set(prompts) - set(self._engine.prompts):
            raise PromptError(
                f"There is no prompt {', '.join(sorted(unknown))}; there are: {', '.join(self._engine.prompts)}."
            )
        self._engine.use_prompts({name: from_braces(name, told.get_template()) for name, told in prompts.items()})


@expecting(question=QuestionError, str_or_query_bundle=QuestionError)
class PassageRetriever(BaseRetriever):
    """Finds passages of one collection. ``hits`` gives this program's values, ``retrieve`` LlamaIndex nodes."""

    def __init__(self, found_by: HybridRetriever) -> None:
        super().__init__()
        self._found_by = found_by

    def hits(self, question: str, k: int | None = None) -> list[Hit]:
        """The best ``k`` passages, best first, near-duplicates left out. Empty for an empty collection."""
        return self._found_by.hits(question, k)

    def retrieve(self, str_or_query_bundle: str | QueryBundle) -> list[NodeWithScore]:
        """The hits as LlamaIndex's nodes. Raises as ``hits`` does."""
        return super().retrieve(str_or_query_bundle)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [to_node(hit) for hit in self.hits(query_bundle.query_str)]


def chat(llm: LLM, messages: Sequence[Message], **options: Any) -> Generator[Chunk, None, None]:
    """What a model says to ``messages``, as it comes. Raises ModelError; closing this closes the model's stream."""
    with closing(replies(llm, [_sent(message) for message in messages], **options)) as responses:
        for response in responses:
            counts = response.additional_kwargs or {}
            yield Chunk(
                clean_reply(response.delta or ""),
                int(counts.get("prompt_tokens") or 0),
                int(counts.get("completion_tokens") or 0),
                finish_reason(response),
                [[(one.token, one.logprob) for one in token] for token in response.logprobs or ()],
            )


def _sent(message: Message) -> ChatMessage:
    """The message for LlamaIndex; a role that it does not know, of a model's own template, goes beside it."""
    if message.role in {role.value for role in MessageRole}:
        return ChatMessage(role=MessageRole(message.role), content=message.content)
    return ChatMessage(content=message.content, additional_kwargs={"role": message.role})


def _postprocessing(
    postprocessors: Sequence[BaseNodePostprocessor],
) -> Callable[[str, list[Hit]], list[Hit]] | None:
    """How postprocessors leave the hits of a question; a passage that was not found cannot be added."""
    if not postprocessors:
        return None

    def processed(asked: str, hits: list[Hit]) -> list[Hit]:
        known = {str(hit.passage.id): hit for hit in hits}
        nodes = [to_node(hit) for hit in hits]
        for postprocessor in postprocessors:
            nodes = postprocessor.postprocess_nodes(nodes, query_str=asked)
        kept = [(known[node.node.node_id], node.score) for node in nodes if node.node.node_id in known]
        return [hit if score is None else replace(hit, score=float(score)) for hit, score in kept]

    return processed


def _texts(events: Iterator[AnswerEvent], metadata: dict[str, Any]) -> Generator[str, None, None]:
    for event in events:
        if isinstance(event, Token):
            yield event.text
        elif isinstance(event, Done):
            metadata["answer"] = event.answer


def to_node(hit: Hit) -> NodeWithScore:
    """A hit as LlamaIndex's node with score; the metadata hold what a citation needs."""
    return NodeWithScore(node=_node(hit.passage), score=hit.score)


def _node(passage: Passage) -> TextNode:
    metadata = {
        "source": passage.source,
        "title": passage.title,
        "page": passage.page,
        "heading": " > ".join(passage.heading),
        "document_id": passage.document_id,
    }
    return TextNode(
        id_=str(passage.id),
        text=passage.text,
        start_char_idx=passage.start,
        end_char_idx=passage.end,
        metadata=metadata,
        excluded_embed_metadata_keys=list(metadata),
        excluded_llm_metadata_keys=["document_id"],
    )
