"""The tools for assistants, through the official client: in this process, over stdio and over HTTP."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from rag import Library
from rag.api.mcp import create_server
from tests.ui.servers import serving

DOCS = {
    "leave.md": "# Leave policy\n\nFull-time staff receive 28 days of paid annual leave a year.\n",
    "bridge.txt": "The Brackwater bridge opened in 1931, two years late. It has four arches of red granite.\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    docs, place = tmp_path_factory.mktemp("docs"), tmp_path_factory.mktemp("library")
    for name, text in DOCS.items():
        (docs / name).write_text(text, encoding="utf-8")
    with Library.open(place, llm="quotes", embedder="builtin") as library:
        library.ingest([docs])
    return place


@pytest.fixture
def library(folder: Path) -> Iterator[Library]:
    with Library.open(folder, llm="quotes", write=False) as opened:
        yield opened


async def called(client: Client, name: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(name, arguments)
    assert not result.is_error, result
    assert isinstance(result.structured_content, dict)
    return result.structured_content


async def walk(target: Any) -> None:
    """Every tool once, as an assistant would."""
    async with Client(target, read_timeout_seconds=120) as client:
        tools = (await client.list_tools()).tools
        assert sorted(tool.name for tool in tools) == ["ask", "quote", "search", "sources", "verify"]
        assert all(tool.annotations and tool.annotations.read_only_hint and tool.description for tool in tools)
        answer = await called(client, "ask", question="When did the Brackwater bridge open?")
        cited = answer["citations"][0]
        assert cited["source"] == "bridge.txt" and not answer["abstained"]
        place = {"document": cited["document_id"], "start": cited["start"], "end": cited["end"]}
        assert (await called(client, "quote", **place))["text"] == cited["quote"]
        found = await called(client, "search", question="paid leave", k=1)
        assert found["passages"][0]["passage"]["source"] == "leave.md"
        assert [one["source"] for one in (await called(client, "sources"))["documents"]] == sorted(DOCS)
        wrong = await called(client, "verify", text="The Brackwater bridge opened in 1947.")
        assert wrong["sentences"][0]["support"] == "unsupported"
        for name, arguments in (("ask", {"question": " "}), ("quote", {"document": 99, "start": 0, "end": 1})):
            failed = await client.call_tool(name, arguments)
            assert failed.is_error and "Traceback" not in str(failed.content)


def test_in_this_process(library: Library) -> None:
    asyncio.run(walk(create_server(library)))


def test_over_http(library: Library) -> None:
    with serving(create_server(library).streamable_http_app(), lifespan="on") as port:
        asyncio.run(walk(f"http://127.0.0.1:{port}/mcp"))


def test_over_stdio(folder: Path) -> None:
    command = ["-m", "rag", "mcp", "--library", str(folder), "--llm", "quotes"]
    asyncio.run(walk(StdioServerParameters(command=sys.executable, args=command)))
