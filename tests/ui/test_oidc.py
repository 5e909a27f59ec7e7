"""Signing in with an identity provider: a small one on loopback, honest and not."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from rag import Library
from rag.api.guard import App, Receive, Scope, Send, names_for
from rag.errors import ConfigError
from tests.ui.servers import serving
from ui.login import PageDoor
from ui.oidc import CLIENT, ISSUER, SECRET, Provider


class FakeProvider:
    """An identity provider. ``lie`` changes the claims it signs; ``key`` is what it signs with."""

    def __init__(self) -> None:
        self.known = RSAKey.generate_key(2048, parameters={"kid": "1"})
        self.key = self.known
        self.lie: dict[str, Any] = {}
        self.person = {"sub": "7", "preferred_username": "Ada"}
        self.asked: dict[str, dict[str, str]] = {}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                return

            def do_GET(self) -> None:
                paths = {"/.well-known/openid-configuration": provider.metadata(), "/keys": provider.keys()}
                self.tell(200 if self.path in paths else 404, paths.get(self.path, {}))

            def do_POST(self) -> None:
                told = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
                found = provider.token({name: values[0] for name, values in told.items()})
                self.tell(200 if "id_token" in found else 400, found)

            def tell(self, status: int, body: Any) -> None:
                raw = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def metadata(self) -> dict[str, str]:
        return {
            "issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token", "jwks_uri": f"{self.issuer}/keys",
        }  # fmt: skip

    def keys(self) -> Any:
        return KeySet([self.known]).as_dict(private=False)

    def consent(self, address: str) -> tuple[str, str]:
        """What a person does at the provider: the state and the code their browser brings back."""
        told = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert told["code_challenge_method"] == "S256" and "openid" in told["scope"]
        code = f"code{len(self.asked)}"
        self.asked[code] = told
        return told["state"], code

    def token(self, told: dict[str, str]) -> dict[str, Any]:
        asked = self.asked.pop(told.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(told.get("code_verifier", "").encode()).digest())
        if asked is None or asked["code_challenge"] != challenge.decode().rstrip("="):
            return {"error": "invalid_grant"}
        now = int(time.time())
        claims = {
            "iss": self.issuer, "aud": "rag", "exp": now + 300, "iat": now, "nonce": asked["nonce"], **self.person,
            **self.lie,
        }  # fmt: skip
        signed = jwt.encode({"alg": "RS256", "kid": "1"}, claims, self.key)
        return {"access_token": "x", "token_type": "Bearer", "id_token": signed}


async def behind(scope: Scope, receive: Receive, send: Send) -> None:
    """What stands behind the door: it says who came in."""
    body = str(scope["rag.user"]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    with Library.open(tmp_path_factory.mktemp("oidc"), llm="quotes", embedder="builtin") as opened:
        opened.accounts.add("root", "walnut orbit lantern", "admin")
        opened.accounts.add("ada", "walnut orbit lantern", "admin")
        yield opened


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeProvider]:
    provider = FakeProvider()
    yield provider
    provider.server.shutdown()
    provider.server.server_close()


@pytest.fixture
def browser(library: Library, fake: FakeProvider) -> Iterator[httpx.Client]:
    fake.lie, fake.key, fake.person = {}, fake.known, {"sub": "7", "preferred_username": "Ada"}
    app: App = PageDoor(behind, library, names_for("127.0.0.1"), Provider(fake.issuer, "rag", "secret"))
    with serving(app) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        yield client


def come_back(browser: httpx.Client, fake: FakeProvider) -> httpx.Response:
    sent = browser.get("/login/elsewhere")
    assert sent.status_code == 303 and "HttpOnly" in sent.headers["set-cookie"]
    state, code = fake.consent(sent.headers["location"])
    elsewhere = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    return browser.get("/login/callback", params={"state": state, "code": code}, headers=elsewhere)


def test_whoever_the_provider_knows_comes_in_as_a_reader(
    browser: httpx.Client, fake: FakeProvider, library: Library
) -> None:
    assert "organisation" in browser.get("/login").text
    told = come_back(browser, fake)
    assert told.status_code == 303 and told.headers["location"] == "/"
    first = browser.get("/config").text
    user = library.accounts.by_id(int(first))
    assert user is not None and user.role == "reader" and user.name.startswith("ada-"), "never somebody else's account"
    browser.cookies.clear()
    come_back(browser, fake)
    assert browser.get("/config").text == first
    library.accounts.disable(user.name)
    browser.cookies.clear()
    assert come_back(browser, fake).status_code == 401 and browser.get("/config").status_code == 401
    library.accounts.disable(user.name, disabled=False)


@pytest.mark.parametrize(
    "lie",
    [
        {"iss": "http://127.0.0.1:1"}, {"aud": "another"}, {"exp": 1}, {"nonce": "x"}, {"sub": None}, {"nonce": None},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_not_for_this_page_lets_nobody_in(browser: httpx.Client, fake: FakeProvider, lie: Any) -> None:
    fake.lie = lie
    assert come_back(browser, fake).status_code == 401 and browser.get("/config").status_code == 401


def test_what_is_signed_by_another_lets_nobody_in(browser: httpx.Client, fake: FakeProvider) -> None:
    fake.key = RSAKey.generate_key(2048, parameters={"kid": "1"})
    assert come_back(browser, fake).status_code == 401 and browser.get("/config").status_code == 401


def test_a_way_in_is_for_one_browser_and_once(browser: httpx.Client, fake: FakeProvider) -> None:
    state, code = fake.consent(browser.get("/login/elsewhere").headers["location"])
    with httpx.Client(base_url=browser.base_url, timeout=60) as other:
        assert other.get("/login/callback", params={"state": state, "code": code}).status_code == 401
    assert browser.get("/login/callback", params={"state": state, "code": code}).status_code == 303
    assert browser.get("/login/callback", params={"state": state, "code": code}).status_code == 401
    for told in ({}, {"state": state}, {"code": code}, {"state": "x", "code": "y"}, {"error": "access_denied"}):
        assert browser.get("/login/callback", params=told).status_code == 401


def test_what_is_configured(tmp_path: Path) -> None:
    assert Provider.configured({}) is None
    with pytest.raises(ConfigError, match=CLIENT):
        Provider.configured({ISSUER: "https://id.example.org"})
    with pytest.raises(ConfigError, match="https"):
        Provider.configured({ISSUER: "http://id.example.org", CLIENT: "a", SECRET: "b"})
    assert Provider.configured({ISSUER: "https://id.example.org", CLIENT: "a", SECRET: "b"}) is not None
