"""A LlamaIndex model of another package: its failures are typed errors, and whatever it writes is fit to be shown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.prompts import PromptTemplate
from llama_index.core.schema import NodeWithScore, QueryBundle
from pydantic import Field

from rag import Library
from rag.answer.export import to_markdown
from rag.commands.terminal import answer_text
from rag.errors import ConfigError, ModelError, ModelTimeout, PromptError, ServerUnreachable, WrongModelKind
from rag.prompts import load_prompt
from rag.types import Done, Token
from tests.fake_ollama import FakeOllama

OPENED = "The Alpha bridge was opened in 1931 by Queen Maud"
QUESTION = "When was the Alpha bridge opened?"


class Vendor(CustomLLM):
    """Says ``pieces`` and then fails with ``error``, if there is one."""

    pieces: list[str] = Field(default_factory=list)
    error: Any = None

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(context_window=4_096, num_output=256, is_chat_model=True)

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        raise AssertionError("answers are streamed")

    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> Generator[CompletionResponse, None, None]:
        for piece in self.pieces:
            yield CompletionResponse(text=piece, delta=piece)
        if self.error is not None:
            raise self.error


def library(tmp_path: Path, llm: Vendor) -> Library:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "alpha.md").write_text(f"# Alpha\n\n{OPENED}.\n", encoding="utf-8")
    (tmp_path / "docs" / "beta.md").write_text("# Beta\n\nThe Beta tunnel was opened in 1967.\n", encoding="utf-8")
    opened = Library.open(tmp_path / "library", llm=llm, embedder="builtin", abstain_below=0.0)
    opened.ingest([tmp_path / "docs"])
    return opened


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("quota of key used up"), ModelError),
        (ValueError(), ModelError),
        (TimeoutError("60 s"), ModelTimeout),
        (ConnectionRefusedError("port 8080"), ServerUnreachable),
        (NotImplementedError("no streaming"), WrongModelKind),
    ],
)
@pytest.mark.parametrize("pieces", [[], ["The Alpha ", "bridge"]])
def test_a_failure_is_a_typed_error_and_the_next_question_works(
    tmp_path: Path, error: Exception, kind: type[ModelError], pieces: list[str]
) -> None:
    llm = Vendor(pieces=pieces, error=error)
    with library(tmp_path, llm) as opened:
        with pytest.raises(ModelError) as caught:
            opened.ask(QUESTION)
        assert type(caught.value) is kind and caught.value.hint and caught.value.__cause__ is error
        assert "Vendor" in str(caught.value) and str(error) in str(caught.value)
        llm.pieces, llm.error = [f"{OPENED} [1]."], None
        assert opened.ask(QUESTION).text == f"{OPENED} [1]."


def test_after_a_refusal_in_other_words_the_plain_one_is_a_paragraph_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag.answer.engine.CONFIDENT", 1.1)
    said = ["Die Dokumente nennen ", "keinen Preis."]
    with library(tmp_path, Vendor(pieces=said)) as opened:
        events = list(opened.stream(QUESTION))
        assert isinstance(events[-1], Done) and events[-1].answer.abstained
        shown = "".join(event.text for event in events if isinstance(event, Token))
        assert shown == f"{''.join(said)}\n\n{events[-1].answer.text}"


def test_what_is_no_text_is_left_out(tmp_path: Path) -> None:
    said = f"{OPENED} \ud800[1\udfff].\x00\r\n\nIt \x1b]0;title\x07\u202eis \U000e0041long [7]."
    with library(tmp_path, Vendor(pieces=list(said))) as opened:
        answer = opened.ask(f"{QUESTION}\udc80\x00")
        assert answer.text == f"{OPENED} [1].\n\nIt ]0;titleis long."
        assert answer.question == QUESTION and answer.dropped_markers == 1
        for shown in (to_markdown(answer), answer_text(answer), json.dumps(answer.to_dict(), ensure_ascii=False)):
            shown.encode()


def test_a_list_of_sources_is_no_part_of_the_answer_and_what_was_used_is_told(tmp_path: Path) -> None:
    with library(tmp_path, Vendor(pieces=[f"{OPENED} [1].\n\nSources:\n[1] alpha.md\n", "[2] beta.md"])) as opened:
        answer = opened.ask(QUESTION)
        assert answer.text == f"{OPENED} [1]." and answer.sources == ("alpha.md",)
        assert [hit.passage.source for hit in answer.hits] == ["alpha.md", "beta.md"] and answer.used == (0,)
        assert answer.to_dict()["used"] == [0]


class Last(BaseNodePostprocessor):
    """Keeps the worst passage."""

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return nodes[-1:]


def test_a_query_engine_takes_the_usual_arguments_and_refuses_others_with_a_sentence(tmp_path: Path) -> None:
    with library(tmp_path, Vendor(pieces=[f"{OPENED} [1]."])) as opened:
        best = opened.query_engine().query(QUESTION).source_nodes
        assert len(best) == 2 and len(opened.query_engine(similarity_top_k=1).query(QUESTION).source_nodes) == 1
        last = opened.query_engine(node_postprocessors=[Last()]).query(QUESTION).source_nodes
        assert [node.node_id for node in last] == [best[-1].node_id]
        with pytest.raises(ConfigError, match="response_mode") as caught:
            opened.query_engine(response_mode="refine")
        assert caught.value.hint


def test_prompts_can_be_read_and_replaced(tmp_path: Path) -> None:
    with library(tmp_path, Vendor(pieces=[f"{OPENED} [1]."])) as opened:
        engine = opened.query_engine()
        before = engine.get_prompts()
        assert set(before) == {"answer", "condense"} and "{sources}" in before["answer"].get_template()
        engine.update_prompts(before)
        assert engine._engine._tools.answer_prompt.render(sources="a", question="b", nonce="c") == load_prompt(
            "answer"
        ).render(sources="a", question="b", nonce="c")
        engine.update_prompts({"answer": PromptTemplate("Cost: $5 {{x}}\n---\n{sources} {question} {nonce}")})
        assert engine._engine._tools.answer_prompt.render(sources="a", question="b", nonce="c") == (
            "Cost: $5 {x}",
            "a b c",
        )
        with pytest.raises(PromptError):
            engine.update_prompts({"answer": PromptTemplate("no variables")})
        with pytest.raises(PromptError, match="refine"):
            engine.update_prompts({"refine": PromptTemplate("x")})


def test_coroutines_leave_the_loop_free_and_cancelling_one_stops_the_model(tmp_path: Path) -> None:
    with FakeOllama(["chat-ramble"], delay=0.02) as server:
        (tmp_path / "a.md").write_text(f"{OPENED}.\n", "utf-8")
        with Library.open(
            tmp_path / "l", llm="ollama:chat-ramble", embedder="builtin", encoder="off", ollama_host=server.url
        ) as opened:
            opened.ingest(tmp_path / "a.md")

            async def both() -> int:
                asked = asyncio.create_task(opened.aask(QUESTION))
                ticks = 0
                while not any(record.lines for record in server.sent("/api/chat")):
                    await asyncio.sleep(0.01)
                    ticks += 1
                asked.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asked
                return ticks

            assert asyncio.run(both()) > 1
            record = server.sent("/api/chat")[0]
            assert server.wait_for(lambda: record.disconnected > 0, 60)
            server.delay = 0
            assert OPENED in asyncio.run(opened.aask(QUESTION)).text


def test_a_folder_of_prompts_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="not there"):
        load_prompt("answer", tmp_path / "nowhere")


def test_a_models_own_name_is_told(tmp_path: Path) -> None:
    with library(tmp_path, Vendor()) as opened:
        assert opened.llm_choice.name == "Vendor"
