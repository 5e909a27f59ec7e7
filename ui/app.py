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
from ui.events import Events
from ui.guard import Guard, rules_for
from ui.login import OpenDoor, PageDoor
from ui.people import handle_for_each
from ui.site import Site

if TYPE_CHECKING:
    from rag.library import Library

_QUEUE = 64
_MOST_SESSIONS = 64
"""Of what Gradio keeps for each tab and each call, about 75 kB; nothing of it is needed for longer than an event."""
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
_ALWAYS: dict[str, Any] = {**_QUIET, "trigger_mode": "multiple"}


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
    site = Site(library)
    folder = library.path / "temporary"
    shutil.rmtree(folder, ignore_errors=True)  # what a process that was killed left
    folder.mkdir(mode=0o700)
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    site.models.warm.start()
    try:
        app, page = asyncio.run(_mounted(site, front.root))
        rules = rules_for(host, site.upload_bytes, front.names)
        guarded = Guard(app, rules, Calls(page), people=site.people)
        door = PageDoor(guarded, library, rules) if site.people else OpenDoor(guarded, library)
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
    return (Api(site.library), Events(site, components))


def build(site: Site, made: Callable[[Components], None] = lambda _: None) -> gr.Blocks:
    """The page over what ``site`` holds; ``made`` is told of its components."""
    page = gr.Blocks(title="Ask your documents", fill_width=True, fill_height=True, analytics_enabled=False)
    with page:
        for function in Api(site.library).functions():  # first, so that the page's handlers don't take their names
            public_api(function, api_name=function.__name__, concurrency_limit=site.library.config.concurrency)
        components = Components(site)
        made(components)
        events = Events(site, components)
        _wire_chat(components, events)
        _wire_lists(components, events)
        _wire_models(components, events)
        _wire_loading(page, components, events)
        page.queue(max_size=_QUEUE)
    page.state_session_capacity = _MOST_SESSIONS
    return page


def _wire_loading(page: gr.Blocks, ui: Components, on: Events) -> None:
    """What a tab asks for when it opens: with what it remembers, not with what the server thinks it shows."""
    place: list[Any] = [ui.conversation, ui.collection]
    restored = {**_QUIET, "js": parts.static("restore.js")}
    _grow(page.load(on.load, place, ui.for_chat, **restored), ui, on)
    page.load(on.shelf, place, ui.for_shelf, **restored).then(on.added, ui.collection, ui.documents, **_QUIET)
    page.load(on.status, None, ui.for_models, **_QUIET)
    page.load(on.embedding_of, place, ui.embedding, **restored)
    for changed in place:
        changed.change(None, place, None, js=parts.static("remember.js"), api_visibility="private")


def _wire_chat(ui: Components, on: Events) -> None:
    place, out = [ui.conversation, ui.collection], ui.for_chat
    _grow(ui.box.submit(on.ask, [ui.box, *place], out, **_ALWAYS), ui, on)
    _grow(ui.chat.example_select(on.suggested, place, out, **_ALWAYS), ui, on)
    _grow(ui.chat.option_select(on.suggested, place, out, **_ALWAYS), ui, on)
    _grow(ui.chat.retry(on.retry, place, out, **_ALWAYS), ui, on)
    _grow(ui.chat.edit(on.edit, place, out, **_ALWAYS), ui, on)
    _grow(ui.chat.undo(on.undo, ui.conversation, out, **_ALWAYS), ui, on)
    ui.box.stop(on.stop, ui.conversation, None, **_ALWAYS)
    rated = [ui.feedback, ui.sources, ui.chat]
    ui.chat.like(on.like, ui.conversation, rated, **_QUIET)
    ui.sources.gold(on.gold, ui.conversation, rated, **_QUIET)
    ui.feedback.note(on.note, ui.conversation, rated, **_QUIET)
    ui.feedback.skip(lambda: "", None, ui.feedback, **_QUIET)


def _grow(begun: Any, ui: Components, on: Events) -> None:
    """Let the answer that an event began grow, with as few outputs as possible, and show its end with all."""
    growing = begun.then(on.follow, None, ui.growing, **_ALWAYS)
    growing.then(on.settle, None, ui.for_chat, **_ALWAYS)


def _wire_lists(ui: Components, on: Events) -> None:
    chat, shelf = ui.for_chat, ui.for_shelf
    _grow(ui.new.click(on.new, None, chat, **_ALWAYS), ui, on)
    _grow(ui.history.pick(on.pick, None, chat, **_ALWAYS), ui, on)
    ui.history.rename(on.rename, ui.conversation, ui.history, **_QUIET)
    _grow(ui.history.delete(on.delete, ui.conversation, chat, **_ALWAYS), ui, on)
    ui.find.find(on.find, ui.conversation, ui.history, **_ALWAYS)
    changed = ui.collection.change(on.collection, ui.collection, shelf, **_ALWAYS)
    changed.then(on.added, ui.collection, ui.documents, **_ALWAYS)
    ui.collection.change(on.embedding, ui.collection, ui.embedding, **_ALWAYS)
    ui.collection_acts.create(on.create, None, shelf, **_QUIET)
    ui.collection_acts.rename(on.rename_collection, None, shelf, **_QUIET)
    ui.collection_acts.delete(on.delete_collection, None, shelf, **_QUIET)
    # Listed once more at the end: what was listed before the click may arrive after its result.
    for act, handler in (
        (ui.documents.remove, on.remove),
        (ui.documents.dismiss, on.dismiss),
        (ui.documents.same, on.same),
    ):
        act(handler, ui.collection, shelf, **_QUIET).then(on.added, ui.collection, ui.documents, **_ALWAYS)
    ui.documents.open(on.open_document, None, shelf, **_ALWAYS)
    ui.sources.open(on.open_card, ui.conversation, shelf, **_ALWAYS)
    ui.reader.turn(on.turn_to, None, shelf, **_ALWAYS)
    # Followed without the chat among the outputs: Gradio would lock its buttons until the last file is in.
    ui.upload.added(on.added, ui.collection, ui.documents, **_ALWAYS).then(
        on.collection, ui.collection, shelf, **_ALWAYS
    )


def _wire_models(ui: Components, on: Events) -> None:
    out = ui.for_models
    ui.status.pull(on.pull, None, out, **_QUIET)
    ui.status.cancel(on.cancel, None, None, **_QUIET)
    ui.status.check(on.status, None, out, **_QUIET)
    ui.model.input(on.use, ui.model, out, **_QUIET)
    ui.timer.tick(on.tick, None, [ui.status, ui.notices], **_QUIET)
    done = ui.embedding.reindex(on.reindex, ui.collection, ui.embedding, **_ALWAYS)
    done.then(on.status, None, out, **_QUIET)
    ui.embedding.cancel(on.cancel_reindex, None, None, **_QUIET)


def _theme() -> gr.themes.Base:
    return gr.themes.Base(
        primary_hue="indigo", neutral_hue="slate", radius_size="md",
        font=["system-ui", "Segoe UI", "Roboto", "sans-serif"], font_mono=["ui-monospace", "Consolas", "monospace"],
    ).set(
        body_background_fill="#f8fafc", body_background_fill_dark="#0b1120", block_border_width="0px",
        block_shadow="none", button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
    )  # fmt: skip
