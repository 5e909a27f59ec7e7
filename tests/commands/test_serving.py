"""``rag verify`` holds an answer exported today against the documents of tomorrow; ``rag serve`` serves programs."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from rag.commands.cli import run

TEXT = "The Brackwater bridge opened in 1931, two years late. It has four arches of red granite.\n"


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAG_LIBRARY", str(tmp_path / "library"))
    monkeypatch.setenv("RAG_LLM", "quotes")
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "bridge.txt").write_text(TEXT, encoding="utf-8")
    assert run(["ingest", str(folder)]) == 0
    return folder


@pytest.fixture
def exported(docs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    capsys.readouterr()
    assert run(["ask", "When did the Brackwater bridge open?", "--json"]) == 0
    file = tmp_path / "answer.json"
    file.write_text(capsys.readouterr().out, encoding="utf-8")
    return file


def test_against_the_library_and_against_the_bare_files(
    docs: Path, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify", str(exported)]) == 0
    assert "1 of 1 citations hold." in capsys.readouterr().out
    assert run(["verify", str(exported), str(docs), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["report"]["citations"][0]["found_in"] == "bridge.txt"


def test_what_has_changed_since_is_said(docs: Path, exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (docs / "bridge.txt").write_text("Foreword.\n\n" + TEXT, encoding="utf-8")
    assert run(["verify", str(exported), str(docs)]) == 1
    assert "[1] moved: bridge.txt" in capsys.readouterr().out
    (docs / "bridge.txt").write_text("The bridge is closed.\n", encoding="utf-8")
    assert run(["verify", str(exported), str(docs)]) == 1
    assert "[1] gone: bridge.txt" in capsys.readouterr().out


def test_what_is_no_answer_is_refused(docs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "no.json"
    for data in (b"", b"[]", b"{", b"\xff\xfe", b'{"citations": [1], "text": ""}'):
        file.write_bytes(data)
        assert run(["verify", str(file)]) == 1
        error = capsys.readouterr().err
        assert error.startswith("Error: ") and "Traceback" not in error


@contextmanager
def served(*arguments: str, keys: str = "") -> Iterator[str]:
    """The address that ``rag serve`` prints, while the block runs."""
    command = [sys.executable, "-m", "rag", "serve", "--port", "0", *arguments]
    environment = {**os.environ, "RAG_API_KEYS": keys}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        try:
            assert child.stdout is not None
            line = child.stdout.readline()
            found = re.search(r"http://\S+?(?=v1 )", line)
            assert found is not None, line
            yield found[0].rstrip("/")
        finally:
            child.send_signal(signal.SIGTERM)
            assert child.wait(60) == 0


def test_programs_are_served(docs: Path) -> None:
    with served() as address:
        answer = httpx.post(
            f"{address}/api/ask", json={"question": "When did the Brackwater bridge open?"}, timeout=120
        )
        assert answer.json()["citations"][0]["source"] == "bridge.txt"
        for headers, status in (({"host": "evil.example"}, 421), ({"origin": "http://evil.example"}, 403)):
            reply = httpx.get(f"{address}/api/sources", headers=headers)
            assert reply.status_code == status and reply.headers["x-content-type-options"] == "nosniff"
        assert httpx.post(f"{address}/api/ask", content=b" " * 3_000_000).status_code == 413


def test_assistants_are_served_behind_the_same_keys(docs: Path) -> None:
    key = "a-key-that-is-long-enough"

    async def listed(address: str) -> list[str]:
        async with httpx2.AsyncClient(headers={"authorization": f"Bearer {key}"}) as carrier:
            transport = streamable_http_client(f"{address}/mcp/", http_client=carrier)
            async with Client(transport, read_timeout_seconds=120) as client:
                return [tool.name for tool in (await client.list_tools()).tools]

    with served("--mcp", keys=key) as address:
        assert httpx.post(f"{address}/mcp/", json={}).status_code == 401
        assert httpx.get(f"{address}/api/sources").status_code == 401
        assert "ask" in asyncio.run(listed(address))


def test_away_from_this_machine_there_must_be_a_key(
    docs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve", "--host", "0.0.0.0"]) == 2
    assert "RAG_API_KEYS" in capsys.readouterr().err
    monkeypatch.setenv("RAG_API_KEYS", "short")
    assert run(["serve"]) == 2 and "shorter than 16" in capsys.readouterr().err
