"""``rag users`` on the command line, and ``rag serve`` with accounts."""

from __future__ import annotations

import io
import json
from pathlib import Path

import httpx
import pytest

from rag import Library
from rag.commands.cli import run
from tests.commands.test_serving import served

PASSWORD = "walnut orbit lantern"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "library"
    monkeypatch.setenv("RAG_LIBRARY", str(folder))
    monkeypatch.setenv("RAG_LLM", "quotes")
    return folder


def users(monkeypatch: pytest.MonkeyPatch, *arguments: str, password: str = PASSWORD) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
    return run(["users", *arguments])


def test_the_life_of_an_account(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert users(monkeypatch, "list") == 0
    assert "nobody has to sign in" in capsys.readouterr().out
    assert users(monkeypatch, "add", "Anna", "--role", "admin", "--password-stdin") == 0
    assert "everybody must sign in" in capsys.readouterr().err
    assert users(monkeypatch, "add", "bela", "--password-stdin") == 0
    assert users(monkeypatch, "add", "anna", "--password-stdin") == 1
    assert users(monkeypatch, "add", "carl", "--password-stdin", password="short") == 1
    assert users(monkeypatch, "add", "carl") == 1
    assert "no terminal" in capsys.readouterr().err
    for arguments in (("role", "bela", "editor"), ("passwd", "bela", "--password-stdin"), ("sign-out", "bela")):
        assert users(monkeypatch, *arguments) == 0
    assert users(monkeypatch, "disable", "bela") == 0 and users(monkeypatch, "role", "nobody", "admin") == 1
    capsys.readouterr()
    assert users(monkeypatch, "list", "--json") == 0
    listed = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert listed["anna"]["role"] == "admin" and listed["bela"]["disabled"]
    assert users(monkeypatch, "enable", "bela") == 0
    assert users(monkeypatch, "log", "--json") == 0
    out = capsys.readouterr().out
    events = [line["event"] for line in json.loads(out[out.index("[") :])]
    assert events == [
        "account-made", "account-made", "role-changed", "password-changed", "signed-out-everywhere", "disabled",
        "enabled",
    ]  # fmt: skip
    assert PASSWORD not in out


def test_what_is_shared(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with Library.open(place, embedder="builtin") as library:
        library.add("text", source="a.txt")
    for name in ("anna", "bela"):
        assert users(monkeypatch, "add", name, "--password-stdin") == 0
    assert users(monkeypatch, "share", "default", "--with", "anna", "--edit", "nobody") == 1
    capsys.readouterr()
    assert users(monkeypatch, "share", "default") == 0
    assert "Nobody else may." in capsys.readouterr().out
    assert users(monkeypatch, "share", "default", "--with", "anna", "--edit", "bela", "--owner", "bela") == 0
    told = capsys.readouterr().out
    assert "belongs to bela" in told and "anna may ask it" in told and "bela may change it" in told
    assert users(monkeypatch, "share", "default", "--without", "anna", "--public") == 0
    assert "Every user may ask it." in capsys.readouterr().out


def test_a_token_is_what_a_program_shows_and_a_key_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Library.open(place, embedder="builtin") as library:
        library.add("The Brackwater bridge opened in 1931.", source="bridge.txt")
        for name in ("anna", "bela"):
            library.accounts.add(name, PASSWORD, "reader")
        library.accounts.share(library.collections.get().id, "anna", edits=False)
    tokens = {}
    for name in ("anna", "bela"):
        capsys.readouterr()
        assert users(monkeypatch, "tokens", name, "--new", "a script") == 0
        tokens[name] = capsys.readouterr().out.strip()
    monkeypatch.setenv("RAG_API_KEYS", "a-key-that-is-long-enough")
    assert run(["serve"]) == 2 and "belongs to no user" in capsys.readouterr().err
    monkeypatch.delenv("RAG_API_KEYS")
    with served() as address:
        bearers = {name: {"authorization": f"Bearer {token}"} for name, token in tokens.items()}
        found = httpx.get(f"{address}/api/sources", headers=bearers["anna"])
        assert [one["source"] for one in found.json()] == ["bridge.txt"]
        assert httpx.get(f"{address}/api/sources", headers=bearers["bela"]).status_code == 404
        assert httpx.get(f"{address}/v1/models", headers=bearers["bela"]).json()["data"] == []
        assert httpx.get(f"{address}/metrics", headers=bearers["anna"]).status_code == 403
        refused = httpx.post(f"{address}/api/documents?name=x.txt", headers=bearers["anna"], content=b"text")
        assert refused.status_code == 403
        assert httpx.get(f"{address}/api/sources").status_code == 401
        # The server writes this library; the accounts are changed beside it, and it counts at once.
        assert users(monkeypatch, "disable", "anna") == 0
        assert httpx.get(f"{address}/api/sources", headers=bearers["anna"]).status_code == 401
        assert users(monkeypatch, "share", "default", "--with", "bela") == 0
        assert httpx.get(f"{address}/api/sources", headers=bearers["bela"]).status_code == 200
