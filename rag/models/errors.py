"""The one seam where a failure between this program and an Ollama server becomes an error of this program.

Four ways lead here: an exception of the HTTP library (``from_exception``), an answer with an error status
(``from_status``), an error line in a stream (``from_text``), and what the official client cannot read (``unreadable``).
Whatever the server says is shown clipped and cleaned.
"""

from __future__ import annotations

import errno
import json
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import ValidationError

from rag.errors import (
    ModelError,
    ModelMissing,
    ModelOutOfMemory,
    ModelRefused,
    ModelTimeout,
    PromptTooLong,
    ServerBusy,
    ServerError,
    ServerNotRunning,
    ServerUnreachable,
    StreamBroken,
    WrongModelKind,
)
from rag.text import remove_invisible

WIRE_ERRORS = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.CookieConflict,
    httpx.StreamError,
    OSError,
    UnicodeError,
)
UNREADABLE = (json.JSONDecodeError, ValidationError, RecursionError)
_ADDRESS_HINT = "Check the address in OLLAMA_HOST (or the setting ollama_host), and that this machine can reach it."
_LONGEST_TEXT = 300
_FAULTS = {"missing": "is missing", "string_type": "is not text"}
_COUNTED = re.compile(r"\brequest \((\d{1,9}) tokens\)")


@dataclass(frozen=True, slots=True)
class Call:
    """What was asked of which server; only for messages. ``address`` holds no password."""

    address: str
    model: str = ""
    connect_seconds: float = 5.0
    read_seconds: float = 300.0

    @property
    def who(self) -> str:
        """The model, or the server when none is concerned."""
        return f"The model {self.model}" if self.model else f"The Ollama server at {self.address}"


@contextmanager
def translated(call: Call) -> Iterator[None]:
    """Turn every exception of the wire into a ModelError that names what was asked."""
    try:
        yield
    except UNREADABLE as error:
        raise unreadable(error, call) from error
    except WIRE_ERRORS as error:
        raise from_exception(error, call) from error


def from_exception(error: Exception, call: Call) -> ModelError:
    """The error for an exception of the HTTP library, by its class."""
    if isinstance(error, httpx.ConnectError):
        return _cannot_connect(error, call)
    template = next((template for kinds, template in _BY_CLASS if isinstance(error, kinds)), _BROKEN)
    return template.made(call, _clean(str(error)) or type(error).__name__)


def _cannot_connect(error: Exception, call: Call) -> ModelError:
    causes = list(_causes(error))
    if any(isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED for cause in causes):
        return ServerNotRunning(f"Ollama is not running at {call.address}: nothing listens there.")
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return ServerUnreachable(f"The host of {call.address} has no known address.", hint=_ADDRESS_HINT)
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return ServerUnreachable(
            f"No secure connection to {call.address}: {_clean(str(error))}",
            hint="Use http:// instead of https:// if the server has no certificate, or install its authority's.",
        )
    return ServerUnreachable(f"No connection to {call.address}: {_clean(str(error))}", hint=_ADDRESS_HINT)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The exception, what it came from, and so on. Several addresses of one host may each have failed."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def bad_proxy(error: Exception, call: Call) -> ModelError:
    """The error for a proxy variable that cannot be used, or a proxy that fails."""
    return _PROXY.made(call, _clean(str(error)))


@dataclass(frozen=True, slots=True)
class _Template:
    """An error to be made: its message and its hint may hold ``{who}``, ``{model}``, ``{address}``, ``{said}`` and the
    ``{connect}`` and ``{read}`` seconds; without a hint it has that of its class."""

    kind: type[ModelError]
    message: str
    hint: str | None = None

    def made(self, call: Call, said: str = "") -> ModelError:
        given = {
            "who": call.who, "model": call.model or "the model", "address": call.address, "said": said,
            "connect": f"{call.connect_seconds:g}", "read": f"{call.read_seconds:g}",
        }  # fmt: skip
        message = self.message.format(**given)
        return self.kind(message, hint=None if self.hint is None else self.hint.format(**given))


_BROKEN = _Template(
    StreamBroken,
    "The connection to {address} broke off: {said}.",
    "Ask again; if it happens again, look into Ollama's log, the model may have crashed.",
)
_SILENT = _Template(
    ModelTimeout,
    "{who} sent nothing for {read} s.",
    "Choose a smaller model, or raise read_seconds if this machine needs longer to load it.",
)
_PROXY = _Template(
    ServerUnreachable,
    "The proxy on the way to {address} failed: {said}",
    "Add the host to NO_PROXY, or unset the proxy variables.",
)
# The first classes that fit decide, so subclasses stand before their bases.
_BY_CLASS: tuple[tuple[tuple[type[Exception], ...], _Template], ...] = (
    ((httpx.ConnectTimeout,),
     _Template(ServerUnreachable, "{address} did not accept a connection within {connect} s.", _ADDRESS_HINT)),
    ((httpx.PoolTimeout,),
     _Template(ModelTimeout, "No connection to {address} became free for {read} s.",
               "Wait until other requests have ended, or start fewer at once.")),
    ((httpx.TimeoutException, TimeoutError), _SILENT),
    ((httpx.ProxyError,), _PROXY),
    ((httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL),
     _Template(ServerUnreachable, "{address} cannot be used: {said}", _ADDRESS_HINT)),
    ((httpx.TooManyRedirects, httpx.HTTPStatusError, httpx.CookieConflict, httpx.StreamError),
     _Template(ServerError, "{address} answered in an unexpected way: {said}.", _ADDRESS_HINT)),
)  # fmt: skip


def from_status(status: int, body: bytes, call: Call) -> ModelError:
    """The error for an answer whose status is not 200, by its text first and its status second."""
    text = _error_text(body)
    if text is not None and (known := _by_text(text, call)) is not None:
        return known
    shown = _clean(text if text is not None else body.decode("utf-8", "replace"))
    if status in (429, 503):
        return _BUSY.made(call, shown or "its queue is full")
    if status in (401, 403, 407):
        return ServerUnreachable(
            f"{call.address} refuses this program ({status}{': ' + shown if shown else ''}).",
            hint="Use the server's own host name in OLLAMA_HOST, or allow this one on the server's side.",
        )
    if status in (408, 504):
        return _SILENT.made(call)
    if status == 501 and call.model:
        return _WRONG_KIND.made(call, shown)
    if text is None and (status in (404, 405) or 300 <= status < 400):
        return ServerError(
            f"{call.address} does not answer like Ollama ({status}).",
            hint="Another program may listen there, or Ollama is too old: check OLLAMA_HOST and update Ollama.",
        )
    return _server_error(shown or f"status {status}", call)


def from_text(error: object, call: Call) -> ModelError:
    """The error for what the server wrote, where no status helps (an error line in a stream)."""
    plain = _unwrap(error)
    return _by_text(plain, call) or _server_error(_clean(plain), call)


def garbage(what: str, call: Call) -> StreamBroken:
    """The error for an answer that is no answer of Ollama's."""
    return StreamBroken(
        f"{call.who} sent something that is no answer of Ollama's: {what}.",
        hint=f"Ask again; if it happens again, check that Ollama listens at {call.address} and update it.",
    )


def unreadable(error: json.JSONDecodeError | ValidationError | RecursionError, call: Call) -> StreamBroken:
    """The error for an answer that is no JSON, or not of the shape that the official client knows."""
    if isinstance(error, ValidationError):
        faults = (
            f"{'.'.join(map(str, fault['loc']))} {_FAULTS.get(fault['type'], 'is wrong')}" for fault in error.errors()
        )
        return garbage(_clean(", ".join(faults)), call)
    return garbage(_clean(error.doc[:80]) if isinstance(error, json.JSONDecodeError) else "nested too deep", call)


def checked(row: Mapping[str, Any], call: Call) -> Mapping[str, Any]:
    """The row, unless it tells of an error, which is then raised."""
    error = row.get("error")
    if error:
        raise from_text(error, call)
    return row


def parse_object(data: bytes, call: Call) -> Mapping[str, Any]:
    """The JSON object in ``data``; raises StreamBroken for anything else."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise garbage(_clean(data[:80].decode("utf-8", "replace")) or "nothing", call) from error
    if not isinstance(value, dict):
        raise garbage(f"a {type(value).__name__} where an object belongs", call)
    return value


_KIND_HINT = "`rag models list` says which models can chat and which can embed."
_BUSY = _Template(ServerBusy, "Ollama at {address} is busy: {said}")
_WRONG_KIND = _Template(WrongModelKind, "The model {model} cannot do this: {said}", _KIND_HINT)
# What Ollama writes, as its source has it; the first match decides.
_BY_TEXT: tuple[tuple[str, _Template], ...] = (
    (r"exceed\w*.{0,40}context|longer than the context|exceed_context_size|input length exceeds",
     _Template(PromptTooLong, "What was sent to {model} does not fit into its window: {said}",
               "Ask a shorter question, use fewer passages (top_k), or raise num_ctx if memory allows.")),
    (r"ollama cloud is disabled",
     _Template(ModelRefused, "The model {model} runs on another company's machines: {said}",
               "Choose a model that runs on this machine.")),
    (r"pull model manifest.*(file does not exist|not found|404)",
     _Template(ModelMissing, "There is no model {model} to download.",
               "Check the name; `rag models list` shows some that work well.")),
    (r"dial tcp|no such host|network is unreachable|i/o timeout|connection refused|tls handshake",
     _Template(ServerError, "Ollama could not reach its model library: {said}",
               "Connect this machine to the network and run the same command again; what was downloaded is kept.")),
    (r"invalid model name|model is required",
     _Template(ModelMissing, "{model} is no name of a model: {said}",
               "Check the name; `rag models list` shows those that are installed.")),
    (r"model ['\"].*['\"] not found",
     _Template(ModelMissing, "Ollama at {address} does not have the model {model}.",
               "Get it with `ollama pull {model}`.")),
    (r"does not support \w+|start it with `--embeddings`", _WRONG_KIND),
    (r"server busy|maximum pending requests", _BUSY),
    (r"out of memory|more system memory|unable to allocate|failed to allocate|cudamalloc|insufficient memory"
     r"|not enough memory|cannot allocate memory",
     _Template(ModelOutOfMemory, "{who} does not fit into memory: {said}",
               "Choose a smaller model, lower num_ctx, or close other programs; `rag models list` shows sizes.")),
    (r"timed out waiting for|timeout waiting|load timeout",
     _Template(ModelTimeout, "{who} took too long to load: {said}",
               "Choose a smaller model, or raise OLLAMA_LOAD_TIMEOUT for the server.")),
)  # fmt: skip


def _by_text(text: str, call: Call) -> ModelError | None:
    known = (template for pattern, template in _BY_TEXT if re.search(pattern, text, re.IGNORECASE))
    template = next(known, None)
    found = template.made(call, _clean(text)) if template is not None else None
    if isinstance(found, PromptTooLong) and (counted := _COUNTED.search(text)):
        found.tokens = int(counted[1])
    return found


def _server_error(shown: str, call: Call) -> ServerError:
    return ServerError(
        f"{call.who} failed: {shown or 'no reason given'}",
        hint="Ask again; if it happens again, look into Ollama's log or choose another model.",
    )


def _error_text(body: bytes) -> str | None:
    """The ``error`` of a JSON body, unwrapped; None when the body is something else."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or "error" not in value:
        return None
    return _unwrap(value["error"])


def _unwrap(error: object) -> str:
    """The message, where the error is text, an object with a message, or such an object written as text."""
    if isinstance(error, str) and error.lstrip().startswith("{"):
        try:
            inner = json.loads(error)
        except (ValueError, RecursionError):
            return error
        return _unwrap(inner.get("error", inner)) if isinstance(inner, dict) else error
    if isinstance(error, Mapping):
        return str(error.get("message") or error.get("error") or dict(error))
    return str(error)


def _clean(text: str) -> str:
    """Text fit for a message: one line, nothing invisible, clipped."""
    line = " ".join("".join(c if c.isprintable() else " " for c in remove_invisible(text)).split())
    return line if len(line) <= _LONGEST_TEXT else f"{line[:_LONGEST_TEXT]}..."
