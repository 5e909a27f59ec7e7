"""What programs may call over HTTP: the library's questions, with JSON for answers; and what a call must hold."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import gradio as gr

from rag.api.door import described
from rag.api.guard import Refusal
from rag.errors import QuestionError, RagError
from rag.text import counted
from rag.types import to_plain
from ui.guard import PUBLIC

if TYPE_CHECKING:
    from rag.library import Library

_MOST_HITS = 200
_KINDS: Mapping[str, tuple[type, str]] = {"str": (str, "a text"), "int": (int, "a whole number")}
_STREAM = "/gradio_api/queue/data"
_CALL = "/gradio_api/call/"


class Api:
    """``ask``, ``search`` and ``sources`` of ``library``. An empty collection means the configured one."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def ask(self, question: str, collection: str = "") -> dict[str, Any]:
        """Answer a question: text with ``[n]``, citations with file, page and offsets, support of each sentence."""
        return self._library.ask(question, collection=collection or None).to_dict()

    def search(self, question: str, k: int = 6, collection: str = "") -> list[dict[str, Any]]:
        """The best ``k`` passages with their scores, best first."""
        if not 1 <= k <= _MOST_HITS:
            raise QuestionError(f"k is {k}.", hint=f"Ask for 1 to {_MOST_HITS} passages.")
        return [to_plain(hit) for hit in self._library.search(question, k, collection or None)]

    def sources(self, collection: str = "") -> list[dict[str, Any]]:
        """The documents of a collection."""
        return [described(document) for document in self._library.sources(collection or None)]

    def functions(self) -> tuple[Callable[..., Any], ...]:
        """The functions of ``PUBLIC``; their errors arrive at the caller as messages."""
        return tuple(_public(getattr(self, name)) for name in PUBLIC)


def _public(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*given: Any) -> Any:
        try:
            return function(*given)
        except RagError as error:
            raise gr.Error(error.explain(), print_exception=False) from error

    return wrapper


class Calls:
    """The events of ``page``, whose first are ``PUBLIC``: which there are, and with what they may be called."""

    def __init__(self, page: gr.Blocks) -> None:
        self._page = page
        self._public = {name: list(inspect.signature(getattr(Api, name)).parameters.values())[1:] for name in PUBLIC}

    def check(self, path: str, body: dict[str, Any]) -> None:
        """Raises Refusal (404, 422) unless the event that is meant exists and takes such values."""
        name = path.rstrip("/").rpartition("/")[2]
        if name in self._public:
            body.pop("fn_index", None)  # the path names the function; Gradio would run the body's instead
        else:
            index = body.get("fn_index")
            event = None if index is None else self._page.fns.get(index)
            if index is None or event is None or event.fn is None:
                raise Refusal(404, "There is no such event. Reload the page.")
            if index >= len(PUBLIC):
                _check_texts(body["data"], len(event.inputs))
                return
            name = PUBLIC[index]
        _check_arguments(name, self._public[name], body["data"])

    def check_waiting(self, path: str, query: bytes, mine: str) -> None:
        """Raises Refusal (404) when ``path`` reads an event or a session that there is not, or one whose session does
        not begin with ``mine``."""
        if path == _STREAM:
            key = parse_qs(query.decode("latin-1")).get("session_hash", [""])[0]
        elif path.startswith(_CALL):
            key = path.rpartition("/")[2]
        else:
            return
        session = self._session(key)
        if session is None or not session.startswith(mine):
            raise Refusal(404, "There is no such event, or its result has been fetched.")

    def _session(self, key: str) -> str | None:
        """The session of an event, or of that name, that waits to be read; as Gradio finds it."""
        queue = self._page._queue
        event = queue.event_ids_to_events.get(key)
        if event is not None:
            return str(event.session_hash)
        for session, events in list(queue.pending_event_ids_session.items()):
            if key in events:
                return str(session)
        return key if key in queue.pending_messages_per_session else None


def _check_texts(data: list[Any], count: int) -> None:
    """What the page's own events take: what stands in its boxes. Raises Refusal."""
    if len(data) != count or not all(value is None or isinstance(value, str) for value in data):
        raise Refusal(422, f"This event takes {counted(count, 'text')}.")


def _check_arguments(name: str, parameters: list[inspect.Parameter], data: list[Any]) -> None:
    """Fills in what is left out. Raises Refusal."""
    takes = f"{name} takes {', '.join(p.name for p in parameters)}, in this order."
    if len(data) > len(parameters):
        raise Refusal(422, f"{len(data)} values are too many: {takes}")
    for index, parameter in enumerate(parameters):
        kind, said = _KINDS[str(parameter.annotation)]
        if index == len(data):
            data.append(None)
        if data[index] is None and parameter.default is not parameter.empty:
            data[index] = parameter.default
        if isinstance(data[index], bool) or not isinstance(data[index], kind):
            raise Refusal(422, f"{parameter.name} must be {said}: {takes}")
