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
from collections.abc import Callable, Iterator, Mapping
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
    build = next((build for kind, build in _BY_CLASS if isinstance(error, kind)), _broken)
    return build(error, call)


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


def _connect_timeout(_error: Exception, call: Call) -> ModelError:
    return ServerUnreachable(
        f"{call.address} did not accept a connection within {call.connect_seconds:g} s.", hint=_ADDRESS_HINT
    )


def _timeout(_error: Exception, call: Call) -> ModelError:
    return ModelTimeout(
        f"{call.who} sent nothing for {call.read_seconds:g} s.",
        hint="Choose a smaller model, or raise read_seconds if this machine needs longer to load it.",
    )


def _pool_timeout(_error: Exception, call: Call) -> ModelError:
    return ModelTimeout(
        f"No connection to {call.address} became free for {call.read_seconds:g} s.",
        hint="Wait until other requests have ended, or start fewer at once.",
    )


def _broken(error: Exception, call: Call) -> ModelError:
    return StreamBroken(
        f"The connection to {call.address} broke off: {_clean(str(error)) or type(error).__name__}.",
        hint="Ask again; if it happens again, look into Ollama's log, the model may have crashed.",
    )


def _bad_address(error: Exception, call: Call) -> ModelError:
    return ServerUnreachable(f"{call.address} cannot be used: {_clean(str(error))}", hint=_ADDRESS_HINT)


def bad_proxy(error: Exception, call: Call) -> ModelError:
    """The error for a proxy variable that cannot be used, or a proxy that fails."""
    return ServerUnreachable(
        f"The proxy on the way to {call.address} failed: {_clean(str(error))}",
        hint="Add the host to NO_PROXY, or unset the proxy variables.",
    )


def _unexpected(error: Exception, call: Call) -> ModelError:
    return ServerError(
        f"{call.address} answered in an unexpected way: {_clean(str(error)) or type(error).__name__}.",
        hint=_ADDRESS_HINT,
    )


# The first class that fits decides, so subclasses stand before their bases.
_BY_CLASS: tuple[tuple[type[Exception], Callable[[Exception, Call], ModelError]], ...] = (
    (httpx.ConnectTimeout, _connect_timeout),
    (httpx.PoolTimeout, _pool_timeout),
    (httpx.TimeoutException, _timeout),
    (httpx.ConnectError, _cannot_connect),
    (httpx.ProxyError, bad_proxy),
    (httpx.UnsupportedProtocol, _bad_address),
    (httpx.LocalProtocolError, _bad_address),
    (httpx.InvalidURL, _bad_address),
    (httpx.TooManyRedirects, _unexpected),
    (httpx.HTTPStatusError, _unexpected),
    (httpx.CookieConflict, _unexpected),
    (httpx.StreamError, _unexpected),
    (TimeoutError, _timeout),
)


def from_status(status: int, body: bytes, call: Call) -> ModelError:
    """The error for an answer whose status is not 200, by its text first and its status second."""
    text = _error_text(body)
    if text is not None and (known := _by_text(text, call)) is not None:
        return known
    shown = _clean(text if text is not None else body.decode("utf-8", "replace"))
    if status in (429, 503):
        return ServerBusy(f"Ollama at {call.address} is busy: {shown or 'its queue is full'}")
    if status in (401, 403, 407):
        return ServerUnreachable(
            f"{call.address} refuses this program ({status}{': ' + shown if shown else ''}).",
            hint="Use the server's own host name in OLLAMA_HOST, or allow this one on the server's side.",
        )
    if status in (408, 504):
        return _timeout(httpx.ReadTimeout(""), call)
    if status == 501 and call.model:
        return WrongModelKind(f"The model {call.model} cannot do this: {shown}", hint=_KIND_HINT)
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


def _missing(text: str, call: Call) -> ModelError:
    return ModelMissing(
        f"Ollama at {call.address} does not have the model {call.model}.",
        hint=f"Get it with `ollama pull {call.model}`.",
    )


def _bad_name(text: str, call: Call) -> ModelError:
    return ModelMissing(
        f"{call.model or 'Nothing'} is no name of a model: {_clean(text)}",
        hint="Check the name; `rag models list` shows those that are installed.",
    )


def _missing_at_registry(text: str, call: Call) -> ModelError:
    return ModelMissing(
        f"There is no model {call.model or 'of that name'} to download.",
        hint="Check the name; `rag models list` shows some that work well.",
    )


def _offline(text: str, call: Call) -> ModelError:
    return ServerError(
        f"Ollama could not reach its model library: {_clean(text)}",
        hint="Connect this machine to the network and run the same command again; what was downloaded is kept.",
    )


def _wrong_kind(text: str, call: Call) -> ModelError:
    return WrongModelKind(f"The model {call.model} cannot do this: {_clean(text)}", hint=_KIND_HINT)


def _remote(text: str, call: Call) -> ModelError:
    return ModelRefused(
        f"The model {call.model} runs on another company's machines: {_clean(text)}",
        hint="Choose a model that runs on this machine.",
    )


def _too_long(text: str, call: Call) -> ModelError:
    error = PromptTooLong(
        f"What was sent to {call.model or 'the model'} does not fit into its window: {_clean(text)}",
        hint="Ask a shorter question, use fewer passages (top_k), or raise num_ctx if memory allows.",
    )
    counted = _COUNTED.search(text)
    error.tokens = int(counted[1]) if counted else 0
    return error


def _no_memory(text: str, call: Call) -> ModelError:
    return ModelOutOfMemory(
        f"The model {call.model or ''} does not fit into memory: {_clean(text)}".replace("  ", " "),
        hint="Choose a smaller model, lower num_ctx, or close other programs; `rag models list` shows sizes.",
    )


def _busy(text: str, call: Call) -> ModelError:
    return ServerBusy(f"Ollama at {call.address} is busy: {_clean(text)}")


def _slow_load(text: str, call: Call) -> ModelError:
    return ModelTimeout(
        f"{call.who} took too long to load: {_clean(text)}",
        hint="Choose a smaller model, or raise OLLAMA_LOAD_TIMEOUT for the server.",
    )


# What Ollama writes, as its source has it; the first match decides.
_BY_TEXT: tuple[tuple[re.Pattern[str], Callable[[str, Call], ModelError]], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), build)
    for pattern, build in (
        (r"exceed\w*.{0,40}context|longer than the context|exceed_context_size|input length exceeds", _too_long),
        (r"ollama cloud is disabled", _remote),
        (r"pull model manifest.*(file does not exist|not found|404)", _missing_at_registry),
        (r"dial tcp|no such host|network is unreachable|i/o timeout|connection refused|tls handshake", _offline),
        (r"invalid model name|model is required", _bad_name),
        (r"model ['\"].*['\"] not found", _missing),
        (r"does not support \w+|start it with `--embeddings`", _wrong_kind),
        (r"server busy|maximum pending requests", _busy),
        (
            r"out of memory|more system memory|unable to allocate|failed to allocate|cudamalloc|insufficient memory"
            r"|not enough memory|cannot allocate memory",
            _no_memory,
        ),
        (r"timed out waiting for|timeout waiting|load timeout", _slow_load),
    )
)


def _by_text(text: str, call: Call) -> ModelError | None:
    return next((build(text, call) for pattern, build in _BY_TEXT if pattern.search(text)), None)


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
