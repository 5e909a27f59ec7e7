"""The HTTP interface for programs: OpenAI's endpoints, so that what speaks to OpenAI speaks to your documents, and
the library's own. Everything is asked of the ``Library`` of whoever asks; nothing is kept between two requests.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
import uuid
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any, Literal

import anyio
import anyio.to_thread
from fastapi import Body, Depends, FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

import rag
from rag.answer.export import Inactive, inactive
from rag.api.door import Caller, Door, described
from rag.api.front import seen
from rag.api.guard import FILES
from rag.api.meter import Meter, Metered
from rag.errors import DocumentError, LimitExceeded, RagError
from rag.proof import check_proof
from rag.types import Answer, AnswerEvent, Done, Token, Turn, to_plain

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

    from rag.library import Library

_MARKER = re.compile(r"\[(\d{1,4})\]")
_NAME = r"^[^\x00]*[^\s\x00][^\x00]*$"
MEGABYTE = 2**20

STATUS: Mapping[str, int] = {
    "question": 400,
    "proof": 400,
    "collection": 404,
    "source": 404,
    "forbidden": 403,
    "locked": 409,
    "limit": 413,
    "disk": 507,
    "busy": 503,
    "timeout": 504,
    "server-down": 502,
    "server-unreachable": 502,
    "stream": 502,
    "empty-answer": 502,
    "server": 502,
}
"""The HTTP status of an error's code; every other is 500."""

MOST_AT_ONCE = 16
"""Questions being answered at the same time; one more is told to come back."""


class Failure(Exception):
    """A request that goes no further: the HTTP status, a sentence, and a word for programs."""

    def __init__(self, status: int, message: str, code: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Part(BaseModel):
    """A piece of a message: only text is read."""

    type: str
    text: str = ""


class ChatMessage(BaseModel):
    """One message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None

    @property
    def text(self) -> str:
        """The message as plain text."""
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return "\n".join(part.text for part in self.content if part.type in ("text", "input_text"))


class StreamOptions(BaseModel):
    """What a stream carries beside the text."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """OpenAI's chat completion; ``model`` names a collection. Sampling options are taken and not used. Beyond OpenAI's:
    ``sources`` and ``where`` choose documents, as in ``Library.search``."""

    model_config = ConfigDict(extra="ignore")

    model: str
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=1000)]
    stream: bool = False
    n: Annotated[int, Field(ge=1, le=1)] = 1
    stream_options: StreamOptions | None = None
    sources: list[str] = []
    where: dict[str, Any] = {}


class EmbeddingRequest(BaseModel):
    """OpenAI's embeddings; ``model`` names a collection, whose embedder is used."""

    model_config = ConfigDict(extra="ignore")

    model: str
    input: str | Annotated[list[str], Field(min_length=1, max_length=2048)]
    encoding_format: Literal["float", "base64"] = "float"


class QuestionRequest(BaseModel):
    """A question to a collection (none: the configured one), or to the documents of it that ``sources`` name and of
    which ``where`` is true, as in ``rag.filters.chosen``."""

    model_config = ConfigDict(extra="forbid")

    question: str
    collection: str | None = None
    sources: list[str] = []
    where: dict[str, Any] = {}

    @property
    def chosen(self) -> dict[str, Any]:
        """Where the library looks: a collection, and names and conditions of documents."""
        return {"collection": self.collection, "sources": self.sources, "where": self.where}


class AskRequest(QuestionRequest):
    """A question with the turns before it, oldest first, as pairs of question and answer."""

    history: list[tuple[str, str]] = []


class SearchRequest(QuestionRequest):
    """A question and how many passages are wanted."""

    k: Annotated[int, Field(ge=1, le=200)] = 6


class VerifyRequest(BaseModel):
    """A sentence to hold against a collection."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(min_length=1)]
    collection: str | None = None


def create_app(
    library: Library, *, keys: Sequence[str] = (), door: Door | None = None, assistants: MCPServer[Any] | None = None
) -> FastAPI:
    """The application. With ``keys`` every request but the health checks and the description needs one as a bearer
    token; a ``door`` says itself who comes in, and as whom.

    ``assistants``, a server of ``rag.api.mcp``, is served at /mcp.

    ``/openapi.json`` describes it. Errors are ``{"error": {"message", "type", "code"}}``, as OpenAI has them.
    """
    served = None if assistants is None else _served(assistants)
    lifespan = None if served is None else served.router.lifespan_context
    app = FastAPI(title="rag", version=rag.__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    meter = Meter()
    api = _Api(library, meter)
    let_in = _admission(door or Door(library, keys))
    if served is not None:
        app.mount("/mcp", _Guarded(served, let_in))
    for path, endpoint, method in api.routes():
        described = {**_PROBLEMS, **(_PLAIN_TEXT if endpoint in (api.text, api.metrics) else {})}
        app.add_api_route(
            path, endpoint, methods=[method], dependencies=[Depends(let_in)], responses=described,
            openapi_extra=_FILE_BODY if endpoint == api.upload else None,
        )  # fmt: skip
    app.add_api_route("/healthz", _alive, methods=["GET"])
    app.add_api_route("/readyz", api.ready, methods=["GET"], responses=_PROBLEMS)
    app.add_middleware(Metered, meter=meter)
    app.add_exception_handler(Failure, _failed)
    app.add_exception_handler(RagError, _rag_failed)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(HTTPException, _refused)
    return app


def _served(assistants: MCPServer[Any]) -> Starlette:
    """The protocol over HTTP at the root of a mount; names and origins are checked before, by the guard.

    Without sessions: whoever asks is who shows a key now, not who began a session.
    """
    from mcp.server.transport_security import TransportSecuritySettings

    unchecked = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    return assistants.streamable_http_app(streamable_http_path="/", stateless_http=True, transport_security=unchecked)


Admission = Callable[[Request], Awaitable[None]]


def _admission(door: Door) -> Admission:
    """A dependency that notes at a request who asks. Raises Failure (401) for whoever may not come in."""

    async def let_in(request: Request) -> None:
        caller = await asyncio.to_thread(door.caller, request.headers.get("authorization", ""))
        if caller is None:
            raise Failure(401, "This needs an API key: send it as 'Authorization: Bearer KEY'.", "invalid_api_key")
        request.state.caller = caller
        seen(request.scope, user=caller.name)

    return let_in


class _Guarded:
    """A mounted application behind the same door as every route."""

    def __init__(self, app: ASGIApp, let_in: Admission) -> None:
        self._app = app
        self._let_in = let_in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._let_in(Request(scope))
        await self._app(scope, receive, send)


def _caller(request: Request) -> Caller:
    caller = request.state.caller
    assert isinstance(caller, Caller)
    return caller


class _Api:
    """The endpoints, each over the library of whoever asks."""

    def __init__(self, library: Library, meter: Meter) -> None:
        self._library = library
        self._meter = meter

    def routes(self) -> list[tuple[str, Callable[..., Any], str]]:
        return [
            ("/v1/models", self.models, "GET"),
            ("/v1/chat/completions", self.chat, "POST"),
            ("/v1/embeddings", self.embeddings, "POST"),
            ("/api/ask", self.ask, "POST"),
            ("/api/search", self.search, "POST"),
            ("/api/sources", self.sources, "GET"),
            ("/api/sources/{source:path}", self.remove, "DELETE"),
            ("/api/unread", self.unread, "GET"),
            ("/api/folders", self.folders, "GET"),
            (FILES, self.upload, "POST"),
            ("/api/documents/{document}/text", self.text, "GET"),
            ("/api/verify", self.verify, "POST"),
            ("/api/proof", self.proof, "POST"),
            ("/metrics", self.metrics, "GET"),
        ]

    async def models(self, request: Request) -> dict[str, Any]:
        """The collections, as models."""
        names = await asyncio.to_thread(_caller(request).library.collections.names)
        return {"object": "list", "data": [_model(name) for name in names]}

    async def chat(self, request: Request, wanted: ChatRequest) -> Response:
        """An answer in OpenAI's form, whole or streamed; ``citations`` has every footnote in full."""
        caller = _caller(request)
        history, question = _conversation(wanted.messages)
        collection = await asyncio.to_thread(_known, caller.library, wanted.model)
        completion = _Completion(wanted.model, str(request.base_url))
        events = caller.library.stream(
            question, history=history, collection=collection, sources=wanted.sources, where=wanted.where
        )
        self._take()
        if wanted.stream:
            usage = wanted.stream_options is not None and wanted.stream_options.include_usage
            body = self._streamed(_follow(events, caller), completion, usage=usage)
            return StreamingResponse(body, media_type="text/event-stream", headers={"cache-control": "no-store"})
        try:
            answer = await _finished(request, _follow(events, caller))
        finally:
            self._meter.answering -= 1
        return JSONResponse(completion.whole(answer))

    async def _streamed(
        self, events: AsyncIterator[AnswerEvent], completion: _Completion, *, usage: bool
    ) -> AsyncIterator[str]:
        try:
            async for line in _server_sent(events, completion, usage=usage):
                yield line
        finally:
            self._meter.answering -= 1

    async def embeddings(self, request: Request, wanted: EmbeddingRequest) -> dict[str, Any]:
        """Vectors of the collection's embedder, in the order of the input."""
        library = _caller(request).library
        texts = [wanted.input] if isinstance(wanted.input, str) else wanted.input
        collection = await asyncio.to_thread(_known, library, wanted.model)
        rows = await asyncio.to_thread(library.embed, texts, collection)
        data = [
            {
                "object": "embedding",
                "index": number,
                "embedding": b64encode(row.astype("<f4").tobytes()).decode()
                if wanted.encoding_format == "base64"
                else [float(value) for value in row],
            }
            for number, row in enumerate(rows)
        ]
        tokens = sum(len(text) for text in texts) // 4
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "model": wanted.model, "data": data, "usage": usage}

    async def ask(self, request: Request, wanted: AskRequest) -> dict[str, Any]:
        """The whole answer: text, sentences with their support, citations with offsets, documents with their hashes."""
        caller = _caller(request)
        history = [Turn(user, bot) for user, bot in wanted.history]
        events = caller.library.stream(wanted.question, history=history, **wanted.chosen)
        self._take()
        try:
            return (await _finished(request, _follow(events, caller))).to_dict()
        finally:
            self._meter.answering -= 1

    async def search(self, request: Request, wanted: SearchRequest) -> list[dict[str, Any]]:
        """The best passages with their scores, best first."""
        search = partial(_caller(request).library.search, wanted.question, wanted.k, **wanted.chosen)
        return [to_plain(hit) for hit in await asyncio.to_thread(search)]

    async def sources(
        self, request: Request, collection: Annotated[str | None, Query()] = None
    ) -> list[dict[str, Any]]:
        """The documents of a collection."""
        return [described(one) for one in await asyncio.to_thread(_caller(request).library.sources, collection)]

    async def unread(self, request: Request, collection: Annotated[str | None, Query()] = None) -> list[dict[str, Any]]:
        """The files that were found and could not be read, and why."""
        return [described(one) for one in await asyncio.to_thread(_caller(request).library.unread, collection)]

    async def folders(
        self, request: Request, collection: Annotated[str | None, Query()] = None
    ) -> list[dict[str, Any]]:
        """The folders that a collection mirrors, by their own names, and how each stands."""
        found = await asyncio.to_thread(_caller(request).library.folders, collection)
        return [{**to_plain(one), "path": PurePath(one.path).name} for one in found]

    async def upload(
        self, request: Request, name: Annotated[str, Query(max_length=1000, pattern=_NAME)],
        collection: Annotated[str | None, Query()] = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Put a file in: its bytes are the body. It replaces what was put in here by that name before; when the answer
        comes, it is in the library and can be asked about."""
        library = _caller(request).library
        data = await _body(request, library.config.limits.file_mb * MEGABYTE)
        if collection is not None:
            await asyncio.to_thread(library.collections.get, collection)  # a misspelt name makes no collection
        add = partial(library.add, data, source=name, collection=collection)
        return described(await asyncio.to_thread(add))

    async def remove(
        self, request: Request, source: str, collection: Annotated[str | None, Query()] = None
    ) -> dict[str, str]:
        """Remove a document, by the name that ``/api/sources`` shows."""
        await asyncio.to_thread(_caller(request).library.remove, source, collection)
        return {"removed": source}

    async def text(
        self,
        request: Request,
        document: Annotated[int, Path(ge=0, le=2**62)],
        start: Annotated[int, Query(ge=0)] = 0,
        end: Annotated[int | None, Query(ge=0)] = None,
    ) -> PlainTextResponse:
        """The characters of a document that a citation names."""
        whole = await asyncio.to_thread(_caller(request).library.text, document)
        return PlainTextResponse(whole[start:end])

    async def verify(self, request: Request, wanted: VerifyRequest) -> dict[str, Any]:
        """A sentence held against the documents: its support, and the characters that support it."""
        answer = await asyncio.to_thread(_caller(request).library.verify, wanted.text, wanted.collection)
        return answer.to_dict()

    async def proof(self, request: Request, answer: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        """An exported answer, checked again: what became of each citation."""
        if not isinstance(answer.get("citations"), list):
            raise Failure(400, "This is no exported answer: it has no citations.", "proof")
        known = _caller(request).library.known_documents
        report = await asyncio.to_thread(lambda: check_proof(answer, known()))
        return {"holds": report.holds, **to_plain(report)}

    async def metrics(self, request: Request) -> PlainTextResponse:
        """Counts of requests and answers, and what the process takes, in Prometheus' text form. For administrators."""
        if not _caller(request).administers:
            raise Failure(403, "Only an administrator may read this.", "forbidden")
        return PlainTextResponse(self._meter.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def ready(self) -> dict[str, Any]:
        """Whether a question can be answered now."""
        await asyncio.to_thread(self._library.collections.names)
        return {"status": "ready", "writable": self._library.writable}

    def _take(self) -> None:
        """Take one of the places for answering; it is given back by taking one off ``answering``."""
        if self._meter.answering >= MOST_AT_ONCE:
            raise Failure(503, "Too many questions at once; try again in a moment.", "busy")
        self._meter.answering += 1


def _known(library: Library, model: str) -> str:
    """The collection that a model's name stands for."""
    if model not in library.collections.names():
        raise Failure(404, f"The model {model!r} does not exist: there is no such collection.", "model_not_found")
    return model


async def _body(request: Request, most: int) -> bytes:
    """A file's bytes. Raises Failure for none, for more than ``most``, and for a client that goes away."""
    pieces, size = [], 0
    try:
        async for piece in request.stream():
            size += len(piece)
            if size > most:
                raise Failure(413, f"The file is larger than {most:,} bytes (limits.file_mb).", "limit")
            pieces.append(piece)
    except ClientDisconnect:
        raise Failure(499, "The client went away.", "cancelled") from None
    if not size:
        raise Failure(400, "The body is empty; it must be the file's bytes.", "empty")
    return b"".join(pieces)


async def _alive() -> dict[str, str]:
    """Whether the process answers."""
    return {"status": "ok"}


def _conversation(messages: Sequence[ChatMessage]) -> tuple[list[Turn], str]:
    """Earlier exchanges and the question: the last message, which must be the user's. Instructions are not taken:
    what is answered from is the documents."""
    if messages[-1].role != "user":
        raise Failure(400, "The last message must be the user's.", "invalid_request_error")
    turns: list[Turn] = []
    asked = ""
    for message in messages[:-1]:
        if message.role == "user":
            asked = message.text
        elif message.role == "assistant" and asked:
            turns.append(Turn(asked, message.text))
            asked = ""
    return turns, messages[-1].text


class _Completion:
    """One completion's envelope, the same for all of its chunks."""

    def __init__(self, model: str, base: str) -> None:
        self.id = f"chatcmpl-{uuid.uuid4().hex}"
        self._base = base.rstrip("/")
        self._head = {"created": int(time.time()), "model": model}

    def whole(self, answer: Answer) -> dict[str, Any]:
        message = {"role": "assistant", "content": inactive(answer.text), "annotations": self.annotations(answer)}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        return {
            "id": self.id,
            "object": "chat.completion",
            **self._head,
            "choices": [choice],
            "usage": _usage(answer),
            **_proven(answer),
        }

    def chunk(self, delta: Mapping[str, Any], *, finish: str | None = None, **more: Any) -> dict[str, Any]:
        choice = {"index": 0, "delta": dict(delta), "finish_reason": finish, "logprobs": None}
        return {"id": self.id, "object": "chat.completion.chunk", **self._head, "choices": [choice], **more}

    def usage(self, answer: Answer) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "chat.completion.chunk",
            **self._head,
            "choices": [],
            "usage": _usage(answer),
        }

    def annotations(self, answer: Answer) -> list[dict[str, Any]]:
        """Each marker of the answer's text as a citation of an address that gives the very characters."""
        return [
            {
                "type": "url_citation",
                "url_citation": {
                    "start_index": span.start,
                    "end_index": span.end,
                    "title": answer.citations[span.citation].source,
                    "url": self._address(answer, span.citation),
                },
            }
            for span in answer.markers
        ]

    def _address(self, answer: Answer, number: int) -> str:
        cited = answer.citations[number]
        return f"{self._base}/api/documents/{cited.document_id}/text?start={cited.start}&end={cited.end}"


def _proven(answer: Answer) -> dict[str, Any]:
    """What OpenAI's form has no place for."""
    plain = answer.to_dict()
    names = ("citations", "sentences", "disagreements", "abstained", "probability", "documents", "notices")
    return {name: plain[name] for name in names}


def _usage(answer: Answer) -> dict[str, int]:
    prompt, written = int(answer.tokens.get("prompt", 0)), int(answer.tokens.get("answer", 0))
    return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}


async def _follow(events: Generator[AnswerEvent, None, None], caller: Caller) -> AsyncIterator[AnswerEvent]:
    """The events of a blocking generator; it is closed with this one, which ends the model's request. Raises Failure
    once the caller is welcome no longer."""
    one_at_a_time = threading.Lock()

    def step() -> AnswerEvent | None:
        with one_at_a_time:
            return next(events, None)

    def close() -> None:
        with one_at_a_time:  # a step that was given up still runs to its end
            events.close()

    try:
        while (event := await asyncio.to_thread(step)) is not None:
            if not await asyncio.to_thread(caller.welcome):
                raise Failure(401, "This key is valid no longer.", "invalid_api_key")
            yield event
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(close)


async def _finished(request: Request, events: AsyncIterator[AnswerEvent]) -> Answer:
    """The answer at the end, unless the client goes away before."""
    try:
        async for event in events:
            if isinstance(event, Done):
                return event.answer
            if await request.is_disconnected():
                break
    finally:
        await events.aclose()  # type: ignore[attr-defined]
    raise Failure(499, "The client went away.", "cancelled")


async def _server_sent(
    events: AsyncIterator[AnswerEvent], completion: _Completion, *, usage: bool
) -> AsyncIterator[str]:
    """OpenAI's stream. What goes wrong after the first byte can only be told in the stream itself."""
    yield _line(completion.chunk({"role": "assistant", "content": ""}))
    numbers, shown = _Numbers(), Inactive()
    held = ""  # a quoted answer comes whole, in the numbers of its citations: told by what follows it
    try:
        async for event in events:
            if isinstance(event, Token) and event.text:
                if held:
                    yield _line(completion.chunk({"content": shown.feed(numbers.of(held))}))
                held = event.text
            elif isinstance(event, Done):
                last = shown.feed(held if held == event.answer.text else numbers.of(held)) + shown.finish()
                if last:
                    yield _line(completion.chunk({"content": last}))
                more = {"answer": inactive(event.answer.text), **_proven(event.answer)}
                end = {"annotations": completion.annotations(event.answer)}
                yield _line(completion.chunk(end, finish="stop", **more))
                if usage:
                    yield _line(completion.usage(event.answer))
    except RagError as error:
        yield _line(_error(error.explain(), error.code))
    except Failure as failure:
        yield _line(_error(str(failure), failure.code))
    finally:
        await events.aclose()  # type: ignore[attr-defined]
    yield "data: [DONE]\n\n"


class _Numbers:
    """The markers of a growing answer, which number the passages found, in the order of their first appearance."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def of(self, text: str) -> str:
        """``text`` with its markers renumbered."""
        return _MARKER.sub(lambda m: f"[{self._seen.setdefault(m[1], len(self._seen) + 1)}]", text)


def _line(value: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "rag"}


def _error(message: str, code: str) -> dict[str, Any]:
    kind = "invalid_request_error" if STATUS.get(code, 500) < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


class Problem(BaseModel):
    """What went wrong: a sentence, and words for programs."""

    message: str
    type: str
    param: str | None = None
    code: str


class Problems(BaseModel):
    """The body of every refusal."""

    error: Problem


_PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": Problems} for code in (400, 401, 403, 404, 409, 413, 422, 499, 500, 502, 503, 507)
}

_FILE_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}

_PLAIN_TEXT: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}


async def _failed(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Failure)
    body = _error(str(error), error.code)
    if error.status < 500:
        body["error"]["type"] = "invalid_request_error"
    return JSONResponse(body, error.status)


async def _rag_failed(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RagError)
    refused = isinstance(error, DocumentError) and not isinstance(error, LimitExceeded)
    return JSONResponse(_error(error.explain(), error.code), 422 if refused else STATUS.get(error.code, 500))


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    kind = "invalid_request_error" if error.status_code < 500 else "server_error"
    body = {"error": {"message": str(error.detail), "type": kind, "param": None, "code": "http"}}
    return JSONResponse(body, error.status_code, error.headers)


async def _not_understood(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    return JSONResponse(_error(f"{place or 'The body'}: {first['msg']}.", "question"), 422)
