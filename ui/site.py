"""Everything one server holds: the library and what works for it, and the page's own routes beside Gradio's."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from rag.errors import LibraryLocked, RagError
from ui.embedding import Embedding
from ui.escape import plain_name
from ui.export import to_json, to_markdown
from ui.handlers import Chat, plain_turns
from ui.intake import MEGABYTE, Arrival, Intake
from ui.models import Models
from ui.pageimage import draw
from ui.shelf import Shelf
from ui.talks import Talks
from ui.tasks import Answers

if TYPE_CHECKING:
    from rag.library import Library

logger = logging.getLogger(__name__)

_MOST_PICTURES = 24
_NO_STORE = {"cache-control": "no-store"}
_STATUS = {"limit": 413}


class Site:
    """One server over ``library``. Close it: answers and downloads are stopped, files in hand are finished.

    Raises LibraryLocked when the library is open for reading only, since conversations are written to it.
    """

    def __init__(self, library: Library) -> None:
        if not library.writable:
            raise LibraryLocked(
                "The page writes conversations and documents, but this library is open for reading only.",
                hint="End the other program that writes to it, then start the page again.",
            )
        library.collections.ensure()
        self.library = library
        self.talks = Talks(library)
        self.answers = Answers(library)
        self.intake = Intake(library)
        self.models = Models(library)
        self.chat = Chat(library, self.answers, self.talks)
        self.embedding = Embedding(library)
        self.shelf = Shelf(library, self.intake, self.talks)
        self._pictures: OrderedDict[tuple[int, int, int, int], bytes] = OrderedDict()
        self._drawing = asyncio.Semaphore(2)

    @property
    def upload_bytes(self) -> int:
        """The largest file that is taken."""
        return self.library.config.limits.file_mb * MEGABYTE

    def close(self) -> None:
        """End what runs; may be called twice."""
        self.answers.close()
        self.models.close()
        self.embedding.close()
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
        if collection and collection not in await asyncio.to_thread(self.library.collections.names):
            return PlainTextResponse("There is no such collection.\nReload the page and choose another.", 404)
        try:
            arrival = await asyncio.to_thread(self.intake.begin, source, collection, told)
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
        key = (document, page, start, end)
        if key not in self._pictures:
            original = await asyncio.to_thread(self.shelf.original, document)
            if original is None:
                return PlainTextResponse("There is no such page.", 404)
            quote = await asyncio.to_thread(self.shelf.quote, document, start, end)
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
        """A conversation as a file."""
        talk = await asyncio.to_thread(self.talks.get, request.path_params["conversation"])
        kind = request.path_params["kind"]
        if talk is None or kind not in ("md", "json"):
            return PlainTextResponse("There is no such conversation.", 404)
        write, media = (to_markdown, "text/markdown") if kind == "md" else (to_json, "application/json")
        plain = "".join(c if c.isascii() and (c.isalnum() or c in " -_") else " " for c in plain_name(talk.title))
        name = " ".join(plain.split())[:60] or "conversation"
        headers = {**_NO_STORE, "content-disposition": f'attachment; filename="{name}.{kind}"'}
        return Response(write(talk.title, plain_turns(talk)), media_type=f"{media}; charset=utf-8", headers=headers)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 12 else 0
