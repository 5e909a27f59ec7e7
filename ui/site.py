"""Everything one server holds: the library and what works for it, and the page's own routes beside Gradio's."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from rag.errors import LibraryLocked, NotAllowed, RagError
from rag.store.truth import User
from ui.chat import Chat, plain_turns
from ui.conversations import Conversations
from ui.documents import Documents
from ui.embedding import Embedding
from ui.escape import plain_name
from ui.export import footnoted, to_json, to_markdown
from ui.folders import Folders
from ui.intake import MEGABYTE, Arrival, Intake
from ui.models import Models
from ui.pageimage import draw
from ui.people import MOST_USERS, OwnEmbedding, OwnIntake, OwnModels
from ui.reader import Reader
from ui.suggest import QUESTIONS, Suggestions
from ui.tasks import Answers

if TYPE_CHECKING:
    from rag.library import Library

logger = logging.getLogger(__name__)

_MOST_PICTURES = 24
_NO_STORE = {"cache-control": "no-store"}
_STATUS = {"limit": 413, "forbidden": 403}


class Site:
    """One server over ``library``. Close it: answers and downloads are stopped, files in hand are finished.

    ``local``: it is served to this machine alone.

    Raises LibraryLocked when the library is open for reading only, since conversations are written to it.
    """

    def __init__(self, library: Library, *, local: bool = True) -> None:
        if not library.writable:
            raise LibraryLocked(
                "The page writes conversations and documents, but this library is open for reading only.",
                hint="End the other program that writes to it, then start the page again.",
            )
        library.collections.ensure()
        library.share_choices()
        self.library = library
        self.local = local and not library.accounts.wanted
        self.conversations = Conversations(library)
        self.answers = Answers(library)
        self.people = library.accounts.wanted
        self.intake = Intake(library, self._view_of if self.people else None)
        self.models = Models(library)
        self.suggestions = Suggestions(library, self.answers.idle, library.path / QUESTIONS)
        self.chat = Chat(library, self.answers, self.conversations, self.suggestions)
        self.embedding = Embedding(library)
        self.folders = Folders(library, self.intake.changed)
        self.documents = Documents(
            library, self.intake, self.folders if self.local else None,
            addresses=library.config.addresses != "off" and not self.people,
        )  # fmt: skip
        self.reader = Reader(library, self.conversations)
        self._pictures: OrderedDict[tuple[int, int, int, int], bytes] = OrderedDict()
        self._drawing = asyncio.Semaphore(2)
        self._own: OrderedDict[int, OwnSite] = OrderedDict()
        self._owning = threading.Lock()

    @property
    def upload_bytes(self) -> int:
        """The largest file that is taken."""
        return self.library.config.limits.file_mb * MEGABYTE

    def of(self, user: int) -> OwnSite:
        """The part of one user; of number 0, of nobody, who may see nothing. Raises NotAllowed for one who is disabled
        or unknown."""
        with self._owning:
            if user not in self._own:
                self._own[user] = OwnSite(self, self._view_of(str(user)), str(user))
                while len(self._own) > MOST_USERS:
                    self._own.popitem(last=False)[1].close()
            self._own.move_to_end(user)
            return self._own[user]

    def _view_of(self, owner: str) -> Library:
        """The library as an owner of files sees it; those from before there were accounts are the whole library's."""
        if owner == "":
            return self.library
        user = User(0, "", "reader", True, 0.0) if owner == "0" else self.library.accounts.by_id(int(owner))
        if user is None:
            raise NotAllowed("This account is disabled.")
        return self.library.for_user(user)

    def _asked(self, request: Request) -> Site:
        """The part of whoever sent a request."""
        return self.of(request.scope["rag.user"]) if self.people else self

    def close(self) -> None:
        """End what runs; may be called twice."""
        for own in self._own.values():
            own.close()
        self.answers.close()
        self.models.close()
        self.embedding.close()
        self.folders.close()
        self.suggestions.close()
        self.intake.close()

    def routes(self) -> list[Route]:
        """Uploads, pictures of pages, exports."""
        return [
            Route("/upload", self._upload, methods=["POST"]),
            Route("/page/{document:int}/{page:int}.png", self._page, methods=["GET"]),
            Route("/export/{conversation}.{kind}", self._export, methods=["GET"]),
        ]

    async def _upload(self, request: Request) -> Response:
        """One file as the body; ``name`` may hold a path inside a folder."""
        source, collection = request.query_params.get("name", ""), request.query_params.get("collection", "")
        told = int(request.headers.get("content-length", "0"))
        site = self._asked(request)
        if collection and collection not in await asyncio.to_thread(site.library.collections.names):
            return PlainTextResponse("There is no such collection.\nReload the page and choose another.", 404)
        try:
            arrival = await asyncio.to_thread(site.intake.begin, source, collection, told)
            return PlainTextResponse(await self._receive(request, arrival))
        except RagError as error:
            return PlainTextResponse(error.explain(), _STATUS.get(error.code, 400))
        except ClientDisconnect:
            return PlainTextResponse("The upload was broken off.", 400)
        except OSError as error:
            logger.warning("An upload could not be written: %s", error)
            return PlainTextResponse(f"The file could not be written: {error.strerror}.\nFree some space.", 507)

    async def _receive(self, request: Request, arrival: Arrival) -> str:
        """The job of a file that has arrived whole."""
        whole = False
        try:
            async for piece in request.stream():
                await asyncio.to_thread(arrival.write, piece)
            whole = True
        finally:
            if not whole:
                await asyncio.to_thread(self.intake.drop, arrival)
        return await asyncio.to_thread(self.intake.accept, arrival)

    async def _page(self, request: Request) -> Response:
        """A page of a PDF of the library as a picture; ``start`` and ``end`` name the span to mark."""
        document, page = request.path_params["document"], request.path_params["page"]
        start, end = (_number(request.query_params.get(name, "0")) for name in ("start", "end"))
        key, site = (document, page, start, end), self._asked(request)
        try:
            await asyncio.to_thread(site.library.layout, document)  # also of one that was drawn for somebody else
        except RagError:
            return PlainTextResponse("There is no such page.", 404)
        if key not in self._pictures:
            original = await asyncio.to_thread(site.reader.original, document)
            if original is None:
                return PlainTextResponse("There is no such page.", 404)
            quote = await asyncio.to_thread(site.reader.quote, document, start, end)
            try:
                async with self._drawing:
                    drawn = await asyncio.to_thread(draw, original, page, quote)
            except RagError as error:
                return PlainTextResponse(error.explain(), 422)
            self._pictures[key] = drawn
            while len(self._pictures) > _MOST_PICTURES:
                self._pictures.popitem(last=False)
        return Response(self._pictures[key], media_type="image/png", headers=_NO_STORE)

    async def _export(self, request: Request) -> Response:
        """A conversation as a file, or with ``turn`` (from 1) one answer as Markdown with footnotes."""
        found = await asyncio.to_thread(self._asked(request).conversations.get, request.path_params["conversation"])
        kind = request.path_params["kind"]
        if found is None or kind not in ("md", "json"):
            return PlainTextResponse("There is no such conversation.", 404)
        turn = _number(request.query_params.get("turn", "0"))
        if kind == "md" and 0 < turn <= len(found.turns):
            return PlainTextResponse(footnoted(plain_turns(found)[turn - 1][1]), headers=_NO_STORE)
        write, media = (to_markdown, "text/markdown") if kind == "md" else (to_json, "application/json")
        plain = "".join(c if c.isascii() and (c.isalnum() or c in " -_") else " " for c in plain_name(found.title))
        name = " ".join(plain.split())[:60] or "conversation"
        headers = {**_NO_STORE, "content-disposition": f'attachment; filename="{name}.{kind}"'}
        return Response(write(found.title, plain_turns(found)), media_type=f"{media}; charset=utf-8", headers=headers)


class OwnSite(Site):
    """One user's part of a server, over their view of the library."""

    def __init__(self, whole: Site, library: Library, owner: str) -> None:
        self.library = library
        self.people = True
        self.local = False
        self.conversations = Conversations(library)
        self.answers = whole.answers.of(library, owner)
        self.intake = OwnIntake(whole.intake, library, owner)
        self.models = OwnModels(whole.models, library)
        self.suggestions = Suggestions(library, whole.answers.idle, None)
        self.chat = Chat(library, self.answers, self.conversations, self.suggestions)
        self.embedding = OwnEmbedding(whole.embedding, library)
        self.documents = Documents(library, self.intake, None)
        self.reader = Reader(library, self.conversations)

    def close(self) -> None:
        """The rest is closed with the whole."""
        self.suggestions.close()


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 12 else 0
