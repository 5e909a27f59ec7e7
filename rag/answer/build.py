"""The query engine of a collection, put together from the configuration and the stores."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from rag.answer.abstain import ABSENT_BELOW, DEFAULT_THRESHOLD, Abstainer
from rag.answer.across import Across
from rag.answer.courtesy import is_courtesy
from rag.answer.engine import AnswerEngine, Chat, Settings, Tools
from rag.answer.passages import whole
from rag.answer.quoting import Quoter, Reach, SeriesReader
from rag.answer.reading import Reader
from rag.answer.verify import Verifier
from rag.answer.writing import SCHEMA, SECONDS, General, Judge, YesOrNo
from rag.config import Config
from rag.models.choose import OFF, OLLAMA
from rag.models.encoder import shared_encoder
from rag.models.families import verifying_family
from rag.models.static import static_vectors
from rag.prompts import load_prompt
from rag.retrieve import HybridRetriever
from rag.store.truth import Collection, Lexical, Truth
from rag.tokens import FIRST_FACTOR, TokenCounter
from rag.types import Passage

if TYPE_CHECKING:
    from llama_index.core.llms.llm import LLM


SMALL_MODEL = 3_000_000_000
"""Below so many parameters a model gets the small prompt: it follows two lines of instructions, not ten."""


def build_engine(
    config: Config,
    truth: Truth,
    lexical: Lexical,
    collection: Collection,
    retriever: HybridRetriever,
    llm: LLM | None,
    model: str,
    verifying: Callable[[], LLM],
) -> AnswerEngine:
    """The engine that answers from ``collection`` with ``llm``, or by quoting when that is None. ``verifying`` opens
    the model that the setting ``verify`` names."""
    vectors = static_vectors()
    size = truth.passages.count(collection.id)
    encoder = None if config.encoder == OFF else shared_encoder()
    reader = None if encoder is None else Reader(encoder)

    def frequency(term: str) -> int:
        return lexical.document_frequency(collection.id, term)

    def neighbours(passage: Passage) -> list[Passage]:
        return [p for p in truth.passages.neighbours(passage) if p is not None]

    def learn(counter: TokenCounter) -> None:
        if truth.writer:
            truth.settings.set(f"tokens:{model}", {"factor": counter.factor, "observations": counter.observations})

    learnt = truth.settings.get(f"tokens:{model}") or {}
    secret = _secret(truth)
    tools = Tools(
        verifier=Verifier(vectors, shared_encoder() if config.encoder == "builtin" and llm is not None else None),
        across=Across(
            Abstainer(vectors, frequency, size, reader=reader),
            Quoter(vectors, frequency, size, reader=reader),
            retriever.multilingual,
        ),
        series=SeriesReader(vectors, Reach(retriever.holding, retriever.document), frequency, size),
        neighbours=neighbours,
        whole=lambda passage: whole(passage, *truth.passages.neighbours(passage)),
        headings=lambda document_id: truth.documents.layout(document_id)[0],
        counter=TokenCounter(learnt.get("factor", FIRST_FACTOR), learnt.get("observations", 0)),
        learn=learn,
        answer_prompt=load_prompt(_prompt_name(config, llm), config.prompts),
        condense_prompt=load_prompt("condense", config.prompts),
        secret=secret,
        chat=_chat(llm),
        courtesy=(lambda message: False) if encoder is None else partial(is_courtesy, encoder),
        judge=_judge(config, llm, secret),
        judging=verifying if config.verify.startswith(OLLAMA) else None,
    )
    return AnswerEngine(retriever, llm, tools, _settings(config, collection, llm, model))


def _chat(llm: LLM | None) -> Chat | None:
    """How the model is talked with; LlamaIndex is not imported for quoting."""
    if llm is None:
        return None
    from rag.answer.llama import chat

    return chat


def _secret(truth: Truth) -> bytes:
    """The library's own secret, made once; a process that only reads a library without one has its own."""
    known = truth.settings.get("prompt_secret")
    if not isinstance(known, str):
        known = secrets.token_hex(16)
        if truth.writer:
            truth.settings.set("prompt_secret", known)
    return bytes.fromhex(known)


def _prompt_name(config: Config, llm: LLM | None) -> str:
    """The prompt of the family ``answer`` that suits the model's size; the large one where it is not known."""
    if config.prompt != "auto":
        return {"full": "answer", "small": "answer-small"}[config.prompt]
    parameters = getattr(llm, "parameters", 0)
    return "answer-small" if 0 < parameters < SMALL_MODEL else "answer"


def _judge(config: Config, llm: LLM | None, secret: bytes) -> Judge | None:
    """The second opinion, if it is asked for; quotations need none. Only Ollama's models are known to take a schema."""
    if config.verify == "rules" or llm is None:
        return None
    family = verifying_family(config.verify.removeprefix(OLLAMA))
    if config.verify.startswith(OLLAMA) and family is not None:
        return Judge(YesOrNo(family), config.verify_all, config.read_seconds)
    from rag.models.ollama import OllamaLLM

    known = config.verify.startswith(OLLAMA) or isinstance(llm, OllamaLLM)
    form = General(load_prompt("judge", config.prompts), secret, {"format": dict(SCHEMA)} if known else {})
    return Judge(form, config.verify_all, config.read_seconds if config.verify.startswith(OLLAMA) else SECONDS)


def _settings(config: Config, collection: Collection, llm: LLM | None, model: str) -> Settings:
    fitted = float(collection.settings.get("abstain_below", DEFAULT_THRESHOLD))
    threshold = config.abstain_below if config.abstain_below >= 0 else fitted
    if llm is None:
        return Settings(model, config.num_ctx, config.answer_tokens, threshold, ABSENT_BELOW)
    # The model knows its own window; the configured one may be larger than what it was trained for.
    window = min(llm.metadata.context_window or config.num_ctx, config.num_ctx)
    reserve = llm.metadata.num_output if 0 < llm.metadata.num_output < window else config.answer_tokens
    return Settings(model, window, min(reserve, window // 2), threshold, ABSENT_BELOW)
