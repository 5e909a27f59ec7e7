"""Each user's own part of a server, and every event of the page handled by the part of whoever's session it is.

The parts are those of the whole server over the user's view of the library, which is where it is decided what they may
do. What belongs to the server as a whole (its models, embedding a collection anew) only administrators change.
"""

from __future__ import annotations

import functools
import inspect
import threading
import typing
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from rag.errors import NotAllowed, RagError
from ui.embedding import Embedding
from ui.guard import user_of
from ui.intake import Arrival, Intake
from ui.lists import FileRow, Status
from ui.models import Models

if TYPE_CHECKING:
    from rag.ingest import SameName
    from rag.library import Library

MOST_USERS = 500
"""Of whom it is remembered what their tabs show; of whoever comes after them it is found anew."""


class OwnIntake(Intake):
    """The files of one user on their way in."""

    def __init__(self, whole: Intake, library: Library, owner: str) -> None:
        self._whole = whole
        self._library = library
        self._owner = owner
        self.changed = whole.changed
        self.folder = whole.folder

    def begin(self, source: str, collection: str, size: int, owner: str = "") -> Arrival:
        """As the server's, into a collection that the user may change. Raises NotAllowed."""
        self._library.collections.expect_editable(collection or None)
        return self._whole.begin(source, collection, size, self._owner)

    def accept(self, arrival: Arrival) -> str:
        """As the server's."""
        return self._whole.accept(arrival)

    def drop(self, arrival: Arrival) -> None:
        """As the server's."""
        self._whole.drop(arrival)

    def rows(self, collection: str, owner: str = "") -> list[FileRow]:
        """What the user sent to a collection that they may see."""
        return self._whole.rows(collection, self._owner) if collection in self._library.collections.names() else []

    def busy(self) -> bool:
        """As the server's."""
        return self._whole.busy()

    def dismiss(self, key: str, owner: str = "") -> None:
        """As the server's, for a file of the user."""
        self._whole.dismiss(key, self._owner)

    def decide(self, key: str, same_name: SameName, owner: str = "") -> None:
        """As the server's, for a file of the user."""
        self._whole.decide(key, same_name, self._owner)

    def close(self) -> None:
        """The server's intake is closed by the server."""


class OwnModels(Models):
    """The server's models, which only an administrator changes."""

    def __init__(self, whole: Models, library: Library) -> None:
        self._whole = whole
        self._library = library
        self.changed = whole.changed
        self.warm = whole.warm

    def status(self) -> Status:
        """As the server's."""
        return self._whole.status()

    def embedders(self) -> list[str]:
        """As the server's."""
        return self._whole.embedders()

    def choices(self) -> list[str]:
        """As the server's."""
        return self._whole.choices()

    def current(self) -> str:
        """As the server's."""
        return self._whole.current()

    def use(self, name: str) -> str:
        """As the server's, for administrators; else why not."""
        return _refused(self._library) or self._whole.use(name)

    def pull(self, name: str) -> None:
        """As the server's. Raises NotAllowed."""
        self._library.expect_administrator()
        self._whole.pull(name)

    @property
    def busy(self) -> bool:
        """As the server's."""
        return self._whole.busy

    def cancel(self) -> None:
        """As the server's. Raises NotAllowed."""
        self._library.expect_administrator()
        self._whole.cancel()

    def close(self) -> None:
        """The server's models are closed by the server."""


class OwnEmbedding(Embedding):
    """The lines about the collections that a user may see; only an administrator embeds one anew."""

    def __init__(self, whole: Embedding, library: Library) -> None:
        self._whole = whole
        self._library = library
        self.changed = whole.changed

    def start(self, collection: str, embedder: str) -> str:
        """As the server's, for administrators; else why not."""
        return _refused(self._library) or self._whole.start(self._library.collections.get(collection).name, embedder)

    def cancel(self) -> None:
        """As the server's. Raises NotAllowed."""
        self._library.expect_administrator()
        self._whole.cancel()

    def html(self, collection: str, embedders: Sequence[str]) -> str:
        """As the server's, empty for what the user may not see."""
        return self._whole.html(collection, embedders) if collection in self._library.collections.names() else ""

    async def follow(self, collection: str, embedders: Sequence[str]) -> AsyncIterator[str]:
        """As the server's, nothing for what the user may not see."""
        if collection in self._library.collections.names():
            async for line in self._whole.follow(collection, embedders):
                yield line

    def close(self) -> None:
        """The server's part is closed by the server."""


def _refused(library: Library) -> str:
    """Why a user may not do what administrators do; empty for one."""
    try:
        library.expect_administrator()
    except NotAllowed as error:
        return error.explain()
    return ""


def handle_for_each(page: gr.Blocks, make: Callable[[int], Sequence[Any]]) -> gr.Blocks:
    """Have every event of ``page`` handled by the handlers of the user whose session it is, and of nobody else: those
    that ``make`` makes, of the classes of those that the page was built with."""
    handlers = Handlers(make)
    for block in page.fns.values():
        method = inspect.unwrap(block.fn) if block.fn is not None else None
        owner = getattr(method, "__self__", None)
        if block.fn is not None and method is not None and owner is not None:
            block.fn = _for_each(block.fn, type(owner), method.__name__, handlers)
    return page


class Handlers:
    """The handlers of each user's events, by their class; made when the user first does something."""

    def __init__(self, make: Callable[[int], Sequence[Any]]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, Mapping[type, Any]] = OrderedDict()

    def of(self, user: int) -> Mapping[type, Any]:
        """Those of one user."""
        with self._lock:
            if user not in self._kept:
                self._kept[user] = {type(one): one for one in self._make(user)}
            self._kept.move_to_end(user)
            while len(self._kept) > MOST_USERS:
                self._kept.popitem(last=False)
            return self._kept[user]


def _for_each(function: Callable[..., Any], kind: type, name: str, handlers: Handlers) -> Callable[..., Any]:
    """``function``, a method ``name`` of a ``kind``, as one that finds the user's own by the request it gets first."""

    def own(request: gr.Request) -> Callable[..., Any]:
        handler = handlers.of(user_of(str(request.session_hash or "")))[kind]
        return _told(getattr(handler, name))

    async def follow(request: gr.Request, *given: Any) -> AsyncIterator[Any]:
        async for value in own(request)(*given):
            yield value

    async def wait(request: gr.Request, *given: Any) -> Any:
        return await own(request)(*given)

    def call(request: gr.Request, *given: Any) -> Any:
        return own(request)(*given)

    plain = inspect.unwrap(function)
    made: Callable[..., Any] = call
    if inspect.isasyncgenfunction(plain):
        made = follow
    elif inspect.iscoroutinefunction(plain):
        made = wait
    first = inspect.Parameter("request_", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=gr.Request)
    signature = inspect.signature(function)
    functools.update_wrapper(made, function, assigned=("__name__", "__qualname__", "__doc__"), updated=())
    del made.__wrapped__  # type: ignore[attr-defined]
    made.__signature__ = signature.replace(parameters=[first, *signature.parameters.values()])  # type: ignore[attr-defined]
    made.__annotations__ = {"request_": gr.Request, **typing.get_type_hints(plain)}
    return made


def _told(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method whose plain call tells what the user may not do, instead of failing."""
    if inspect.isasyncgenfunction(method) or inspect.iscoroutinefunction(method):
        return method

    @functools.wraps(method)
    def told(*given: Any) -> Any:
        try:
            return method(*given)
        except RagError as error:
            raise gr.Error(error.explain(), print_exception=False) from error

    return told
