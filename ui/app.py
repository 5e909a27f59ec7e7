"""The page over a library: built, guarded, served."""

from __future__ import annotations

import asyncio
import os
import shutil
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from fastapi import FastAPI
from gradio.events import api as public_api

from rag.api.front import Front
from rag.api.guard import App, Beside, is_loopback
from rag.api.server import address_of, ended_by_signals, listen, run
from rag.errors import ConfigError
from ui import parts
from ui.api import Api, Calls
from ui.assets import Assets
from ui.components import Components
from ui.guard import Guard, rules_for
from ui.login import OpenDoor, PageDoor
from ui.oidc import Provider
from ui.panels.changes import Shown
from ui.panels.conversations import ConversationsPanel
from ui.panels.documents import DocumentsPanel
from ui.panels.questions import QuestionsPanel
from ui.panels.reader import ReaderPanel
from ui.panels.settings import SettingsPanel
from ui.people import handle_for_each
from ui.site import Site

if TYPE_CHECKING:
    from rag.library import Library

_QUEUE = 64
_MOST_SESSIONS = 64
"""Of what Gradio keeps for each tab and each call, about 75 kB; nothing of it is needed for longer than an event."""


def serve(
    library: Library,
    *,
    host: str | None = None,
    port: int | None = None,
    open_browser: bool = False,
    on_ready: Callable[[str], None],
    front: Front | None = None,
    programs: App | None = None,
    open_to_all: bool = False,
) -> None:
    """Serve the page over ``library`` until Ctrl-C, SIGTERM or SIGHUP; ``on_ready`` gets its address once it answers.

    ``host`` and ``port`` default to the configured ones; without ``port`` the next free one is taken when that is
    busy. ``front`` says how it is reached from elsewhere; ``programs`` is the guarded application for programs, served
    beside the page. Prints nothing. Raises ConfigError when it cannot listen there, or, unless ``open_to_all``, when
    others could reach a page without accounts; LibraryLocked for a read-only library.
    """
    where = library.config.host if host is None else host
    front = front or Front()
    guarded = library.accounts.wanted
    if not (guarded or open_to_all or is_loopback(where)):
        raise ConfigError(
            f"On {where} the page would show and give the library to whoever reaches this machine: it has no accounts.",
            hint="Make one (`rag users add NAME --role admin`), listen on 127.0.0.1, or say it twice: --open-to-all.",
        )
    listener = listen(where, library.config.port if port is None else port, exactly=port is not None, guarded=guarded)
    address = address_of(listener, front)

    def ready() -> None:
        on_ready(address)
        if open_browser:
            webbrowser.open(address)

    with ended_by_signals(), listener, application(library, where, front, programs) as app:
        run(app, listener, ready, front)


@contextmanager
def application(
    library: Library, host: str = "127.0.0.1", front: Front | None = None, programs: App | None = None
) -> Iterator[App]:
    """The guarded ASGI application over ``library``, for as long as the block runs."""
    front = front or Front()
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    site = Site(library, local=is_loopback(host))
    folder = library.path / "temporary"
    shutil.rmtree(folder, ignore_errors=True)  # what a process that was killed left
    folder.mkdir(mode=0o700)
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    site.models.warm.start()
    try:
        app, page = asyncio.run(_mounted(site, front.root))
        rules = rules_for(host, site.upload_bytes, front.names)
        guarded = Guard(app, rules, Calls(page), people=site.people)
        door = PageDoor(guarded, library, rules, Provider.configured()) if site.people else OpenDoor(guarded, library)
        yield door if programs is None else Beside(door, programs)
    finally:
        site.close()
        shutil.rmtree(folder, ignore_errors=True)


async def _mounted(site: Site, root: str) -> tuple[FastAPI, gr.Blocks]:
    """The page beside this package's own routes; in a running loop, since Gradio opens one for its locks otherwise."""
    page = build_for_each(site) if site.people else build(site)
    files = Assets(Path(gr.__file__).parent / "templates" / "frontend" / "assets")
    outer = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, routes=[*site.routes(), files.route()])
    app: FastAPI = gr.mount_gradio_app(
        outer, page, path="/", theme=_theme(), head=parts.head(), footer_links=[], run_history=False,
        root_path=root or None, enable_monitoring=False, ssr_mode=False, pwa=False, mcp_server=False,
        show_error=False, max_file_size=1,
    )  # fmt: skip
    return app, page


def build_for_each(site: Site) -> gr.Blocks:
    """The page for users of whom each sees their part of ``site``. What all get to begin with is what nobody sees."""
    shown: list[Components] = []
    page = build(site.of(0), shown.append)
    return handle_for_each(page, lambda user: handlers(site.of(user), shown[0]))


def handlers(site: Site, components: Components) -> tuple[Any, ...]:
    """What the page's events call."""
    shown = Shown(site, components)
    return (
        Api(site.library),
        QuestionsPanel(site, components, shown),
        ConversationsPanel(site, components, shown),
        DocumentsPanel(site, components, shown),
        ReaderPanel(site, components),
        SettingsPanel(site, components),
    )


def build(site: Site, made: Callable[[Components], None] = lambda _: None) -> gr.Blocks:
    """The page over what ``site`` holds; ``made`` is told of its components."""
    page = gr.Blocks(title="Ask your documents", fill_width=True, fill_height=True, analytics_enabled=False)
    with page:
        for function in Api(site.library).functions():  # first, so that the page's handlers don't take their names
            public_api(function, api_name=function.__name__, concurrency_limit=site.library.config.concurrency)
        components = Components(site)
        made(components)
        _, questions, conversations, documents, reader, settings = handlers(site, components)
        questions.wire(page)
        conversations.wire(questions.grow)
        documents.wire(page, lambda changed: conversations.follow(changed, questions.grow))
        reader.wire()
        settings.wire(page)
        page.queue(max_size=_QUEUE)
    page.state_session_capacity = _MOST_SESSIONS
    return page


def _theme() -> gr.themes.Base:
    return gr.themes.Base(
        primary_hue="indigo", neutral_hue="slate", radius_size="md",
        font=["system-ui", "Segoe UI", "Roboto", "sans-serif"], font_mono=["ui-monospace", "Consolas", "monospace"],
    ).set(
        body_background_fill="#f8fafc", body_background_fill_dark="#0b1120", block_border_width="0px",
        block_shadow="none", button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
    )  # fmt: skip
