"""Accounts of a library, and what a user's view of it lets through."""

from __future__ import annotations

import inspect
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rag import Library
from rag import accounts as policy
from rag.accounts import FREE_ATTEMPTS, Throttle
from rag.errors import (
    AccountError,
    NotAllowed,
    RagError,
    SignInRefused,
    UnknownCollection,
    UnknownConversation,
    UnknownSource,
)
from rag.library import Collections
from rag.store.backends import FILE_NAME
from rag.store.truth import User

PASSWORD = "walnut orbit lantern"
CANARY = "The vault of Brackwater opens with the word CANARY-a71f."
Opener = Callable[[], Library]


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library.open(tmp_path / "library", llm="quotes", embedder="builtin") as opened:
        yield opened


def people(library: Library) -> tuple[User, User, User, User]:
    """An administrator, two editors and a reader."""
    accounts = library.accounts
    return (
        accounts.add("root", PASSWORD, "admin"), accounts.add("anna", PASSWORD, "editor"),
        accounts.add("bela", PASSWORD, "editor"), accounts.add("carl", PASSWORD, "reader"),
    )  # fmt: skip


def test_there_are_none_until_the_first_is_made_and_then_for_good(library: Library) -> None:
    accounts = library.accounts
    assert not accounts.wanted
    accounts.add("Änna", PASSWORD)
    assert accounts.wanted and accounts.get("ÄNNA").role == "reader"
    with sqlite3.connect(library.path / FILE_NAME) as connection:  # as damage would
        connection.execute("DELETE FROM account")
    connection.close()
    assert accounts.wanted, "an empty table opens the page to nobody, not to everybody"


@pytest.mark.parametrize("name", ["", " ", "a b", "../x", "-x", "x" * 65, "a\nb", "<b>", "a/b"])
def test_names_that_wont_do(library: Library, name: str) -> None:
    with pytest.raises(AccountError):
        library.accounts.add(name, PASSWORD)


def test_passwords_and_roles_that_wont_do(library: Library) -> None:
    for password in ("", "short", "anna-and-more-of-it", "x" * 2000):
        with pytest.raises(AccountError):
            library.accounts.add("anna", password)
    with pytest.raises(AccountError):
        library.accounts.add("anna", PASSWORD, "owner")
    library.accounts.add("anna", PASSWORD)
    with pytest.raises(AccountError):
        library.accounts.add("ANNA", PASSWORD)
    with pytest.raises(AccountError):
        library.accounts.get("nobody")


def test_the_file_holds_no_secret(library: Library) -> None:
    accounts = library.accounts
    accounts.add("anna", PASSWORD)
    session, token = accounts.sign_in("anna", PASSWORD, "127.0.0.1"), accounts.new_token("anna", "a program")
    assert accounts.session(session) == accounts.by_token(token) == accounts.get("anna")
    assert accounts.session(token) is None and accounts.by_token(session) is None
    stored = (library.path / FILE_NAME).read_bytes()
    for secret in (PASSWORD, session, token):
        assert secret.encode() not in stored
    assert b"$argon2id$" in stored


def test_guesses_are_counted_also_at_once_and_for_names_that_there_are_not(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.time()
    monkeypatch.setattr("rag.store.tables.accounts.time.time", lambda: began)  # no lock opens while they are made
    accounts = library.accounts
    accounts.add("anna", PASSWORD)
    for name in ("anna", "nobody"):
        said: list[str] = []

        def guess(number: int, name: str = name, said: list[str] = said) -> None:
            with pytest.raises(SignInRefused) as refused:
                accounts.sign_in(name, f"guess number {number}")
            said.append(str(refused.value))

        threads = [threading.Thread(target=guess, args=(n,)) for n in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        looked_at = sum("do not belong" in text for text in said)
        assert len(said) == 40 and 1 <= looked_at <= FREE_ATTEMPTS < 10
    with pytest.raises(SignInRefused, match="too many"):
        accounts.sign_in("anna", PASSWORD)
    assert sum(line.event == "locked-out" for line in accounts.log(200)) >= 2 * (40 - FREE_ATTEMPTS)


def test_the_lock_opens_and_the_right_password_forgets_the_wrong_ones(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = library.accounts
    accounts.add("anna", PASSWORD)
    now = [time.time()]
    monkeypatch.setattr("rag.store.tables.accounts.time.time", lambda: now[0])
    for _ in range(FREE_ATTEMPTS):
        with pytest.raises(SignInRefused):
            accounts.sign_in("anna", "wrong wrong wrong")
    now[0] += policy.FIRST_LOCK_SECONDS + 1
    assert accounts.session(accounts.sign_in("anna", PASSWORD))
    for _ in range(FREE_ATTEMPTS - 1):
        with pytest.raises(SignInRefused, match="do not belong"):
            accounts.sign_in("anna", "wrong wrong wrong")


def test_an_unknown_name_is_looked_at_as_long_as_a_known_one(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each attempt, right or wrong, known or not, disabled or not, is one run of Argon2 over the same parameters."""
    accounts = library.accounts
    accounts.add("anna", PASSWORD)
    accounts.add("gone", PASSWORD)
    accounts.disable("gone")
    with pytest.raises(SignInRefused):
        accounts.sign_in("warm-up", "x")
    looked: list[str] = []
    real = accounts._hasher.verify

    class Watched:
        def verify(self, kept: str, password: str) -> bool:
            looked.append(kept.rsplit("$", 2)[0])
            return real(kept, password)

    monkeypatch.setattr(accounts, "_made", Watched())
    for name in ("anna", "nobody", "gone"):
        with pytest.raises(SignInRefused) as refused:
            accounts.sign_in(name, "wrong wrong wrong")
        assert "do not belong" in str(refused.value)
    assert len(looked) == 3 and len(set(looked)) == 1


def test_sessions_end(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = library.accounts
    accounts.add("anna", PASSWORD)
    first, second = accounts.sign_in("anna", PASSWORD), accounts.sign_in("anna", PASSWORD)
    assert first != second
    accounts.sign_out(first)
    assert accounts.session(first) is None and accounts.session(second)
    accounts.set_password("anna", PASSWORD + "!")
    assert accounts.session(second) is None
    third = accounts.sign_in("anna", PASSWORD + "!")
    token = accounts.new_token("anna", "x")
    accounts.sign_out_everywhere("anna")
    assert accounts.session(third) is None and accounts.by_token(token)
    fourth = accounts.sign_in("anna", PASSWORD + "!")
    accounts.disable("anna")
    assert accounts.session(fourth) is None and accounts.by_token(token) is None
    with pytest.raises(SignInRefused):
        accounts.sign_in("anna", PASSWORD + "!")
    accounts.disable("anna", disabled=False)
    fifth = accounts.sign_in("anna", PASSWORD + "!")
    later = time.time() + policy.IDLE_SECONDS + 10
    monkeypatch.setattr("rag.store.tables.accounts.time.time", lambda: later)
    assert accounts.session(fifth) is None
    for odd in ("", "x", "ä" * 20, "x" * 10_000, "\0"):
        assert accounts.session(odd) is None and accounts.by_token(odd) is None


def test_tokens_are_listed_and_revoked(library: Library) -> None:
    accounts = library.accounts
    accounts.add("anna", PASSWORD)
    token = accounts.new_token("anna", "cron", days=30)
    (listed,) = accounts.tokens("anna")
    assert listed.label == "cron" and listed.expires - listed.created == pytest.approx(30 * 86_400, abs=5)
    with pytest.raises(AccountError):
        accounts.revoke("anna", "00000000")
    accounts.revoke("anna", listed.name)
    assert accounts.by_token(token) is None and not accounts.tokens("anna")


def test_accounts_change_while_another_process_writes_documents(library: Library) -> None:
    library.accounts.add("anna", PASSWORD)
    with Library.open(library.path, write=False) as beside:
        assert not beside.writable
        session = beside.accounts.sign_in("anna", PASSWORD)
        assert library.accounts.session(session)
        beside.accounts.disable("anna")
    assert library.accounts.session(session) is None


def test_a_view_holds_what_is_the_users_what_is_shared_and_what_is_public(library: Library) -> None:
    root, anna, bela, carl = people(library)
    library.add("For all of the house.", source="old.txt")
    mine = library.for_user(anna)
    mine.collections.create("vault")
    mine.add(CANARY, source="vault.txt", collection="vault")
    document = mine.document("vault.txt", "vault").id
    views = {user.name: library.for_user(user) for user in (root, bela, carl)}
    vault = library.collections.get("vault").id

    def seen() -> set[str]:
        return {name for name, view in views.items() if "vault" in view.collections.names()}

    assert mine.collections.names() == ("vault",) and views["root"].collections.names() == ("default",)
    assert seen() == set(), "what is private is so for administrators too"
    library.accounts.share(vault, "bela", edits=False)
    assert seen() == {"bela"} and "CANARY" in views["bela"].text(document)
    with pytest.raises(NotAllowed):
        views["bela"].remove("vault.txt", "vault")
    library.accounts.share(vault, "bela", edits=True)
    views["bela"].add("More.", source="more.txt", collection="vault")
    forbidden_to_them: tuple[Callable[[], Any], ...] = (
        lambda: views["bela"].collections.delete("vault"),
        lambda: views["bela"].collections.rename("vault", "x"),
        lambda: views["carl"].collections.create("own"),
    )
    for forbidden in forbidden_to_them:
        with pytest.raises(NotAllowed):
            forbidden()
    library.accounts.share(vault, "bela", edits=None)
    assert seen() == set()
    with pytest.raises(UnknownSource):
        views["bela"].text(document)
    library.accounts.publish(vault, public=True)
    assert seen() == {"root", "bela", "carl"}
    with pytest.raises(NotAllowed):
        views["carl"].add("x", source="x.txt", collection="vault")
    library.accounts.publish(vault, public=False)
    library.accounts.disable("anna")
    assert mine.collections.names() == ()
    with pytest.raises(UnknownCollection):
        mine.search("vault", collection="vault")


def test_an_editor_without_a_collection_gets_one_of_their_own(library: Library) -> None:
    _, anna, _, carl = people(library)
    view = library.for_user(anna)
    view.add("A first text about herons.", source="a.txt")
    assert view.collections.names() == ("anna",) and view.search("herons")
    with pytest.raises(NotAllowed):
        library.for_user(carl).add("x", source="x.txt")


def every_call(view: Library, document: int, folder: Path) -> dict[str, Callable[[], Any]]:
    """Every public method and property of a library, called for what is another's."""
    question = "vault word"
    return {
        "add": lambda: view.add("x", source="x.txt", collection="vault"),
        "aask": lambda: _run(view.aask(question, collection="vault")),
        "accounts": lambda: view.accounts,
        "ask": lambda: view.ask(question, collection="vault"),
        "astream": lambda: _drain(view.astream(question, collection="vault")),
        "backup": lambda: view.backup(folder / "stolen"),
        "export": lambda: view.export(folder / "taken"),
        "import_events": lambda: list(view.import_events(folder)),
        "collections": lambda: view.collections.get("vault"),
        "compact": view.compact,
        "conversations": lambda: view.conversations.get(1),
        "describe": lambda: view.describe("vault.txt", {"a": 1}, "vault"),
        "doctor": view.doctor,
        "document": lambda: view.document("vault.txt", "vault"),
        "embed": lambda: view.embed([question], "vault"),
        "expect_administrator": view.expect_administrator,
        "encode_events": lambda: list(view.encode_events("vault")),
        "fingerprint": lambda: view.fingerprint("vault"),
        "folders": lambda: view.folders("vault"),
        "forget_folder": lambda: view.forget_folder("/x", "vault"),
        "index": lambda: view.index("vault"),
        "ingest": lambda: view.ingest(folder, collection="vault"),
        "ingest_address": lambda: view.ingest_address("http://127.0.0.1:9/", collection="vault"),
        "ingest_events": lambda: list(view.ingest_events(folder, uploads=True, collection="vault")),
        "layout": lambda: view.layout(document),
        "original": lambda: view.original(document),
        "query_engine": lambda: view.query_engine("vault"),
        "queue": view.queue,
        "quoted": lambda: view.quoted(question, "vault"),
        "reindex_events": lambda: list(view.reindex_events("builtin", "vault")),
        "remove": lambda: view.remove("vault.txt", "vault"),
        "retriever": lambda: view.retriever("vault"),
        "search": lambda: view.search(question, collection="vault"),
        "settle_queue": lambda: view.settle_queue(again=True),
        "sources": lambda: view.sources("vault"),
        "stream": lambda: list(view.stream(question, collection="vault")),
        "summary": lambda: view.summary("vault.txt", "vault"),
        "sync": lambda: view.sync(folder, collection="vault"),
        "sync_events": lambda: list(view.sync_events(folder, collection="vault")),
        "shared": lambda: view.shared,
        "share_choices": lambda: view.share_choices(),
        "text": lambda: view.text(document),
        "unread": lambda: view.unread("vault"),
        "use_llm": lambda: view.use_llm("quotes"),
        "verify": lambda: view.verify(CANARY, "vault"),
        "work": lambda: list(view.work(threading.Event())),
        "watch": lambda: list(view.watch([folder], stop=threading.Event(), collection="vault")),
    }


HARMLESS = {
    "close", "embedder_choice", "for_user", "known_documents", "llm_choice", "llm_wanted", "notices", "open", "path",
    "repair", "restore", "warm_up", "writable",
}  # fmt: skip
"""What names no collection and no document of another, tried below, or belongs to no view."""


def _run(coroutine: Any) -> Any:
    import asyncio

    return asyncio.run(coroutine)


def _drain(events: Any) -> Any:
    async def drained() -> list[Any]:
        return [event async for event in events]

    return _run(drained())


def test_every_way_into_a_library_is_closed_to_whom_it_is_not_shared_with(library: Library, tmp_path: Path) -> None:
    """A new method is a decision: it belongs into one of the two lists."""
    _, anna, bela, _ = people(library)
    mine = library.for_user(anna)
    mine.collections.create("vault")
    mine.add(CANARY, source="vault.txt", collection="vault")
    document = mine.document("vault.txt", "vault").id
    mine.conversations.append(mine.conversations.create("vault"), "What is the word?", "", {"text": CANARY})
    view = library.for_user(bela)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.txt").write_text("text", encoding="utf-8")
    calls = every_call(view, document, tmp_path / "in")
    public = {name for name, _ in inspect.getmembers(Library) if not name.startswith("_")}
    assert public == set(calls) | HARMLESS
    for name, call in calls.items():
        with pytest.raises(RagError) as refused:
            call()
        assert "CANARY" not in refused.value.explain(), name
        assert "vault" not in (refused.value.hint or ""), name
    assert list(view.known_documents()) == [] and view.notices == library.for_user(anna).notices
    assert view.conversations.list() == () and view.conversations.search("CANARY") == ()
    assert len(mine.conversations.list()) == 1 and mine.conversations.search("CANARY")
    with pytest.raises(UnknownConversation):
        view.conversations.delete(1)
    with pytest.raises(UnknownConversation):
        view.conversations.rename(1, "x")
    view.close()
    assert mine.search("vault word"), "a view that is closed closes nothing"


def test_every_way_into_the_collections_is_closed_too(library: Library) -> None:
    _, anna, bela, _ = people(library)
    library.for_user(anna).collections.create("vault")
    theirs = library.for_user(bela).collections
    assert {name for name, _ in inspect.getmembers(Collections) if not name.startswith("_")} == {
        "names", "named", "get", "create", "expect_editable", "ensure", "rename", "delete", "settings", "set_setting",
    }  # fmt: skip
    assert theirs.names() == () and theirs.named("vault") is None
    calls: tuple[Callable[[], Any], ...] = (
        lambda: theirs.get("vault"), lambda: theirs.expect_editable("vault"),
        lambda: theirs.rename("vault", "x"), lambda: theirs.delete("vault"),
        lambda: theirs.settings("vault"), lambda: theirs.set_setting("a", 1, "vault"),
    )  # fmt: skip
    for call in calls:
        with pytest.raises(UnknownCollection):
            call()


def test_what_the_log_tells(library: Library) -> None:
    _, anna, *_ = people(library)
    view = library.for_user(anna)
    view.collections.create("vault")
    view.add("text", source="a.txt", collection="vault")
    view.remove("a.txt", "vault")
    library.accounts.sign_in("anna", PASSWORD, "192.0.2.7")
    lines = [(one.who, one.event, one.about, one.address) for one in library.accounts.log(4)]
    assert lines == [
        ("anna", "signed-in", "", "192.0.2.7"),
        ("anna", "document-removed", "vault: a.txt", ""),
        ("anna", "document-added", "vault: a.txt", ""),
        ("anna", "collection-made", "vault", ""),
    ]
    assert {one.who for one in library.accounts.log(100, "anna")} == {"anna"}


def test_an_address_is_bounded() -> None:
    now = [0.0]
    throttle = Throttle(3, 10, lambda: now[0])
    assert [throttle.allows("a") for _ in range(5)] == [True, True, True, False, False]
    assert all(throttle.allows("b") for _ in range(3)) and not throttle.allows("b")
    for _ in range(5):
        assert throttle.allows("c")
        throttle.forgive("c")
    now[0] = 11
    assert throttle.allows("a")
