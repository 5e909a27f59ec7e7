"""Signing in to the page: the door before its guard, and the small pages of a user's own account.

Behind the door a request carries who sent it (``rag.user``), the guard binds Gradio's sessions and events to that user,
and a stream that is open when its session ends is cut within a second. These pages are plain forms: no script runs on
them, and nothing of them is Gradio's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from rag.accounts import SESSION_SECONDS, Throttle
from rag.api.front import seen
from rag.api.guard import (
    SEALING,
    App,
    Header,
    Message,
    Names,
    Receive,
    Received,
    Refusal,
    Scope,
    Send,
    check_length,
    check_site,
    host_of,
    is_request,
    refuse,
    values_of,
    whole,
)
from rag.errors import RagError, SignInRefused
from ui.escape import inert
from ui.oidc import CALLBACK

if TYPE_CHECKING:
    from rag.accounts import Accounts
    from rag.library import Library
    from rag.store.truth import User
    from ui.oidc import Provider

LOGIN, LOGOUT, ACCOUNT, ELSEWHERE = "/login", "/logout", "/account", "/login/elsewhere"
COOKIE, STATE = "rag_session", "rag_way_in"
ACCOUNT_LINK = '<a href="account">Account and signing out</a>'
"""Where the page leads to the user's own."""
_FORM_BYTES = 16_000
_MOST_ATTEMPTS = 30
_ATTEMPT_SECONDS = 600.0
_LOOK_SECONDS = 1.0
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
_HEADERS: tuple[Header, ...] = (
    (b"content-security-policy", _POLICY.encode()),
    (b"cache-control", b"no-store"),
    *(header for header in SEALING if header[0] != b"referrer-policy"),
    (b"referrer-policy", b"same-origin"),  # without any, a browser says "null" for where a form comes from
)


class PageDoor:
    """Lets signed-in users through to ``app``; others see the form to sign in."""

    def __init__(self, app: App, library: Library, names: Names, provider: Provider | None = None) -> None:
        self.app = app
        self._provider = provider
        self._library = library
        self._names = names
        self._throttle = Throttle(_MOST_ATTEMPTS, _ATTEMPT_SECONDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not await is_request(self.app, scope, receive, send):
            return
        body = Received(receive)
        try:
            await self._answer(scope, body, send)
        except Refusal as refusal:
            await refuse(scope, body, send, refusal, _HEADERS)

    async def _answer(self, scope: Scope, body: Received, send: Send) -> None:
        headers: list[Header] = list(scope["headers"])
        host = host_of(headers, self._names)
        method, path, reading = scope["method"], scope["path"], scope["method"] in ("GET", "HEAD")
        check_site(headers, host, reading=reading, start_page=path in ("/", LOGIN, CALLBACK))
        shown = _cookie(scope)
        user = await asyncio.to_thread(self._accounts.session, shown) if shown else None
        seen(scope, user="" if user is None else user.name)
        if path == LOGIN:
            seen(scope, route=LOGIN)
            await self._login(scope, body, send, shown)
        elif self._provider is not None and method == "GET" and path in (ELSEWHERE, CALLBACK):
            seen(scope, route=path)
            await self._elsewhere(self._provider, scope, send, shown, host)
        elif user is None:
            if method == "GET" and path in ("/", ACCOUNT):
                await _redirect(scope, send, LOGIN)
                return
            raise Refusal(401, "Sign in first.")
        elif not reading and not (values_of(headers, b"origin") or values_of(headers, b"sec-fetch-site")):
            raise Refusal(403, "A request that changes something says where it comes from. Programs use a token.")
        elif path in (LOGOUT, ACCOUNT):
            seen(scope, route=path)
            await self._own(scope, body, send, shown, user)
        else:
            await self._through({**scope, "rag.user": user.id}, body, send, shown)

    @property
    def _accounts(self) -> Accounts:
        return self._library.accounts

    async def _login(self, scope: Scope, body: Received, send: Send, shown: str) -> None:
        """The form, and what it sends."""
        if scope["method"] in ("GET", "HEAD"):
            await _page(scope, send, self._form(scope))
            return
        form = await _read_form(scope, body)
        address = _address(scope)
        if not self._throttle.allows(_neighbourhood(address)):
            await _page(
                scope, send, self._form(scope, "There were too many attempts from this address. Try again later."), 429
            )
            return
        name = form.get("name", "")
        try:
            made = await asyncio.to_thread(self._accounts.sign_in, name, form.get("password", ""), address)
        except SignInRefused as refused:
            await _page(scope, send, self._form(scope, refused.explain(), name), 401)
            return
        self._throttle.forgive(_neighbourhood(address))
        if shown:  # a session that somebody else may have put there ends with it
            await asyncio.to_thread(self._accounts.sign_out, shown)
        await _redirect(scope, send, "/", [_set_cookie(scope, made, int(SESSION_SECONDS))])

    def _form(self, scope: Scope, said: str = "", name: str = "") -> str:
        return _form_html(scope.get("root_path", ""), said, name, elsewhere=self._provider is not None)

    async def _elsewhere(self, provider: Provider, scope: Scope, send: Send, shown: str, host: str) -> None:
        """To the identity provider, and back from it."""
        root = scope.get("root_path", "")
        try:
            if scope["path"] == ELSEWHERE:
                back = f"{scope['scheme']}://{host}{root}{CALLBACK}"
                address, state = await asyncio.to_thread(provider.send, back)
                await _redirect(scope, send, "", [_set_cookie(scope, state, 600, STATE)], address)
                return
            told = parse_qs(scope["query_string"].decode("latin-1"))
            state, code = (told.get(name, [""])[0] for name in ("state", "code"))
            if not state or state != _cookie(scope, STATE):
                raise SignInRefused("This way in was begun in another browser.", hint="Begin again.")
            who = await asyncio.to_thread(provider.came_back, state, code)
            sign_in = self._accounts.sign_in_subject
            made = await asyncio.to_thread(sign_in, who.subject, who.name, _address(scope))
        except SignInRefused as refused:
            await _page(scope, send, self._form(scope, refused.explain()), 401)
            return
        if shown:
            await asyncio.to_thread(self._accounts.sign_out, shown)
        cookies = [_set_cookie(scope, made, int(SESSION_SECONDS)), _set_cookie(scope, "", 0, STATE)]
        await _redirect(scope, send, "/", cookies)

    async def _own(self, scope: Scope, body: Received, send: Send, shown: str, user: User) -> None:
        """The user's own page, and what its forms send."""
        if scope["method"] in ("GET", "HEAD"):
            if scope["path"] == LOGOUT:
                raise Refusal(405, "Signing out is a button on the page of your account.")
            await _page(scope, send, await asyncio.to_thread(self._account, user))
            return
        form = await _read_form(scope, body)
        if scope["path"] == LOGOUT:
            await asyncio.to_thread(self._accounts.sign_out, shown)
            await _redirect(scope, send, LOGIN, [_set_cookie(scope, "", 0)])
            return
        try:
            said = await asyncio.to_thread(self._change, user, form, _address(scope))
        except RagError as error:
            said = error.explain()
        await _page(scope, send, await asyncio.to_thread(self._account, user, said))

    def _change(self, user: User, form: Mapping[str, str], address: str) -> str:
        """Do what a form of the user's page asks; what to say of it. Raises RagError."""
        accounts, act, name = self._accounts, form.get("act", ""), form.get("name", "")
        if act == "password":
            accounts.sign_out(accounts.sign_in(user.name, form.get("old", ""), address))
            accounts.set_password(user.name, form.get("new", ""))
            return "The password is changed. Sign in with it."
        if act == "everywhere":
            accounts.sign_out_everywhere(user.name)
            return "You are signed in nowhere now."
        if act == "token":
            return f"The token, shown this once:\n{accounts.new_token(user.name, name or 'a program')}"
        if act == "revoke":
            accounts.revoke(user.name, name)
            return "The token is valid no longer."
        if act == "share":
            return self._share(user, form)
        return ""

    def _share(self, user: User, form: Mapping[str, str]) -> str:
        accounts, collection = self._accounts, self._library.for_user(user).collections.get(form.get("collection", ""))
        accounts.access(user).expect_owned(collection.id)
        how, name = form.get("how", ""), form.get("name", "")
        if how in ("public", "private"):
            accounts.publish(collection.id, public=how == "public")
        else:
            accounts.share(collection.id, name, edits={"ask": False, "edit": True}.get(how))
        accounts.note(user.name, "collection-shared", f"{collection.name}: {how} {name}".rstrip())
        return f"{collection.name}: done."

    def _account(self, user: User, said: str = "") -> str:
        """The page of a user's own account."""
        accounts = self._accounts
        tokens = [(token.name, token.label) for token in accounts.tokens(user.name)]
        owned = []
        view = self._library.for_user(user)
        for name in view.collections.names():
            collection = view.collections.get(name)
            if collection.owner == str(user.id):
                owned.append((name, *accounts.shares(collection.id)))
        return _account_html(user, said, tokens, owned)

    async def _through(self, scope: Scope, receive: Received, send: Send, shown: str) -> None:
        """Let the application answer for as long as the session is one."""
        started = ended = False

        async def noted(message: Message) -> None:
            nonlocal started, ended
            started = True
            ended = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        answering = asyncio.ensure_future(self.app(scope, receive, noted))
        try:
            while not (await asyncio.wait((answering,), timeout=_LOOK_SECONDS))[0]:
                if await asyncio.to_thread(self._accounts.session, shown) is None:
                    answering.cancel()
                    with suppress(asyncio.CancelledError):
                        await answering
                    if not started:
                        raise Refusal(401, "Sign in first.")
                    if not ended:
                        await send({"type": "http.response.body", "body": b""})
                    return
            answering.result()
        finally:
            answering.cancel()


class OpenDoor:
    """Lets everybody through while the library has no accounts, and nobody from the first one on: what it guards was
    made without any."""

    def __init__(self, app: App, library: Library) -> None:
        self.app = app
        self._library = library
        self._looked = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and await self._closed():
            told = Refusal(503, "This library has accounts now. Start the page anew, and it asks for them.")
            await refuse(scope, Received(receive), send, told, _HEADERS)
            return
        await self.app(scope, receive, send)

    async def _closed(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now - self._looked < _LOOK_SECONDS:
            return False
        if await asyncio.to_thread(lambda: self._library.accounts.wanted):
            return True
        self._looked = now
        return False


def _cookie(scope: Scope, which: str = COOKIE) -> str:
    """What the browser shows; empty where it shows nothing, or two things of one name."""
    name = _cookie_name(scope, which)
    parts = [part.strip() for value in values_of(scope["headers"], b"cookie") for part in value.split(";")]
    found = [part.partition("=")[2] for part in parts if part.partition("=")[0] == name]
    return found[0] if len(found) == 1 else ""


def _cookie_name(scope: Scope, which: str) -> str:
    """Under TLS a name that a browser takes from this very host alone."""
    if scope.get("scheme") != "https":
        return which
    return f"__Secure-{which}" if scope.get("root_path") else f"__Host-{which}"


def _set_cookie(scope: Scope, value: str, seconds: int, which: str = COOKIE) -> Header:
    secure = "; Secure" if scope.get("scheme") == "https" else ""
    place = scope.get("root_path") or "/"
    told = f"{_cookie_name(scope, which)}={value}; Path={place}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"
    return (b"set-cookie", told.encode())


async def _read_form(scope: Scope, body: Received) -> dict[str, str]:
    """The fields of a form. Raises Refusal."""
    if scope["method"] != "POST":
        raise Refusal(405, "Only GET, HEAD and POST are used here.")
    check_length(list(scope["headers"]), _FORM_BYTES)
    raw = await whole(body, _FORM_BYTES)
    try:
        fields = parse_qs(raw.decode("ascii"), keep_blank_values=True, max_num_fields=20, errors="strict")
    except ValueError:
        raise Refusal(400, "This is no form.") from None
    return {name: values[0] for name, values in fields.items()}


def _address(scope: Scope) -> str:
    return str((scope.get("client") or ("",))[0])


def _neighbourhood(address: str) -> str:
    """What is bounded together: an IPv4 address, and of IPv6 the network that one customer has."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return address if found.version == 4 else str(ip_network((int(found) >> 64 << 64, 64)))


async def _page(scope: Scope, send: Send, html: str, status: int = 200) -> None:
    body = html.encode()
    headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await _send(send, status, headers, b"" if scope["method"] == "HEAD" else body)


async def _redirect(scope: Scope, send: Send, path: str, more: Sequence[Header] = (), elsewhere: str = "") -> None:
    where = (elsewhere or f"{scope.get('root_path', '')}{path}").encode()
    await _send(send, 303, [(b"location", where), (b"content-length", b"0"), *more], b"")


async def _send(send: Send, status: int, headers: Sequence[Header], body: bytes) -> None:
    start: Message = {"type": "http.response.start", "status": status, "headers": [*headers, *_HEADERS]}
    await send(start)
    await send({"type": "http.response.body", "body": body})


_STYLE = (
    "html{color-scheme:light dark}a{color:#4338ca}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:8vh auto;padding:0 1rem;color:#0f172a;"
    "background:#f8fafc}form{margin:1rem 0;display:flex;flex-wrap:wrap;gap:.5rem;align-items:end}label{display:block;"
    "flex:1 1 12rem}input,select,button{font:inherit;padding:.45rem .6rem;border:1px solid #94a3b8;border-radius:.4rem;"
    "width:100%;box-sizing:border-box;background:#fff;color:inherit}button{width:auto;background:#4338ca;color:#fff;"
    "border-color:#4338ca}.said{white-space:pre-line;overflow-wrap:anywhere;border-left:4px solid #b45309;padding:"
    ".3rem .8rem;background:#fff7ed;color:#0f172a}@media(prefers-color-scheme:dark){body{background:#0b1120;"
    "color:#e2e8f0}a{color:#a5b4fc}input,select{background:#1e293b}}"
)


def _document(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{inert(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>{body}</body></html>'
    )


def _said(text: str) -> str:
    return f'<p class="said" role="alert">{inert(text)}</p>' if text else ""


def _form_html(root: str, said: str, name: str, *, elsewhere: bool) -> str:
    other = f'<p><a href="{root}{ELSEWHERE}">Sign in with your organisation</a></p>' if elsewhere else ""
    return _document(
        "Sign in",
        f'<h1>Sign in</h1>{_said(said)}<form method="post" action="{root}{LOGIN}"><label>Name<input name="name" '
        f'value="{inert(name)}" autocomplete="username" autocapitalize="none" required></label><label>Password<input '
        'name="password" type="password" autocomplete="current-password" required></label><button>Sign in</button>'
        f"</form>{other}",
    )


def _account_html(
    user: User, said: str, tokens: Sequence[tuple[str, str]], owned: Sequence[tuple[str, bool, Mapping[str, bool]]]
) -> str:
    listed = "".join(
        f"{_act('revoke')}<label>{inert(label)} ({inert(name)})</label>"
        f'<input type="hidden" name="name" value="{inert(name)}"><button>End</button></form>'
        for name, label in tokens
    )
    return _document(
        "Account",
        f'<h1>{inert(user.name)}</h1><p>Role: {inert(user.role)}. <a href="./">Back to the documents</a></p>'
        f'{_said(said)}<form method="post" action="logout"><button>Sign out</button></form>'
        f"{_act('everywhere')}<button>Sign out everywhere</button></form><h2>Password</h2>{_act('password')}"
        '<label>Now<input name="old" type="password" autocomplete="current-password" required></label>'
        '<label>New<input name="new" type="password" autocomplete="new-password" minlength="10" required></label>'
        f"<button>Change</button></form><h2>Tokens for programs</h2>{listed}{_act('token')}"
        '<label>Program<input name="name" maxlength="100" required></label><button>Make a token</button></form>'
        f"<h2>Your collections</h2>{''.join(_shared(*one) for one in owned) or '<p>None yet.</p>'}",
    )


def _shared(name: str, public: bool, people: Mapping[str, bool]) -> str:
    who = ["every user may ask it"] if public else []
    who += [f"{inert(person)} may {'change' if edits else 'ask'} it" for person, edits in sorted(people.items())]
    options = {
        "ask": "may ask it", "edit": "may ask and change it", "none": "may no longer",
        "public": "(every user) may ask it", "private": "(every user) may no longer",
    }  # fmt: skip
    chosen = "".join(f'<option value="{key}">{told}</option>' for key, told in options.items())
    return (
        f"<h3>{inert(name)}</h3><p>{'; '.join(who) or 'Nobody else may see it'}.</p>{_act('share')}"
        f'<input type="hidden" name="collection" value="{inert(name)}"><label>User<input name="name" maxlength="64">'
        f'</label><label>How<select name="how">{chosen}</select></label><button>Share</button></form>'
    )


def _act(act: str) -> str:
    return f'<form method="post" action="account"><input type="hidden" name="act" value="{act}">'
