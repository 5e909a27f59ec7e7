"""The page, programs and assistants with accounts: who is not signed in gets nothing, and nobody another's."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from rag import Library
from rag.api.door import AccountDoor
from rag.api.guard import ApiGuard, names_for
from rag.api.http import create_app
from rag.api.mcp import create_server
from rag.commands.cli import run
from rag.gold.files.gold_set import load_gold
from tests.browser import chromium
from tests.ui.servers import serving
from tests.ui.test_guard import FILE, READS, WRITES
from ui.app import application

PASSWORD = "walnut orbit lantern"
TURNS = 1_000 if os.environ.get("RAG_SOAK") else 24
PEOPLE = {"anna": "CANARY-a71f", "bela": "CANARY-b83c"}
QUESTION = "What is the word that opens the vault?"


@dataclass
class Served:
    """A server with accounts."""

    library: Library
    address: str
    clients: list[httpx.Client] = field(default_factory=list)

    def client(self, **headers: str) -> httpx.Client:
        """What sends requests with these headers, until the test ends."""
        client = httpx.Client(base_url=self.address, headers=headers, timeout=60)
        self.clients.append(client)
        return client

    def browser(self, name: str) -> httpx.Client:
        """A browser in which ``name`` has signed in."""
        client = self.client(origin=self.address)
        if name:
            told = client.post("/login", data={"name": name, "password": PASSWORD})
            assert told.status_code == 303 and told.headers["location"] == "/"
        return client


@contextmanager
def served(library: Library) -> Iterator[Served]:
    """Page, programs and assistants at one address, as ``rag ui`` serves them."""
    address: Future[int] = Future()
    ended = threading.Event()

    def serve() -> None:
        app = create_app(library, door=AccountDoor(library), assistants=create_server(None))
        programs = ApiGuard(app, names_for("127.0.0.1"))
        with application(library, programs=programs) as page:
            with serving(page, "on") as port:
                address.set_result(port)
                ended.wait()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield Served(library, f"http://127.0.0.1:{address.result(120)}")
    finally:
        ended.set()
        thread.join(60)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("people")
    with Library.open(place / "library", llm="quotes", embedder="builtin") as library:
        library.accounts.add("root", PASSWORD, "admin")
        library.accounts.add("carl", PASSWORD, "reader")
        for name, canary in PEOPLE.items():
            user = library.accounts.add(name, PASSWORD, "editor")
            view = library.for_user(user)
            view.collections.create(f"{name}s")
            view.add(f"The vault of {name} opens with the word {canary}.", source=f"{name}.txt", collection=f"{name}s")
        with served(library) as running:
            yield running


@pytest.fixture(autouse=True)
def closed(request: pytest.FixtureRequest) -> Iterator[None]:
    """No connection outlives its test."""
    yield
    if "server" in request.fixturenames:
        running: Served = request.getfixturevalue("server")
        for client in running.clients:
            client.close()
        running.clients.clear()


def join(client: httpx.Client, function: str, *data: Any) -> str:
    """Call a named function of the page; the name of its event."""
    reply = client.post(f"/gradio_api/call/{function}", json={"data": list(data)})
    assert reply.status_code == 200, reply.text
    return str(reply.json()["event_id"])


def result(client: httpx.Client, function: str, event: str) -> httpx.Response:
    return client.get(f"/gradio_api/call/{function}/{event}")


def test_without_signing_in_there_is_only_the_form(server: Served) -> None:
    client = server.browser("")
    for path in READS:
        reply = client.get(path)
        if path == "/":
            assert reply.status_code == 303 and reply.headers["location"] == "/login"
        else:
            assert reply.status_code == 401, path
    for path in [*WRITES, "/logout", "/account"]:
        assert client.post(path, json={"data": []}).status_code == 401, path
    form = client.get("/login")
    assert form.status_code == 200 and 'action="/login"' in form.text
    assert "form-action 'self'" in form.headers["content-security-policy"] and "script" not in form.text
    for path in ("/login", "/account", "/"):
        assert client.get(path, headers={"host": "evil.example"}).status_code == 421
        assert client.post(path, headers={"origin": "http://evil.example"}).status_code == 403
    for cookie in ("rag_session=x", "rag_session=", "rag_session=x; rag_session=y", "rag_session=" + "x" * 5000):
        assert client.get("/config", headers={"cookie": cookie}).status_code == 401


def test_the_session_is_a_cookie_that_no_script_and_no_other_site_gets(server: Served) -> None:
    client = server.client(origin=server.address)
    planted = "rag_session=" + "A" * 43
    reply = client.post("/login", data={"name": "anna", "password": PASSWORD}, headers={"cookie": planted})
    (cookie,) = reply.headers.get_list("set-cookie")
    value = cookie.partition(";")[0].partition("=")[2]
    assert value != "A" * 43 and len(value) >= 43
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Path=/" in cookie and "Secure" not in cookie
    own = {"cookie": f"rag_session={value}"}
    assert client.get("/config", headers=own).status_code == 200
    # A session that was there before does not outlive signing in again, and a request from nowhere changes nothing.
    bare = server.client(**own)
    assert bare.post("/logout").status_code == 403
    for origin in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}):
        assert bare.post("/account", data={"act": "everywhere"}, headers=origin).status_code == 403
    again = client.post("/login", data={"name": "anna", "password": PASSWORD}, headers=own)
    assert again.status_code == 303 and client.get("/config", headers=own).status_code == 401


def test_nobody_is_a_proxy_unless_it_was_named(server: Served) -> None:
    told = {"x-forwarded-proto": "https", "x-forwarded-for": "192.0.2.9"}
    plain = server.client(origin=server.address, **told)
    reply = plain.post("/login", data={"name": "anna", "password": PASSWORD})
    assert "Secure" not in reply.headers["set-cookie"], "nobody was named as a proxy"
    assert server.library.accounts.log(1)[0].address == "127.0.0.1"


def test_signing_out_ends_the_session_and_everywhere_all_of_them(server: Served) -> None:
    here, there = server.browser("carl"), server.browser("carl")
    assert here.post("/logout").status_code == 303
    assert here.get("/config").status_code == 401 and there.get("/config").status_code == 200
    again = server.browser("carl")
    assert again.post("/account", data={"act": "everywhere"}).status_code == 200
    assert there.get("/config").status_code == 401 and again.get("/config").status_code == 401


def test_a_wrong_password_says_no_more_than_an_unknown_name(server: Served) -> None:
    client = server.browser("")
    known = client.post("/login", data={"name": "root", "password": "wrong wrong"})
    unknown = client.post("/login", data={"name": "r00t", "password": "wrong wrong"})
    assert known.status_code == unknown.status_code == 401
    assert known.text.replace("root", "r00t") == unknown.text
    for body in (b"\xff\xfe", b"a" * 20_000, b"name=" + b"&x=" * 30):
        assert client.post("/login", content=body).status_code in (400, 413)


def test_an_event_is_its_senders(server: Served) -> None:
    """The fault that accounts had to close: with a valid login, another's answer was read by the name of its event."""
    anna, bela = server.browser("anna"), server.browser("bela")
    event = join(anna, "ask", QUESTION, "annas")
    for function in ("ask", "search", "sources"):
        assert result(bela, function, event).status_code == 404
    told = result(anna, "ask", event)
    assert told.status_code == 200 and PEOPLE["anna"] in told.text
    assert "complete" in told.text


def test_a_session_is_its_senders(server: Served) -> None:
    anna, bela = server.browser("anna"), server.browser("bela")
    session = "commonhash1"
    body = {"data": [QUESTION, "annas"], "session_hash": session, "fn_index": 0}
    assert anna.post("/gradio_api/queue/join", json=body).status_code == 200
    for name in (session, f"u1-{session}", *(f"u{number}-{session}" for number in range(2, 6))):
        reply = bela.get("/gradio_api/queue/data", params={"session_hash": name})
        assert reply.status_code == 404 and "CANARY" not in reply.text
    with anna.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
        assert any(PEOPLE["anna"] in line for line in stream.iter_lines())


def test_nobody_names_anothers_collection_conversation_document_or_file(server: Served) -> None:
    bela = server.browser("bela")
    library, canary = server.library, PEOPLE["anna"]
    view = library.for_user(library.accounts.get("anna"))
    document = view.document("anna.txt", "annas").id
    talk = view.conversations.create("annas")
    view.conversations.append(talk, QUESTION, "", {"question": QUESTION, "text": canary})
    for function, data in (("ask", (QUESTION, "annas")), ("search", (QUESTION, 6, "annas")), ("sources", ("annas",))):
        told = result(bela, function, join(bela, function, *data))
        assert canary not in told.text and "annas" not in told.text.replace("No collection 'annas'", ""), function
    assert bela.get(f"/export/{talk}.json").status_code == 404
    assert bela.get(f"/page/{document}/1.png").status_code == 404
    assert bela.post("/upload", params={"name": "x.txt", "collection": "annas"}, content=b"text").status_code == 404
    assert server.browser("anna").get(f"/export/{talk}.json").status_code == 200
    config = bela.get("/config").text
    assert "annas" not in config and "belas" not in config, "what all get to begin with is what nobody sees"


FORMS = ["/login", "/logout", "/account"]
"""Routes for people that the guard does not see: plain forms."""


def test_each_route_refuses_other_names_and_sites_also_for_who_is_signed_in(server: Served) -> None:
    anna = server.browser("anna")
    routes = [("GET", path) for path in [*READS, "/login", "/account"]] + [("POST", path) for path in [*WRITES, *FORMS]]
    for method, path in routes:
        for foreign, status in (
            ({"host": "evil.example"}, {421}),
            ({"host": "127.0.0.1.evil.example"}, {421}),
            ({"origin": "http://evil.example"}, {403}),
            ({"origin": "null"}, {403}),
            ({"sec-fetch-site": "cross-site"}, {403}),
            ({"sec-fetch-site": "cross-site", "sec-fetch-dest": "iframe"}, {403}),
        ):
            body: dict[str, Any] = {"json": {"data": []}} if method == "POST" else {}
            reply = anna.request(method, path, headers=foreign, **body)
            assert reply.status_code in status, (method, path, foreign, reply.status_code)
    assert anna.get("/config").status_code == 200, "nothing of that signed anybody out"


def test_a_files_description_in_any_body_opens_and_fetches_nothing(server: Served, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("CANARY-5d1f", encoding="utf-8")
    before = sorted(path for path in server.library.path.rglob("*") if path.is_file())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        where = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        anna = server.browser("anna")
        for file in ({**FILE, "path": str(secret)}, {**FILE, "path": where, "url": where, "orig_name": "x"}):
            for body in (
                {"data": [file]},
                {"data": ["x"], "event_data": {"a": [file]}, "fn_index": 3, "session_hash": "abc"},
                {"data": [json.dumps(file)], "session_hash": "abc", "fn_index": 0},
                {"name": file, "password": file, "act": file},
            ):
                for path in [*WRITES, *FORMS]:
                    upload = path.startswith("/upload")
                    if upload and "data" not in body:
                        continue
                    reply = anna.post(f"{path}&collection=annas" if upload else path, json=body)
                    assert reply.status_code < 500 and "CANARY-5d1f" not in reply.text, (path, body, reply.text)
                    if path == "/logout":
                        anna = server.browser("anna")
        with pytest.raises(BlockingIOError):
            listener.accept()
    now = sorted(path for path in server.library.path.rglob("*") if path.is_file())
    copied = [path for path in set(now) - set(before) if secret.read_bytes() in path.read_bytes()]
    assert not copied
    view = server.library.for_user(server.library.accounts.get("anna"))
    ended = time.monotonic() + 60
    while any(one.source == "a.txt" for one in view.sources("annas")) is False and time.monotonic() < ended:
        time.sleep(0.05)  # what was uploaded is a text like any other
    assert "gradio.FileData" in view.text(view.document("a.txt", "annas").id)
    view.remove("a.txt", "annas")


def test_every_event_of_the_page_sent_by_the_wrong_user_tells_and_changes_nothing(server: Served, soak: bool) -> None:
    """Each event of the page with what is another's in all that it takes: conversation, collection, document, card; one
    of these in turn, all of them in the soak."""
    library = server.library
    view = library.for_user(library.accounts.get("anna"))
    talk = str(view.conversations.create("annas"))
    view.conversations.append(int(talk), QUESTION, "", {"question": QUESTION, "text": PEOPLE["anna"]})
    document = view.document("anna.txt", "annas").id

    def state() -> Any:
        kept = view.conversations.get(int(talk))
        return kept, view.sources("annas"), view.collections.names(), library.folders("annas"), library.llm_choice

    before = state()
    bela = server.browser("bela")
    functions = bela.get("/config").json()["dependencies"]
    asked = 0
    for function in functions:
        theirs = (talk, "annas", str(document))
        for given in theirs if soak else (theirs[function["id"] % 3],):
            told = {
                "id": given, "name": "annas", "index": [0, 0], "value": "x", "liked": True, "turn": 0, "thumb": 1,
                "offset": 1, "choice": "replace", "documents": ["anna.txt"], "folders": [], "collection": "annas",
            }  # fmt: skip
            session = f"wrong{asked}"
            body = {
                "data": [given for _ in function["inputs"]], "event_data": told, "fn_index": function["id"],
                "session_hash": session,
            }  # fmt: skip
            reply = bela.post("/gradio_api/queue/join", json=body)
            assert reply.status_code in (200, 404, 422), (function["api_name"], reply.text)
            if reply.status_code != 200:
                continue
            asked += 1
            with bela.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
                for line in stream.iter_lines():
                    assert PEOPLE["anna"] not in line, function["api_name"]
                    if "process_completed" in line or "close_stream" in line:
                        break
    assert asked >= (100 if soak else 33)
    assert state() == before
    for name in view.collections.names():
        assert name == "annas"
    for made in library.for_user(library.accounts.get("bela")).conversations.list():
        assert PEOPLE["anna"] not in str(library.for_user(library.accounts.get("bela")).conversations.get(made.id))


def test_an_assistant_on_this_machine_sees_what_its_user_may_see(server: Served) -> None:
    library = server.library
    theirs = library.for_user(library.accounts.get("bela")).document("bela.txt", "belas").id

    async def asked() -> None:
        command = ["-m", "rag", "mcp", "--user", "anna", "--library", str(library.path), "--llm", "quotes"]
        target = StdioServerParameters(command=sys.executable, args=command)
        async with Client(target, read_timeout_seconds=120) as client:
            own = await client.call_tool("ask", {"question": QUESTION, "collection": "annas"})
            assert PEOPLE["anna"] in str(own.structured_content)
            for name, arguments in (
                ("ask", {"question": QUESTION, "collection": "belas"}),
                ("search", {"question": QUESTION, "collection": "belas"}),
                ("sources", {"collection": "belas"}),
                ("verify", {"text": f"The vault opens with {PEOPLE['bela']}.", "collection": "belas"}),
                ("quote", {"document": theirs, "start": 0, "end": 99}),
            ):
                told = await client.call_tool(name, arguments)
                assert told.is_error and "The vault of bela" not in str(told.content), name

    asyncio.run(asked())


def test_an_assistant_is_started_for_nobody_who_may_not_come_in(
    server: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    accounts = server.library.accounts
    accounts.add("emil", PASSWORD, "reader")
    accounts.disable("emil")
    for name, said in (("emil", "is disabled"), ("nobody", "no account")):
        assert run(["mcp", "--user", name, "--library", str(server.library.path), "--llm", "quotes"]) == 1
        assert said in capsys.readouterr().err


def test_what_any_user_rated_is_drafted_on_the_machine(server: Served, tmp_path: Path) -> None:
    library = server.library
    for name in PEOPLE:
        view = library.for_user(library.accounts.get(name))
        talk = view.conversations.create(f"{name}s")
        view.conversations.append(talk, QUESTION, "", view.ask(QUESTION, collection=f"{name}s").to_dict())
        view.conversations.feedback(talk, 0, 1, f"It is {name}'s.")
    gold = tmp_path / "gold.yaml"
    command = ["gold", "draft", str(gold), "--from-feedback", "--library", str(library.path), "--collection", "annas"]
    assert run(command) == 0
    (draft,) = load_gold(gold).questions
    assert draft.aliases == ("It is anna's.",) and draft.files == ("anna.txt",)


def test_a_reader_changes_nothing(server: Served) -> None:
    carl = server.browser("carl")
    library = server.library
    library.accounts.share(library.collections.get("annas").id, "carl", edits=False)
    try:
        told = result(carl, "ask", join(carl, "ask", QUESTION, "annas"))
        assert PEOPLE["anna"] in told.text
        put = carl.post("/upload", params={"name": "x.txt", "collection": "annas"}, content=b"text")
        assert put.status_code == 403 and "may not change" in put.text
    finally:
        library.accounts.share(library.collections.get("annas").id, "carl", edits=None)
    told = result(carl, "ask", join(carl, "ask", QUESTION, "annas"))
    assert PEOPLE["anna"] not in told.text, "what is taken back is gone at once"


def test_who_is_disabled_is_cut_off_at_once(server: Served) -> None:
    """Also from a stream that is open: it ends within seconds, whatever it waits for."""
    accounts = server.library.accounts
    accounts.add("dora", PASSWORD, "reader")
    dora = server.browser("dora")
    token = accounts.new_token("dora", "x")
    with dora.stream("GET", "/gradio_api/heartbeat/abc1") as stream:
        lines = stream.iter_raw()
        accounts.disable("dora")
        began = time.monotonic()
        for _ in lines:
            assert time.monotonic() - began < 30
    assert dora.get("/config").status_code == 401
    bearer = {"authorization": f"Bearer {token}"}
    assert httpx.get(f"{server.address}/api/sources", headers=bearer).status_code == 401


def test_the_account_page(server: Served) -> None:
    anna = server.browser("anna")
    page = anna.get("/account")
    assert page.status_code == 200 and "annas" in page.text and "belas" not in page.text
    made = anna.post("/account", data={"act": "token", "name": "<b>cron"})
    token = re.search(r"rag_[\w-]+", made.text)
    assert token and "<b>" not in made.text
    bearer = {"authorization": f"Bearer {token[0]}"}
    assert httpx.get(f"{server.address}/v1/models", headers=bearer).json()["data"][0]["id"] == "annas"
    kept = server.library.accounts.tokens("anna")[-1].name
    anna.post("/account", data={"act": "revoke", "name": kept})
    assert httpx.get(f"{server.address}/v1/models", headers=bearer).status_code == 401
    shared = {"act": "share", "collection": "annas", "name": "bela", "how": "ask"}
    assert "may ask it" in anna.post("/account", data=shared).text
    bela = server.browser("bela")
    assert "may not" not in bela.get("/account").text
    refused = bela.post("/account", data={**shared, "how": "edit", "name": "bela"})
    assert "does not belong to bela" in refused.text
    assert "Nobody else" in anna.post("/account", data={**shared, "how": "none"}).text
    hidden = bela.post("/account", data=shared)
    assert "No collection" in hidden.text


def ask_the_page(server: Served, name: str, client: httpx.Client, collection: str) -> str:
    return result(client, "ask", join(client, "ask", QUESTION, collection)).text


def ask_the_api(server: Served, name: str, token: str, collection: str) -> str:
    headers = {"authorization": f"Bearer {token}"}
    body = {"model": collection, "stream": True, "messages": [{"role": "user", "content": QUESTION}]}
    return httpx.post(f"{server.address}/v1/chat/completions", json=body, headers=headers, timeout=60).text


def ask_the_assistant(server: Served, name: str, token: str, collection: str) -> str:
    async def asked() -> str:
        async with httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}) as carrier:
            transport = streamable_http_client(f"{server.address}/mcp/", http_client=carrier)
            async with Client(transport, read_timeout_seconds=120) as client:
                told = await client.call_tool("ask", {"question": QUESTION, "collection": collection})
                return json.dumps(told.structured_content) + str(told.content)

    return asyncio.run(asked())


def test_two_users_never_hear_each_others_words(server: Served) -> None:
    """Turns over page, programs and assistants, interleaved; each user asks for their own and for the other's."""
    tokens = {name: server.library.accounts.new_token(name, "turns") for name in PEOPLE}
    browsers = {name: server.browser(name) for name in PEOPLE}
    ways: list[Callable[[str, str], str]] = [
        lambda name, collection: ask_the_page(server, name, browsers[name], collection),
        lambda name, collection: ask_the_api(server, name, tokens[name], collection),
        lambda name, collection: ask_the_assistant(server, name, tokens[name], collection),
    ]
    heard: dict[str, list[str]] = {name: [] for name in PEOPLE}

    def turns(name: str) -> None:
        for turn in range(TURNS // 2):
            owner = name if turn % 4 < 2 else next(other for other in PEOPLE if other != name)
            heard[name].append(ways[turn % 3](name, f"{owner}s"))

    threads = [threading.Thread(target=turns, args=(name,)) for name in PEOPLE]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(3600)
    for name, canary in PEOPLE.items():
        other = next(canary for of, canary in PEOPLE.items() if of != name)
        assert len(heard[name]) == TURNS // 2
        assert sum(canary in text for text in heard[name]) >= TURNS // 6
        assert not any(other in text for text in heard[name])


@pytest.mark.browser
def test_a_person_signs_in_asks_and_signs_out(server: Served) -> None:
    with chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.goto(server.address)
        page.get_by_label("Name").fill("anna")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        box = page.locator("#box textarea")
        box.fill(QUESTION)
        box.press("Enter")
        page.locator("#chat").get_by_text(PEOPLE["anna"]).first.wait_for()
        assert "belas" not in page.content() and PEOPLE["bela"] not in page.content()
        page.get_by_role("link", name="Account").click()
        page.get_by_role("button", name="Sign out", exact=True).click()
        page.get_by_label("Password").wait_for()
        page.goto(server.address)
        page.get_by_label("Password").wait_for()


def test_a_page_made_without_accounts_closes_with_the_first(tmp_path: Path) -> None:
    with Library.open(tmp_path / "library", llm="quotes", embedder="builtin") as library:
        with application(library) as app, serving(app) as port:
            address = f"http://127.0.0.1:{port}/config"
            assert httpx.get(address).status_code == 200
            library.accounts.add("anna", PASSWORD)
            ended = time.monotonic() + 30
            while httpx.get(address).status_code != 503:
                assert time.monotonic() < ended
